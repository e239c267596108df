"""Turning small matrices: 16 x 16 elements at a time, in registers."""

from __future__ import annotations

from ambos.compiler.contract_text import Code
from ambos.compiler.loops import LANES
from ambos.compiler.memory import memory_type
from ambos.compiler.scalar import SUFFIX, vector_type
from ambos.core.dtype import DType

PARAMETERS = (
    "ptr noalias %source, i64 %source.row, ptr noalias %target, i64 %target.row, "
    "i64 %rows, i64 %columns, i64 %written"
)


def transpose(name: str, dtype: DType) -> tuple[str, Code]:
    """`void @name(source, source.row, target, target.row, rows, columns, written)`:
    target[c][r] = source[r][c] for every column c < columns and every r < written, with zeros
    where r >= rows. Row strides are in bytes, extents at most LANES; nothing else is touched."""
    code = Code()
    kind, vector = memory_type(dtype), vector_type(memory_type(dtype))
    bits = vector_type("i1")
    mark = f"v{LANES}{SUFFIX.get(kind, kind)}.p0"
    code.declare(f"declare {vector} @llvm.masked.load.{mark}(ptr, {bits}, {vector})")
    code.declare(f"declare void @llvm.masked.store.{mark}({vector}, ptr, {bits})")
    place, lines = "%source", []
    for row in range(LANES):
        inside = code.here(f"icmp sgt i64 %rows, {row}")
        mask = code.lanes_below(code.here(f"select i1 {inside}, i64 %columns, i64 0"))
        lines.append(code.here(
            f"call {vector} @llvm.masked.load.{mark}(ptr align {dtype.itemsize} {place}, "
            f"{bits} {mask}, {vector} zeroinitializer)"
        ))  # fmt: skip
        place = code.here(f"getelementptr i8, ptr {place}, i64 %source.row")
    for _ in range(4):  # each turn interleaves the first half of the lines with the second
        lines = [
            code.here(f"shufflevector {vector} {a}, {vector} {b}, {half}")
            for a, b in zip(lines[: LANES // 2], lines[LANES // 2 :], strict=True)
            for half in HALVES
        ]
    place = "%target"
    for column in range(LANES):
        inside = code.here(f"icmp sgt i64 %columns, {column}")
        mask = code.lanes_below(code.here(f"select i1 {inside}, i64 %written, i64 0"))
        code.effect(
            f"call void @llvm.masked.store.{mark}({vector} {lines[column]}, "
            f"ptr align {dtype.itemsize} {place}, {bits} {mask})"
        )
        place = code.here(f"getelementptr i8, ptr {place}, i64 %target.row")
    return code.function("internal void", name, PARAMETERS, "noinline"), code


def _interleaved(first: int) -> str:
    lanes = [f"i32 {first + n // 2 + LANES * (n % 2)}" for n in range(LANES)]
    return f"{vector_type('i32')} <{', '.join(lanes)}>"


HALVES = (_interleaved(0), _interleaved(LANES // 2))
