"""The loops of folds: one pass over the reduced axes for all folds that can share it."""

from __future__ import annotations

from collections.abc import Sequence

from ambos.compiler.accumulate import Turn, accumulator
from ambos.compiler.joined import JoinedAxes
from ambos.compiler.loops import BLOCK, LANES
from ambos.compiler.loops_around import Loops, State
from ambos.compiler.memory import lane_numbers
from ambos.compiler.stages import Pass
from ambos.compiler.tape import dtype_of
from ambos.compiler.values import Value
from ambos.core.dtype import int32, int64

LANE_BITS = LANES.bit_length() - 1


def split(values: State, sizes: Sequence[int]) -> list[State]:
    """Consecutive parts of `values`."""
    parts, start = [], 0
    for size in sizes:
        parts.append(values[start : start + size])
        start += size
    return parts


class FoldLoops:
    """Writes one pass with folds; its map, if any, is done at each point first."""

    def __init__(self, loops: Loops, part: Pass) -> None:
        self.loops = loops
        self.b = loops.b
        self.tape = loops.tape
        self.folds = part.folds
        self.map = part.map
        axes, joined = part.folds[0].axes, part.folds[0].joined
        self.outer, self.last = axes[:-joined], axes[-1]
        self.joined = JoinedAxes(loops, axes[-joined:])
        self.across = not part.folds[0].plain  # lanes along the last axis, or one by one
        locate = self.locate if self.across else None
        self.kinds = [
            accumulator(self.b, fold, dtype_of(loops.kernel.tape[fold.value]), locate)
            for fold in part.folds
        ]
        self.unroll = 1 if part.map else min(kind.unroll for kind in self.kinds)

    def results(self) -> list[Value]:
        """What each fold computes."""
        parts = [kind.start() for kind in self.kinds]
        sizes = [len(part) for part in parts]
        state = [value for part in parts for value in part]
        state = self.loops.nest(self.outer, state, lambda s: self.runs(s, sizes))
        ends = zip(self.kinds, split(state, sizes), strict=True)
        return [kind.finish(part) for kind, part in ends]

    def runs(self, state: State, sizes: Sequence[int]) -> State:
        """All runs of BLOCK indices of the last axis, at one point of the outer axes."""
        begin, end = self.loops.run_bounds(self.joined.extent())
        if not any(kind.blocked for kind in self.kinds):
            return self.run(state, sizes, begin, end)
        carried = [(v.type, v.text) for v in state]
        with self.b.loop(begin.text, end.text, BLOCK, carried) as loop:
            low = self.loops.inside(loop.index)
            high = self.loops.smaller(low + BLOCK, end)
            inner = self.run(self.loops.renew(state, loop.inner), sizes, low, high)
            loop.next = [v.text for v in inner]
        return self.loops.renew(state, loop.outer)

    def run(self, state: State, sizes: Sequence[int], low: Value, high: Value) -> State:
        """One run: into the accumulators, along low..high, and out of them."""
        outer = split(state, sizes)
        parts = [kind.enter(part) for kind, part in zip(self.kinds, outer, strict=True)]
        inner_sizes = [len(part) for part in parts]
        inner = [value for part in parts for value in part]
        inner = self.joined.rows(inner, low, high, lambda *row: self.row(inner_sizes, *row))
        left = zip(self.kinds, outer, split(inner, inner_sizes), strict=True)
        return [value for kind, part, done in left for value in kind.leave(part, done)]

    def row(
        self, sizes: Sequence[int], inner: State, low: Value, high: Value, start: Value
    ) -> State:
        """Indices low..high of the last axis, whose first is number `start` of all joined axes."""
        if not self.across:
            return self.turns(inner, sizes, low, high, start, 1)
        if self.joined.outer:
            inner, low = self.head(inner, sizes, low, high, start)
        full = self.loops.whole(low, high, LANES * self.unroll)
        inner = self.turns(inner, sizes, low, full, start, self.unroll)
        return self.turns(inner, sizes, full, high, start, 1, masked=True)

    def head(
        self, inner: State, sizes: Sequence[int], low: Value, high: Value, start: Value
    ) -> tuple[State, Value]:
        """What a row has before its first whole vector, each element in its lane; where that is."""
        phase = (start + low) & (LANES - 1)
        base = low - phase
        with self.b.when("0", phase.text, [(v.type, v.text) for v in inner]) as loop:
            lane, left = lane_numbers(self.b, int32), self.loops.mask(base, high)
            mask = left & (lane >= self.b.convert(phase, int32))
            state = self.loops.renew(inner, loop.inner)
            loop.next = [v.text for v in self.turn(state, sizes, [base], start, mask)]
        first = self.b.select(phase.eq(0), low, base + LANES)
        return self.loops.renew(inner, loop.outer), first

    def turns(
        self, inner: State, sizes: Sequence[int], low: Value, high: Value, start: Value,
        unroll: int, masked: bool = False,
    ) -> State:  # fmt: skip
        """A loop over low..high that takes `unroll` vectors (or one index) in a turn."""
        step = LANES * unroll if self.across else 1
        with self.b.loop(low.text, high.text, step, [(v.type, v.text) for v in inner]) as loop:
            base = self.loops.inside(loop.index)
            index = [base + copy * LANES if copy else base for copy in range(unroll)]
            mask = self.loops.mask(base, high) if masked else None
            state = self.loops.renew(inner, loop.inner)
            loop.next = [v.text for v in self.turn(state, sizes, index, start, mask)]
        return self.loops.renew(inner, loop.outer)

    def turn(
        self, inner: State, sizes: Sequence[int], index: Sequence[Value], start: Value,
        mask: Value | None,
    ) -> State:  # fmt: skip
        """Vectors (or one element) at each `index` of the last axis, into the accumulators."""
        copies = [self.values(here, mask) for here in index]
        number = [start + here for here in index]
        places = [self.place(here) for here in number]
        following: State = []
        parts, columns = split(inner, sizes), zip(*copies, strict=True)
        for kind, part, column in zip(self.kinds, parts, columns, strict=True):
            following += kind.step(part, Turn(column, number, places, mask))
        return following

    def values(self, index: Value, mask: Value | None) -> list[Value]:
        """What each fold takes in at `index` of the last axis, after the map was done there."""
        with self.b.scope():
            self.tape.bind(self.last, index, self.across, mask)
            if self.map is not None:
                self.tape.store(self.map.stores, forward=True)
            return [self.tape.value(fold.value) for fold in self.folds]

    def place(self, index: Value) -> Value:
        """Where in the fold `index` of the joined axes is: see accumulate.Turn."""
        outer = self.b.const(0, int64)
        for axis in self.outer:
            outer = outer * self.loops.extent(axis) + self.tape.bound(axis)
        if not self.across:
            return outer * self.joined.extent() + index if self.outer else index
        turn = index >> LANE_BITS
        return self.b.convert(outer * self.num_turns() + turn if self.outer else turn, int32)

    def num_turns(self) -> Value:
        """Vectors along the joined axes, the masked one included."""
        return (self.joined.extent() + (LANES - 1)) >> LANE_BITS

    def locate(self, turn: Value, lane: Value) -> Value:
        """The row-major position of a lane of a turn."""
        if not self.outer:
            return (turn << LANE_BITS) + lane
        outer = turn / self.num_turns()
        within = turn - outer * self.num_turns()
        return outer * self.joined.extent() + (within << LANE_BITS) + lane
