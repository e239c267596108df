"""What depends on the column alone is computed once for each column of a panel.

A panel is walked row by row (compiler.panel), so nothing that belongs to a column stays in
registers. A mean is a division, the scale of a normalisation a square root and a division: done
again for every row they took longer than the memory that they wait for. So such values wait in
cells of the stack, beside what the folds have accumulated.
"""

from __future__ import annotations

from collections.abc import Sequence

from ambos.compiler.loops import (
    Apply,
    Fold,
    Instr,
    Load,
    Map,
    Position,
    Result,
    closure,
    operands,
    roots,
)
from ambos.compiler.loops_around import Loops
from ambos.compiler.panel import Cells
from ambos.compiler.stages import Pass
from ambos.compiler.values import Value
from ambos.core.dtype import DType, float32, float64


def keep_column_values(loops: Loops, part: Pass) -> None:
    """Compute what `part` needs of columns, before its rows are walked."""
    tape = loops.tape
    cells = {}
    for number, dtype in column_values(loops.kernel.tape, part, loops.kernel.lane).items():
        if number not in tape.kept:
            cells[number] = Cells(loops.b, dtype)

    def column(local: Value) -> None:
        for number, cell in cells.items():
            cell.write(local, tape.value(number))

    if cells:
        loops.columns(column)
    tape.kept |= {number: cell.read for number, cell in cells.items()}


def column_values(tape: Sequence[Instr], part: Pass, lane: int | None) -> dict[int, DType]:
    """What is computed from the column alone, fits a cell, and is read in `part` by what the row
    decides as well: instructions with their types."""
    stages: list[Fold | Map] = [*part.folds, *([part.map] if part.map else [])]
    rows = set(stages[0].axes)
    by_row: set[int] = set()  # what the row decides
    by_column: set[int] = set()  # what the column decides alone
    read: set[int] = set()
    for number in sorted(closure(tape, (root for stage in stages for root in roots(stage)))):
        axes, needs = axes_of(tape[number], lane), operands(tape[number])
        if not rows.isdisjoint(axes) or not by_row.isdisjoint(needs):
            by_row.add(number)
            read.update(needs)
        elif lane in axes or not by_column.isdisjoint(needs):
            by_column.add(number)
    found = ((number, tape[number]) for number in sorted(read & by_column))
    return {
        number: value.dtype
        for number, value in found
        if isinstance(value, Apply) and value.dtype in (float32, float64)
    }


def axes_of(instruction: Instr, lane: int | None) -> list[int | None]:
    """The axes that an instruction itself mentions; results of folds belong to columns."""
    if isinstance(instruction, Position):
        return [instruction.axis]
    if isinstance(instruction, Load):
        return [axis for axis, _ in instruction.index.terms]
    return [lane] if isinstance(instruction, Result) else []
