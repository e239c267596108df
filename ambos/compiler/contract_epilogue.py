"""What happens to a finished tile of totals: the kernel's tape, then its stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ambos.compiler.contract_errands import has_list
from ambos.compiler.contract_text import Code
from ambos.compiler.loops import (
    LANES,
    Apply,
    ContractKernel,
    Load,
    Position,
    Result,
    operands,
)
from ambos.compiler.scalar import vector_type
from ambos.compiler.tape import Lower, TapeEmitter
from ambos.core.dtype import bool_, int64


def epilogue(
    kernel: ContractKernel,
    name: str,
    lower: Lower,
    edge: bool,
    outlined: dict[str, tuple[Any, str, str]],
    ahead: bool = False,
) -> tuple[str, Code]:
    """`void @name(args, total, row, count, column, columns, batch indices...)`: stores `count`
    rows from `row`, and the columns from `column` on, of the totals [row][column of the panel].
    `columns` (looked at only if `edge`) says how many columns there are from `column`.

    With `ahead` nothing is stored: what would be touched is asked for, or its addresses are listed
    at `total`.

    The code exists once and loops over rows and vectors, so a long epilogue stays small. Addresses
    of rows are computed once for all vectors; but where something is computed from columns alone,
    that is done once for all rows. `outlined` holds the module's own functions.
    """
    code = Code()
    code.functions = outlined
    width = kernel.tile[1] * LANES
    written = frozenset(store.buffer.word for store in kernel.stores)
    tape = TapeEmitter(code, kernel.tape, lower, written)
    row_axes = range(kernel.num_batch, kernel.num_batch + kernel.num_rows)
    extents = [code.word(kernel.extents[axis]) for axis in row_axes]
    for axis in range(kernel.num_batch):
        tape.bind(axis, code.value(f"%batch{axis}", int64, False, 0))
    first = [("i64", index) for index in code.decode("%row", extents)]
    stop = code.extreme("umin", "%columns", str(width)) if edge else str(width)

    @contextmanager
    def each_vector() -> Iterator[str]:
        with code.loop("0", stop, LANES) as vectors:
            column = code.value(code.add("%column", vectors.index), int64, False, code.depth)
            mask = None
            if edge:
                lanes = code.lanes_below(code.sub("%columns", vectors.index))
                mask = code.value(lanes, bool_, True, code.depth)
            tape.bind(row_axes.stop, column, vector=True, mask=mask)
            yield vectors.index

    @contextmanager
    def each_row() -> Iterator[str]:
        with code.loop("0", "%count", 1, first) as rows:
            for axis, index in zip(row_axes, rows.inner, strict=True):
                tape.bind(axis, code.value(index, int64, False, code.depth))
            rows.next = code.advance(rows.inner, extents)
            yield code.mul(rows.index, str(width))

    loops = (each_vector(), each_row()) if is_of_columns(kernel) else (each_row(), each_vector())
    with loops[0] as outer, loops[1] as inner:
        tape.floor = code.depth
        if ahead:
            touch(code, tape, kernel, code.add(outer, inner))
        else:
            address = code.element("%total", kernel.accumulator.llvm, code.add(outer, inner))
            vector = vector_type(kernel.accumulator.llvm)
            total = code.here(f"load {vector}, ptr {address}, align 64")
            tape.bind_result(0, code.value(total, kernel.accumulator, True, code.depth))
            tape.store(kernel.stores)
    batch = "".join(f", i64 %batch{axis}" for axis in range(kernel.num_batch))
    parameters = (
        "ptr noalias %args, ptr noalias %total, i64 %row, i64 %count, i64 %column, "
        f"i64 %columns{batch}"
    )
    return code.function("internal void", name, parameters, "noinline"), code


def touch(code: Code, tape: TapeEmitter, kernel: ContractKernel, place: str) -> None:
    """Ask for what is touched at `place` of the tile, or list it: one array after the other, each
    for all `%count` rows."""
    lines = tape.approach(kernel.stores)
    if not has_list(kernel):
        for line in lines:
            code.prefetch(line)  # into the second cache: the tile's operands fill the first
        return
    number = code.here(f"udiv i64 {place}, {LANES}")
    size = code.pure(f"mul i64 %count, {kernel.tile[1]}", 0)
    start = "%total"
    for line in lines:
        code.effect(f"store ptr {line}, ptr {code.element(start, 'ptr', number)}, align 8")
        start = code.pure(f"getelementptr ptr, ptr {start}, i64 {size}", 0)


def is_of_columns(kernel: ContractKernel) -> bool:
    """Does the tape compute anything that varies along columns and is the same for all rows?"""
    columns, varies = kernel.num_batch + kernel.num_rows, dict[int, set[int | None]]()
    for number, instruction in enumerate(kernel.tape):
        axes = set[int | None]().union(*(varies[operand] for operand in operands(instruction)))
        if isinstance(instruction, Load):
            axes.update(axis for axis, _ in instruction.index.terms)
        if isinstance(instruction, Position):
            axes.add(instruction.axis)
        if isinstance(instruction, Result):
            axes.add(None)  # with everything
        varies[number] = axes
        alone = axes.isdisjoint((None, *range(kernel.num_batch, columns)))
        if isinstance(instruction, Apply) and columns in axes and alone:
            return True
    return False
