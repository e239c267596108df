"""`emit_loop`: a LoopKernel as the text of an LLVM module.

Vectors are explicit: nothing is left to LLVM's vectorisers, so that few passes are enough and the
bits do not depend on them. A vector loop runs unmasked over full vectors (several in one turn if
the body is short); what is left is done by a second copy of the body under a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ambos.compiler.column_values import keep_column_values
from ambos.compiler.emit_fold import FoldLoops
from ambos.compiler.emit_tile import TileLoops
from ambos.compiler.loops import BLOCK, LANES, PANEL, Columns, Fold, LoopKernel, Map
from ambos.compiler.loops_around import State
from ambos.compiler.memory import lane_numbers
from ambos.compiler.panel import PanelFolds
from ambos.compiler.scalar import LLVMBuilder
from ambos.compiler.stages import passes
from ambos.compiler.tape import Lower, TapeEmitter
from ambos.compiler.values import Value
from ambos.core.dtype import int32, int64

# What this text needs of LLVM: two passes, then code generation at -O2 with "-disable-lsr".
# Measured (one core, AVX2 and AVX-512, run times equal within the noise of 3%): a small map 3.3 ms
# against 7.4 with loop strength reduction and 17 with the full -O2 pipeline; a softmax row kernel
# 10-17 ms against 16-21 and 50. Loop invariants are hoisted and addresses grouped as they are
# written, so that pass only searches. Even the two passes gain no speed (0.6 and 2.5 ms);
# they keep rules that were written naively from costing registers.
PASSES = ("instruction_combine", "simplify_cfg")

Body = Callable[[Value], None]
STRIP = 8  # points that a vector visits before the next vector does


def emit_loop(kernel: LoopKernel, name: str, lower: Lower) -> str:
    """The LLVM module that defines @name with the kernel ABI of core.program.

    `lower(op)` gives the scalar rule `rule(builder, *values)` of a pointwise op.
    """
    emitter = LoopEmitter(kernel, lower)
    emitter.items()
    if emitter.streams:  # these stores are not ordered with what comes after
        emitter.b.effect("fence seq_cst")
    return module(emitter.b, name)


def module(b: LLVMBuilder, name: str) -> str:
    """The text of a module with the kernel that `b` holds."""
    heading = f'define void @"{name}"(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {{'
    functions = [text for _, _, text in b.functions.values()]
    return "\n".join([heading, b.body() + "}", *functions, *b.declarations, ""])


class LoopEmitter:
    """Writes one LoopKernel."""

    streams = False  # does any store go past the caches?

    def __init__(self, kernel: LoopKernel, lower: Lower) -> None:
        self.kernel = kernel
        self.b = LLVMBuilder()
        stores = [s for stage in kernel.stages if isinstance(stage, Map) for s in stage.stores]
        written = frozenset(store.buffer.word for store in stores)
        self.streams = any(store.stream for store in stores)
        self.tape = TapeEmitter(self.b, kernel.tape, lower, written, kernel.lane)
        folds = any(isinstance(stage, Fold) for stage in kernel.stages)
        self.panel: tuple[Value, Value] | None = None  # the columns that the stages work on
        self.in_panels = kernel.lane is not None and folds

    # --- loops around the stages -----------------------------------------------------------------

    def extent(self, axis: int) -> Value:
        return self.tape.size(self.kernel.extents[axis])

    def inside(self, register: str) -> Value:
        """An int64 register of the innermost scope (a loop's index)."""
        return self.b.value(register, int64, False, self.b.depth)

    def items(self) -> None:
        """The loop over the work items that the caller asked for."""
        kernel = self.kernel
        if kernel.tile is not None:
            TileLoops(self, kernel.tile).items()
            return
        end = self.end()
        if kernel.columns is not None:
            self.slots(kernel.columns, end)
            return
        if kernel.grain is not None:
            with self.b.loop("%begin", end, 1) as item:
                axis, grain = kernel.grid[0], self.tape.size(kernel.grain)
                low = self.inside(item.index) * grain
                high = self.smaller(low + grain, self.extent(axis))
                if axis == kernel.lane:
                    self.serial(lambda: self.lanes(low, high))
                else:
                    with self.b.loop(low.text, high.text, 1) as loop:
                        self.tape.bind(axis, self.inside(loop.index))
                        self.serial(self.inner)
            return
        first = self.decode(self.b.value("%begin", int64, False, 0), kernel.grid)
        with self.b.loop("%begin", end, 1, [("i64", index.text) for index in first]) as item:
            indices = [self.inside(register) for register in item.inner]
            for axis, index in zip(kernel.grid, indices, strict=True):
                self.tape.bind(axis, index)
            item.next = [index.text for index in self.successor(indices)]
            self.serial(self.inner)

    def slots(self, columns: Columns, end: str) -> None:
        """Items of a kernel with sums of columns: some of the slots of a run of rows."""
        assert self.kernel.grain is not None
        grain, (row,) = self.tape.size(self.kernel.grain), self.kernel.grid
        groups = self.b.binary("udiv", self.b.const(LANES, int64), grain)
        with self.b.loop("%begin", end, 1) as item:
            number = self.inside(item.index)
            run = self.b.binary("udiv", number, groups)
            first = (number - run * groups) * grain
            low = run * BLOCK
            high = self.smaller(low + BLOCK, self.extent(row))
            self.tape.bind(columns.run, run)
            with self.b.loop(first.text, (first + grain).text, 1) as loop:
                self.tape.bind(columns.slot, self.inside(loop.index))
                self.map(columns.clear)
            with self.b.loop((low + first).text, high.text, LANES) as loop:
                start = self.inside(loop.index)
                stop = self.smaller(start + grain, high)
                with self.b.loop(start.text, stop.text, 1) as rows:
                    index = self.inside(rows.index)
                    self.tape.bind(row, index)
                    self.tape.bind(columns.slot, index & (LANES - 1))
                    self.serial(self.inner)

    def end(self) -> str:
        """Where the items end that are asked for: at once, if the kernel has nothing to do."""
        if self.kernel.unless_same is None:
            return "%end"
        first, second = (self.tape.word(word, "ptr") for word in self.kernel.unless_same)
        same = self.b.pure(f"icmp eq ptr {first}, {second}", 0)
        return self.b.pure(f"select i1 {same}, i64 %begin, i64 %end", 0)

    def smaller(self, a: Value, b: Value) -> Value:
        return self.b.select(a < b, a, b)

    def decode(self, item: Value, axes: Sequence[int]) -> list[Value]:
        """The indices along `axes` of a row-major number, such as the grid's of an item."""
        indices: list[Value] = []
        for axis in reversed(axes[1:]):
            extent = self.extent(axis)
            indices.append(self.b.binary("urem", item, self.b.select(extent.eq(0), 1, extent)))
            item = self.b.binary("udiv", item, self.b.select(extent.eq(0), 1, extent))
        return [item, *reversed(indices)]

    def bind(self, axes: Sequence[int], number: Value) -> None:
        """In the innermost scope `axes` are at the place with this row-major number."""
        for axis, index in zip(axes, self.decode(number, axes), strict=True):
            self.tape.bind(axis, index)

    def successor(self, indices: list[Value]) -> list[Value]:
        """The grid indices of the next item: the last counts on, full ones carry."""
        following: list[Value] = []
        carry: Value | None = None
        for axis, index in reversed(list(zip(self.kernel.grid, indices, strict=True))):
            value = index + 1 if carry is None else self.b.select(carry, index + 1, index)
            carry = value.eq(self.extent(axis))
            if axis != self.kernel.grid[0]:
                value = self.b.select(carry, 0, value)
            following.append(value)
        return following[::-1]

    def serial(self, body: Callable[[], None]) -> None:
        def point(_: State) -> State:
            body()
            return []

        self.nest(self.kernel.serial, [], point)

    def inner(self) -> None:
        """Inside the item: the lane loop if there is one, then the stages."""
        if self.kernel.lane is None:
            self.stages()
        else:
            self.lanes(self.b.const(0, int64), self.extent(self.kernel.lane))

    def lanes(self, low: Value, high: Value) -> None:
        axis = self.kernel.lane
        assert axis is not None
        if self.in_panels:
            with self.b.loop(low.text, high.text, PANEL) as loop:
                start = self.inside(loop.index)
                self.panel = start, self.smaller(start + PANEL, high)
                self.tape.origin = start
                self.stages()
            return
        only = self.kernel.stages[0] if len(self.kernel.stages) == 1 else None
        if isinstance(only, Map) and only.ordered:
            self.nest(only.axes, [], lambda _: self.ordered_lanes(only, low, high))
            return
        if isinstance(only, Map) and only.axes:
            self.strips(only, low, high)
            return

        def body(base: Value, mask: Value | None) -> None:
            self.tape.bind(axis, base, True, mask)
            self.stages()

        self.vectors(low, high, body, 1 if only is None else 4)

    def strips(self, stage: Map, low: Value, high: Value) -> None:
        """A map whose points are few at a time the inner loop: what they share stays in registers,
        and memory is still touched in long pieces."""
        axis, (*outer, last) = self.kernel.lane, stage.axes
        assert axis is not None

        def strip(_: State) -> State:
            extent = self.extent(last)
            with self.b.loop("0", extent.text, STRIP) as loop:
                start = self.inside(loop.index)
                stop = self.smaller(start + STRIP, extent)

                def body(base: Value, mask: Value | None) -> None:
                    self.tape.bind(axis, base, True, mask)
                    with self.b.loop(start.text, stop.text, 1) as points:
                        self.tape.bind(last, self.inside(points.index))
                        self.tape.store(stage.stores)

                self.vectors(low, high, body, 1)
            return []

        self.nest(outer, [], strip)

    def ordered_lanes(self, stage: Map, low: Value, high: Value) -> State:
        """One point of an ordered map, for all lanes: these never meet, so that points may be the
        outer loop and memory be touched in long pieces."""
        axis = self.kernel.lane
        assert axis is not None

        def body(base: Value, mask: Value | None) -> None:
            self.tape.bind(axis, base, True, mask)
            self.tape.floor = self.b.depth  # what earlier points wrote is read again
            self.tape.store(stage.stores)

        self.vectors(low, high, body, 4)
        return []

    def columns(self, body: Callable[[Value], None]) -> None:
        """`body(place in the panel)` for every vector of its columns."""
        assert self.kernel.lane is not None
        assert self.panel is not None
        axis, (low, high) = self.kernel.lane, self.panel

        def vector(base: Value, mask: Value | None) -> None:
            self.tape.bind(axis, base, True, mask)
            body(base - low)

        self.vectors(low, high, vector, 4)

    def run_bounds(self, extent: Value) -> tuple[Value, Value]:
        """Which indices of its last axis, of `extent`, a fold covers."""
        if self.kernel.run is None:
            return self.b.const(0, int64), extent
        low = self.tape.bound(self.kernel.run) * BLOCK
        return low, self.smaller(low + BLOCK, extent)

    def nest(self, axes: Sequence[int], state: State, body: Callable[[State], State]) -> State:
        """Scalar loops over `axes` that hand `state` from turn to turn."""
        if not axes:
            return body(state)
        extent = self.extent(axes[0])
        with self.b.loop("0", extent.text, 1, [(v.type, v.text) for v in state]) as loop:
            self.tape.bind(axes[0], self.inside(loop.index))
            inner = self.nest(axes[1:], self.renew(state, loop.inner), body)
            loop.next = [v.text for v in inner]
        return self.renew(state, loop.outer)

    def renew(self, state: State, registers: list[str]) -> State:
        """`state` in other registers, which the innermost scope defines."""
        return [
            self.b.value(register, old.dtype, old.vector, self.b.depth)
            for old, register in zip(state, registers, strict=True)
        ]

    def mask(self, base: Value, high: Value) -> Value:
        """Which of the lanes from `base` on are below `high`."""
        left = self.b.convert(high - base, int32)  # a masked loop starts near its end
        return lane_numbers(self.b, int32) < left

    def whole(self, low: Value, high: Value, step: int) -> Value:
        """The end of the largest multiple of `step` that fits into low..high."""
        return low + self.b.select(high > low, (high - low) & -step, 0)

    def vectors(
        self, low: Value, high: Value, body: Callable[[Value, Value | None], None], unroll: int
    ) -> None:
        """Vectors over low..high without state: up to `unroll` in a turn, then a masked rest."""
        with self.b.loop(low.text, "", 0) as loop:
            start, before = self.inside(loop.index), self.b.size
            with self.b.scope():
                body(start, None)
            several = self.streams and not self.b.functions  # lines in a row go out faster
            limit = 160 if several else 40
            copies = unroll if self.b.size - before < limit else 1
            for copy in range(1, copies):
                with self.b.scope():
                    body(start + copy * LANES, None)
            loop.step = copies * LANES
            full = self.whole(low, high, loop.step)
            loop.stop = full.text
        with self.b.loop(full.text, high.text, LANES) as loop:
            start = self.inside(loop.index)
            body(start, self.mask(start, high))

    # --- stages ----------------------------------------------------------------------------------

    def stages(self) -> None:
        """Every stage in order; a map and folds over the same axes share their loops."""
        for part in passes(self.kernel):
            with self.b.scope():
                self.tape.floor = self.b.depth
                if self.in_panels:
                    keep_column_values(self, part)
                if not part.folds:
                    assert part.map is not None
                    self.map(part.map)
                    continue
                if self.in_panels:
                    found = zip(part.numbers, PanelFolds(self, part).results(), strict=True)
                    self.tape.columns.update(found)
                    continue
                results = FoldLoops(self, part).results()
            for number, result in zip(part.numbers, results, strict=True):
                result.depth = min(result.depth, self.b.depth)
                self.tape.bind_result(number, result)

    def map(self, stage: Map) -> None:
        """The stores of a Map at every point of its axes."""
        assert not stage.axes or self.kernel.run is None  # such maps go with a fold
        if self.in_panels:
            self.nest(stage.axes, [], lambda _: self.row(stage))
            return
        if self.kernel.lane is not None or stage.ordered or not stage.axes:
            self.nest(stage.axes, [], lambda _: self.point(stage))
            return
        *outer, last = stage.axes

        def body(base: Value, mask: Value | None) -> None:
            self.tape.bind(last, base, True, mask)
            if mask is None and self.kernel.ahead is not None:
                self.tape.announce(stage.stores, self.tape.size(self.kernel.ahead))
            self.tape.store(stage.stores)

        def row(_: State) -> State:
            self.vectors(self.b.const(0, int64), self.extent(last), body, 4)
            return []

        self.nest(outer, [], row)

    def row(self, stage: Map) -> State:
        self.columns(lambda _: self.tape.store(stage.stores))
        return []

    def point(self, stage: Map) -> State:
        if stage.ordered:  # what earlier points wrote is read again
            self.tape.floor = self.b.depth
        self.tape.store(stage.stores)
        return []
