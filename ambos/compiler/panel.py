"""Folds of columns: the kept axis lies contiguous in memory, the reduced axis runs across it.

The lanes of such a kernel are columns. Walking one vector of columns down all rows would touch one
cache line of every row and lose the hardware's prefetching (measured: 4 GB/s); so a panel of up to
PANEL columns is walked row by row, and what a column has accumulated so far waits in a cell on the
stack (sixteen partial sums for each of 512 columns: 32 KiB). Narrower panels fit the first-level
cache more easily but visit more pages for the same bytes: 256 columns took 1.5 times as long in a
kernel of five arrays, 1024 as long as 512.

The cells of a partial sum lie a line further on than a panel is wide. At exactly 2 KiB every second
one would share the lower twelve bits of its address with the next, and processors take a load for
one of what was just stored there: (1000, 1000) took 400 us, now 190.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ambos.compiler.accumulate import IDENTITY, Accumulator, Turn, accumulator
from ambos.compiler.joined import JoinedAxes
from ambos.compiler.loops import BLOCK, LANES, PANEL, Fold, closure, roots
from ambos.compiler.loops_around import Loops, State
from ambos.compiler.scalar import LLVMBuilder
from ambos.compiler.stages import Pass
from ambos.compiler.tape import dtype_of
from ambos.compiler.values import Value
from ambos.core.dtype import DType, int64

PITCH = PANEL + LANES  # from the cells of one number to those of the next
SEVERAL = 4  # rows that a visit to the cells takes, where code stays short
SHORT = 16  # instructions
Read = Callable[[Value], Value]  # a column's place in the panel -> its vector


class Cells:
    """Stack memory for `count` numbers a column."""

    def __init__(self, b: LLVMBuilder, dtype: DType, count: int = 1) -> None:
        self.b = b
        self.dtype = dtype.compute
        self.element = b.kind(self.dtype, False)
        kind = f"[{count * PITCH} x {self.element}]"
        self.area = b.area(f"cells{len(b.areas)}", kind, zeroed=False)

    def _pointer(self, local: Value, number: int | Value) -> str:
        offset = number * PITCH
        if isinstance(offset, Value):
            base = self.b.pure(
                f"getelementptr {self.element}, ptr {self.area}, i64 {offset.text}", offset.depth
            )
            return self.b.here(f"getelementptr {self.element}, ptr {base}, i64 {local.text}")
        moved = local + offset if offset else local
        return self.b.here(f"getelementptr {self.element}, ptr {self.area}, i64 {moved.text}")

    def read(self, local: Value, number: int | Value = 0) -> Value:
        pointer = self._pointer(local, number)
        kind = self.b.kind(self.dtype, True)
        text = self.b.here(f"load {kind}, ptr {pointer}, align 4")
        return self.b.value(text, self.dtype, True, self.b.depth)

    def write(self, local: Value, value: Value, number: int | Value = 0) -> None:
        pointer = self._pointer(local, number)
        wide = self.b.broadcast(value)
        self.b.effect(f"store {wide.type} {wide.text}, ptr {pointer}, align 4")


class Column(Protocol):
    """A reduction of every column of a panel."""

    blocked: bool

    def start(self, local: Value) -> None: ...
    def enter(self, local: Value) -> None: ...
    def step(self, local: Value, turn: Turn) -> None: ...
    def leave(self, local: Value) -> None: ...
    def result(self, local: Value) -> Value: ...


class Sums:
    """Sum or product in the canonical order: LANES partial results and the total of the runs."""

    blocked = True

    def __init__(self, b: LLVMBuilder, op: str, dtype: DType) -> None:
        self.b = b
        self.op = op
        self.identity = b.const(IDENTITY[op], dtype.compute)
        self.partials = Cells(b, dtype, LANES)
        self.total = Cells(b, dtype)

    def start(self, local: Value) -> None:
        self.total.write(local, self.identity)

    def enter(self, local: Value) -> None:
        for number in range(LANES):
            self.partials.write(local, self.identity, number)

    def step(self, local: Value, turn: Turn) -> None:
        slot = turn.index[0] & (LANES - 1)
        total = self.partials.read(local, slot)
        for value in turn.values:
            total = self.b.arithmetic(self.op, total, self.b.widen(value))
        self.partials.write(local, total, slot)

    def leave(self, local: Value) -> None:
        parts = [self.partials.read(local, number) for number in range(LANES)]
        while len(parts) > 1:
            half = len(parts) // 2
            pairs = zip(parts[:half], parts[half:], strict=True)
            parts = [self.b.arithmetic(self.op, low, high) for low, high in pairs]
        total = self.b.arithmetic(self.op, self.total.read(local), parts[0])
        self.total.write(local, total)

    def result(self, local: Value) -> Value:
        return self.total.read(local)


class Carried:
    """Any other accumulator: its registers wait in cells."""

    blocked = False

    def __init__(self, b: LLVMBuilder, inner: Accumulator) -> None:
        self.inner = inner
        self.cells = [Cells(b, value.dtype) for value in inner.start()]

    def start(self, local: Value) -> None:
        self._write(local, self.inner.start())

    def enter(self, local: Value) -> None:
        pass

    def step(self, local: Value, turn: Turn) -> None:
        self._write(local, self.inner.step(self._read(local), turn))

    def leave(self, local: Value) -> None:
        pass

    def result(self, local: Value) -> Value:
        return self.inner.finish(self._read(local))

    def _read(self, local: Value) -> State:
        return [cell.read(local) for cell in self.cells]

    def _write(self, local: Value, state: State) -> None:
        for cell, value in zip(self.cells, state, strict=True):
            cell.write(local, value)


def column(b: LLVMBuilder, fold: Fold, dtype: DType) -> Column:
    """The accumulator of `fold` over values of `dtype`."""
    if fold.op in IDENTITY and not fold.plain:
        return Sums(b, fold.op, dtype)
    return Carried(b, accumulator(b, fold, dtype, None))


class PanelFolds:
    """Writes one pass with folds over a panel; its map, if any, is done at each point first."""

    def __init__(self, loops: Loops, part: Pass) -> None:
        self.loops = loops
        self.b = loops.b
        self.tape = loops.tape
        self.folds = part.folds
        self.map = part.map
        axes, joined = part.folds[0].axes, part.folds[0].joined
        self.outer, self.last = axes[:-joined], axes[-1]
        self.joined = JoinedAxes(loops, axes[-joined:])
        tape = loops.kernel.tape
        self.kinds = [column(self.b, fold, dtype_of(tape[fold.value])) for fold in part.folds]
        self.several = SEVERAL if self.may_leap() else 1

    def may_leap(self) -> bool:
        """May rows LANES apart be taken together? Not if their order counts, or code would grow."""
        wanted = [*(fold.value for fold in self.folds), *(roots(self.map) if self.map else ())]
        used = closure(self.loops.kernel.tape, wanted)
        length = sum(self.tape.length(number) for number in used)
        return length <= SHORT and not any(f.plain or f.op.startswith("arg") for f in self.folds)

    def results(self) -> list[Read]:
        """What each fold computes."""
        self.each(lambda kind, local: kind.start(local))
        self.loops.nest(self.outer, [], lambda _: self.runs())
        return [kind.result for kind in self.kinds]

    def each(self, body: Callable[[Column, Value], None], blocked: bool = False) -> None:
        """Something for every column of those accumulators (only the blocked ones)."""
        kinds = [kind for kind in self.kinds if kind.blocked or not blocked]

        def columns(local: Value) -> None:
            for kind in kinds:
                body(kind, local)

        self.loops.columns(columns)

    def runs(self) -> State:
        """All runs of BLOCK indices of the last axis, at one point of the outer axes."""
        begin, end = self.loops.run_bounds(self.joined.extent())
        if not any(kind.blocked for kind in self.kinds):
            self.rows(begin, end)
            return []
        with self.b.loop(begin.text, end.text, BLOCK) as loop:
            low = self.loops.inside(loop.index)
            high = self.loops.smaller(low + BLOCK, end)
            self.each(lambda kind, local: kind.enter(local), blocked=True)
            self.rows(low, high)
            self.each(lambda kind, local: kind.leave(local), blocked=True)
        return []

    def rows(self, low: Value, high: Value) -> None:
        """Every row of low..high, across the panel."""
        self.joined.rows([], low, high, self.some_rows)

    def some_rows(self, state: State, low: Value, high: Value, start: Value) -> State:
        """Those at low..high of the last axis, whose first is number `start` of all joined axes."""
        if self.several > 1:
            stop = self.loops.whole(low, high, LANES * self.several)
            with self.b.loop(low.text, stop.text, LANES * self.several) as chunk:
                first = self.loops.inside(chunk.index)
                with self.b.loop(first.text, (first + LANES).text, 1) as loop:
                    here = self.loops.inside(loop.index)
                    self.together([here + LANES * copy for copy in range(self.several)], start)
            low = stop
        with self.b.loop(low.text, high.text, 1) as loop:
            self.together([self.loops.inside(loop.index)], start)
        return state

    def together(self, rows: Sequence[Value], start: Value) -> None:
        """Some rows, across the panel."""
        index = [start + row for row in rows]
        places = [self.place(here) for here in index]
        self.loops.columns(lambda local: self.point(local, rows, index, places))

    def point(
        self, local: Value, rows: Sequence[Value], index: Sequence[Value], places: Sequence[Value]
    ) -> None:
        copies = [self.values(row) for row in rows]
        for kind, column in zip(self.kinds, zip(*copies, strict=True), strict=True):
            kind.step(local, Turn(column, index, places, None))

    def values(self, row: Value) -> list[Value]:
        """What each fold takes in of a row, after the map was done there."""
        with self.b.scope():
            self.tape.bind(self.last, row)
            if self.map is not None:
                self.tape.store(self.map.stores, forward=True)
            found = [self.tape.value(fold.value) for fold in self.folds]
        for value in found:  # what is written in a scope without a loop stands for good
            value.depth = min(value.depth, self.b.depth)
        return found

    def place(self, index: Value) -> Value:
        """Row-major over all reduced axes."""
        outer = self.b.const(0, int64)
        for axis in self.outer:
            outer = outer * self.loops.extent(axis) + self.tape.bound(axis)
        return outer * self.joined.extent() + index if self.outer else index
