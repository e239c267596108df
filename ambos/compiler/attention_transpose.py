"""Turning small matrices: 16 x 16 elements at a time, in registers."""

from __future__ import annotations

from ambos.compiler.contract_text import Code
from ambos.compiler.loops import LANES
from ambos.compiler.memory import memory_type
from ambos.compiler.scalar import SUFFIX, vector_type
from ambos.compiler.transpose import transpose
from ambos.core.dtype import DType

PARAMETERS = (
    "ptr noalias %source, i64 %source.row, ptr noalias %target, i64 %target.row, "
    "i64 %rows, i64 %columns, i64 %written"
)


def write_transpose(name: str, dtype: DType) -> tuple[str, Code]:
    """`void @name(source, source.row, target, target.row, rows, columns, written)`:
    target[c][r] = source[r][c] for every column c < columns and every r < written, with zeros
    where r >= rows. Row strides are in bytes, extents at most LANES; nothing else is touched.

    Masks of every row and column take longer than the turning, so a full square does without.
    """
    code = Code()
    smallest = code.extreme("smin", code.extreme("smin", "%rows", "%columns"), "%written")
    full = code.here(f"icmp sge i64 {smallest}, {LANES}")
    with code.either(full):
        _square(code, dtype, masked=False)
    with code.either(code.here(f"xor i1 {full}, true")):
        _square(code, dtype, masked=True)
    return code.function("internal void", name, PARAMETERS, "noinline"), code


def _square(code: Code, dtype: DType, masked: bool) -> None:
    place, lines = "%source", []
    for row in range(LANES):
        mask = _mask(code, "%rows", row, "%columns") if masked else None
        lines.append(code.load_lanes(place, dtype, mask))
        place = _next(code, place, "%source.row", "%rows" if masked else None, row)
    place = "%target"
    for column, line in enumerate(transpose(code, lines, memory_type(dtype), dtype.itemsize)):
        mask = _mask(code, "%columns", column, "%written") if masked else None
        _store(code, dtype, line, place, mask)
        place = _next(code, place, "%target.row", "%columns" if masked else None, column)


def _next(code: Code, place: str, step: str, count: str | None, number: int) -> str:
    """The line after line `number`, or that line again if it is the last of `count`: a processor
    takes hundreds of cycles to mask all lanes of an address whose page is missing."""
    if count is not None:
        more = code.here(f"icmp sgt i64 {count}, {number + 1}")
        step = code.here(f"select i1 {more}, i64 {step}, i64 0")
    return code.here(f"getelementptr i8, ptr {place}, i64 {step}")


def _mask(code: Code, count: str, number: int, lanes: str) -> str:
    """Of line `number` of `count`: its first `lanes` lanes if it exists."""
    inside = code.here(f"icmp sgt i64 {count}, {number}")
    return code.lanes_below(code.here(f"select i1 {inside}, i64 {lanes}, i64 0"))


def _store(code: Code, dtype: DType, line: str, place: str, mask: str | None) -> None:
    kind, bits = memory_type(dtype), vector_type("i1")
    vector, align = vector_type(kind), dtype.itemsize
    if mask is None:
        code.effect(f"store {vector} {line}, ptr {place}, align {align}")
        return
    name = f"@llvm.masked.store.v{LANES}{SUFFIX.get(kind, kind)}.p0"
    code.declare(f"declare void {name}({vector}, ptr, {bits})")
    code.effect(f"call void {name}({vector} {line}, ptr align {align} {place}, {bits} {mask})")
