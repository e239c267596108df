"""`emit_loop`: a LoopKernel as the text of an LLVM module.

Vectors are explicit: nothing is left to LLVM's vectorisers, so that few passes are enough and the
bits do not depend on them. A vector loop runs unmasked over full vectors (several in one turn if
the body is short); what is left is done by a second copy of the body under a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ambos.compiler.emit_fold import Accumulator, Turn, accumulator
from ambos.compiler.loops import (
    BLOCK,
    LANES,
    Apply,
    Fold,
    Load,
    LoopKernel,
    Map,
    Result,
)
from ambos.compiler.memory import lane_numbers
from ambos.compiler.scalar import LLVMBuilder, Value
from ambos.compiler.tape import Lower, TapeEmitter, dtype_of
from ambos.core.dtype import int32, int64

PASSES = ("instruction_combine", "simplify_cfg")

Body = Callable[[Value], None]
State = list[Value]


def emit_loop(kernel: LoopKernel, name: str, lower: Lower) -> str:
    """The LLVM module that defines @name with the kernel ABI of core.program.

    `lower(op)` gives the scalar rule `rule(builder, *values)` of a pointwise op.
    """
    emitter = LoopEmitter(kernel, lower)
    emitter.items()
    return module(emitter.b, name)


def module(b: LLVMBuilder, name: str) -> str:
    """The text of a module with the kernel that `b` holds."""
    heading = f'define void @"{name}"(ptr %args, i64 %begin, i64 %end, ptr %scratch) nounwind {{'
    functions = [text for _, _, text in b.functions.values()]
    return "\n".join([heading, b.body() + "}", *functions, *b.declarations, ""])


class LoopEmitter:
    """Writes one LoopKernel."""

    def __init__(self, kernel: LoopKernel, lower: Lower) -> None:
        self.kernel = kernel
        self.b = LLVMBuilder()
        stores = [s for stage in kernel.stages if isinstance(stage, Map) for s in stage.stores]
        written = frozenset(store.buffer.word for store in stores)
        self.tape = TapeEmitter(self.b, kernel.tape, lower, written, kernel.lane)

    # --- loops around the stages -----------------------------------------------------------------

    def extent(self, axis: int) -> Value:
        return self.tape.size(self.kernel.extents[axis])

    def inside(self, register: str) -> Value:
        """An int64 register of the innermost scope (a loop's index)."""
        return self.b.value(register, int64, False, self.b.depth)

    def items(self) -> None:
        """The loop over the work items that the caller asked for."""
        kernel = self.kernel
        if kernel.grain is not None:
            with self.b.loop("%begin", "%end", 1) as item:
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
        first = self.decode(self.b.value("%begin", int64, False, 0))
        with self.b.loop("%begin", "%end", 1, [("i64", index.text) for index in first]) as item:
            indices = [self.inside(register) for register in item.inner]
            for axis, index in zip(kernel.grid, indices, strict=True):
                self.tape.bind(axis, index)
            item.next = [index.text for index in self.successor(indices)]
            self.serial(self.inner)

    def smaller(self, a: Value, b: Value) -> Value:
        return self.b.select(a < b, a, b)

    def decode(self, item: Value) -> list[Value]:
        """The grid indices of a flattened item."""
        indices: list[Value] = []
        for axis in reversed(self.kernel.grid[1:]):
            extent = self.extent(axis)
            indices.append(self.b.binary("urem", item, self.b.select(extent.eq(0), 1, extent)))
            item = self.b.binary("udiv", item, self.b.select(extent.eq(0), 1, extent))
        return [item, *reversed(indices)]

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
        single = len(self.kernel.stages) == 1 and not self.kernel.stages[0].axes

        def body(base: Value, mask: Value | None) -> None:
            self.tape.bind(axis, base, True, mask)
            self.stages()

        self.vectors(low, high, body, 4 if single else 1)

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
            copies = unroll if self.b.size - before < 40 else 1
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
        """Every stage in order; folds that run over the same axes share their loops."""
        number = 0
        while number < len(self.kernel.stages):
            stage = self.kernel.stages[number]
            if isinstance(stage, Map):
                with self.b.scope():
                    self.tape.floor = self.b.depth
                    self.map(stage)
                number += 1
            else:
                group = self.group(number)
                with self.b.scope():
                    self.tape.floor = self.b.depth
                    results = self.fold([f for _, f in group])
                for (which, _), result in zip(group, results, strict=True):
                    result.depth = min(result.depth, self.b.depth)
                    self.tape.bind_result(which, result)
                number += len(group)

    def group(self, number: int) -> list[tuple[int, Fold]]:
        """The folds from `number` on that need none of each other's results."""
        first = self.kernel.stages[number]
        group: list[tuple[int, Fold]] = []
        for which in range(number, len(self.kernel.stages)):
            stage = self.kernel.stages[which]
            if not isinstance(stage, Fold) or stage.axes != first.axes:
                break
            if any(self.needs(stage.value, earlier) for earlier, _ in group):
                break
            group.append((which, stage))
        return group

    def needs(self, number: int, stage: int) -> bool:
        """Whether instruction `number` depends on the result of `stage`."""
        seen, todo = set(), [number]
        while todo:
            current = todo.pop()
            if current in seen:
                continue
            seen.add(current)
            instruction = self.kernel.tape[current]
            if isinstance(instruction, Result) and instruction.stage == stage:
                return True
            if isinstance(instruction, Apply):
                todo += instruction.args
            elif isinstance(instruction, Load):
                todo += [value for value, _ in instruction.index.gathers]
                todo += [] if instruction.mask is None else [instruction.mask]
        return False

    def map(self, stage: Map) -> None:
        """The stores of a Map at every point of its axes."""
        if self.kernel.lane is not None or stage.ordered or not stage.axes:
            self.nest(stage.axes, [], lambda _: self.point(stage))
            return
        *outer, last = stage.axes

        def body(base: Value, mask: Value | None) -> None:
            self.tape.bind(last, base, True, mask)
            self.tape.store(stage.stores)

        def row(_: State) -> State:
            self.vectors(self.b.const(0, int64), self.extent(last), body, 4)
            return []

        self.nest(outer, [], row)

    def point(self, stage: Map) -> State:
        if stage.ordered:  # what earlier points wrote is read again
            self.tape.floor = self.b.depth
        self.tape.store(stage.stores)
        return []

    # --- folds -----------------------------------------------------------------------------------

    def fold(self, folds: list[Fold]) -> list[Value]:
        """The results of folds over the same axes, in one pass."""
        across = self.kernel.lane is None
        kinds = [
            accumulator(self.b, fold, dtype_of(self.kernel.tape[fold.value]), across)
            for fold in folds
        ]
        *outer_axes, last = folds[0].axes
        sizes: list[int] = []
        state: State = []
        for kind in kinds:
            begun = kind.start()
            if not across:
                begun = [self.b.broadcast(v) for v in begun]
            sizes.append(len(begun))
            state += begun
        run = FoldRun(self, folds, kinds, outer_axes, last, across)
        state = self.nest(outer_axes, state, lambda s: run.runs(s, sizes))
        return [kind.finish(part) for kind, part in zip(kinds, split(state, sizes), strict=True)]


def split(values: State, sizes: Sequence[int]) -> list[State]:
    """Consecutive parts of `values`."""
    parts, start = [], 0
    for size in sizes:
        parts.append(values[start : start + size])
        start += size
    return parts


class FoldRun:
    """The loops over the last axis of a group of folds."""

    def __init__(
        self,
        emitter: LoopEmitter,
        folds: list[Fold],
        kinds: list[Accumulator],
        outer: Sequence[int],
        last: int,
        across: bool,
    ) -> None:
        self.emitter = emitter
        self.b = emitter.b
        self.tape = emitter.tape
        self.folds = folds
        self.kinds = kinds
        self.outer = outer
        self.last = last
        self.across = across
        self.unroll = min(kind.unroll for kind in kinds)

    def runs(self, state: State, sizes: Sequence[int]) -> State:
        """All runs of BLOCK indices of the last axis, at one point of the outer axes."""
        extent = self.emitter.extent(self.last)
        zero = self.b.const(0, int64)
        if not any(kind.blocked for kind in self.kinds):
            return self.run(state, sizes, zero, extent)
        with self.b.loop("0", extent.text, BLOCK, [(v.type, v.text) for v in state]) as loop:
            low = self.emitter.inside(loop.index)
            high = self.emitter.smaller(low + BLOCK, extent)
            inner = self.run(self.emitter.renew(state, loop.inner), sizes, low, high)
            loop.next = [v.text for v in inner]
        return self.emitter.renew(state, loop.outer)

    def run(self, state: State, sizes: Sequence[int], low: Value, high: Value) -> State:
        """One run: into the accumulators, along low..high, and out of them."""
        outer = split(state, sizes)
        parts = [kind.enter(part) for kind, part in zip(self.kinds, outer, strict=True)]
        inner_sizes = [len(part) for part in parts]
        inner = [value for part in parts for value in part]
        if self.across:
            full = self.emitter.whole(low, high, LANES * self.unroll)
            inner = self.turns(inner, inner_sizes, low, full, high, self.unroll, False)
            inner = self.turns(inner, inner_sizes, full, high, high, 1, True)
        else:
            inner = self.turns(inner, inner_sizes, low, high, high, 1, False)
        left = zip(self.kinds, outer, split(inner, inner_sizes), strict=True)
        return [value for kind, part, done in left for value in kind.leave(part, done)]

    def turns(
        self,
        inner: State,
        sizes: Sequence[int],
        low: Value,
        stop: Value,
        high: Value,
        unroll: int,
        masked: bool,
    ) -> State:
        """A loop over low..stop that takes `unroll` vectors (or one index) in a turn."""
        step = LANES * unroll if self.across else 1
        with self.b.loop(low.text, stop.text, step, [(v.type, v.text) for v in inner]) as loop:
            base = self.emitter.inside(loop.index)
            mask = self.emitter.mask(base, high) if masked else None
            values: list[list[Value]] = [[] for _ in self.folds]
            index: list[Value] = []
            places: list[Value] = []
            for copy in range(unroll):
                here = base + copy * LANES if copy else base
                with self.b.scope():
                    self.tape.bind(self.last, here, self.across, mask)
                    for fold, column in zip(self.folds, values, strict=True):
                        column.append(self.tape.value(fold.value))
                index.append(here)
                places.append(self.position(here))
            state = split(self.emitter.renew(inner, loop.inner), sizes)
            following: State = []
            for kind, part, column in zip(self.kinds, state, values, strict=True):
                following += kind.step(part, Turn(column, index, places, mask))
            loop.next = [v.text for v in following]
        return self.emitter.renew(inner, loop.outer)

    def position(self, index: Value) -> Value:
        """The row-major position, within the folded axes, of `index` along the last."""
        total: Value | None = None
        for axis in self.outer:
            here = self.tape.bound(axis)
            total = here if total is None else total * self.emitter.extent(axis) + here
        return index if total is None else total * self.emitter.extent(self.last) + index
