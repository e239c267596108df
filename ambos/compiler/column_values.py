"""What depends on the column alone is computed once for each column of a panel.

A panel is walked row by row (compiler.panel), so nothing that belongs to a column stays in
registers. A mean is a division, the scale of a normalisation a square root and a division: done
again for every row they took twice as long as the memory that they wait for. So dear ones wait in
cells of the stack, beside what the folds have accumulated.
"""

from __future__ import annotations

from collections.abc import Sequence

from ambos.compiler.loops import Apply, Instr, Load, Position, Result, closure, operands, roots
from ambos.compiler.loops_around import Loops
from ambos.compiler.panel import Cells
from ambos.compiler.stages import Pass
from ambos.compiler.values import Value
from ambos.ops.kinds import registry

DEAR = 4  # additions; what is cheaper is computed again


def keep_column_values(loops: Loops, part: Pass) -> None:
    """Compute what `part` needs of columns, before its rows are walked."""
    tape = loops.tape
    cells = {}
    for number in dear_values(loops.kernel.tape, part, loops.kernel.lane):
        if number not in tape.kept:
            value = loops.kernel.tape[number]
            assert isinstance(value, Apply)
            cells[number] = Cells(loops.b, value.dtype)

    def column(local: Value) -> None:
        for number, cell in cells.items():
            cell.write(local, tape.value(number))

    if cells:
        loops.columns(column)
    tape.kept |= {number: cell.read for number, cell in cells.items()}


def dear_values(tape: Sequence[Instr], part: Pass, lane: int | None) -> list[int]:
    """The instructions that need their own column only and are dear, and whose readers in `part`
    need the row as well."""
    stages = [*part.folds, *([part.map] if part.map else [])]
    needed = sorted(closure(tape, (root for stage in stages for root in roots(stage))))
    rows = set(stages[0].axes)
    by_row: set[int] = set()  # what the row decides
    by_column: set[int] = set()  # what the column decides
    for number in needed:
        axes = axes_of(tape[number], lane)
        if not rows.isdisjoint(axes) or not by_row.isdisjoint(operands(tape[number])):
            by_row.add(number)
        elif lane in axes or not by_column.isdisjoint(operands(tape[number])):
            by_column.add(number)
    read = {n for number in by_row for n in operands(tape[number])}
    return [n for n in needed if n in read & by_column and cost(tape, n) >= DEAR]


def axes_of(instruction: Instr, lane: int | None) -> list[int | None]:
    """The axes that an instruction itself mentions; results of folds belong to columns."""
    if isinstance(instruction, Position):
        return [instruction.axis]
    if isinstance(instruction, Load):
        return [axis for axis, _ in instruction.index.terms]
    return [lane] if isinstance(instruction, Result) else []


def cost(tape: Sequence[Instr], number: int) -> int:
    """Of computing an instruction that fits a cell, with all that it needs, in additions."""
    value = tape[number]
    if not isinstance(value, Apply) or value.dtype is not value.dtype.compute or (
        not value.dtype.is_floating
    ):  # fmt: skip
        return 0
    applied = (tape[n] for n in closure(tape, [number]))
    return sum(registry[i.op].cost for i in applied if isinstance(i, Apply))
