"""The loops of folds: one pass over the reduced axes for all folds that can share it."""

from __future__ import annotations

from collections.abc import Sequence

from ambos.compiler.accumulate import Turn, accumulator
from ambos.compiler.loops import BLOCK, LANES
from ambos.compiler.loops_around import Loops, State
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
        *self.outer, self.last = part.folds[0].axes
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
        begin, end = self.loops.run_bounds(self.last)
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
        if self.across:
            full = self.loops.whole(low, high, LANES * self.unroll)
            inner = self.turns(inner, inner_sizes, low, full, self.unroll)
            inner = self.turns(inner, inner_sizes, full, high, 1, masked=True)
        else:
            inner = self.turns(inner, inner_sizes, low, high, 1)
        left = zip(self.kinds, outer, split(inner, inner_sizes), strict=True)
        return [value for kind, part, done in left for value in kind.leave(part, done)]

    def turns(
        self,
        inner: State,
        sizes: Sequence[int],
        low: Value,
        high: Value,
        unroll: int,
        masked: bool = False,
    ) -> State:
        """A loop over low..high that takes `unroll` vectors (or one index) in a turn."""
        step = LANES * unroll if self.across else 1
        with self.b.loop(low.text, high.text, step, [(v.type, v.text) for v in inner]) as loop:
            base = self.loops.inside(loop.index)
            index = [base + copy * LANES if copy else base for copy in range(unroll)]
            mask = self.loops.mask(base, high) if masked else None
            copies = [self.values(here, mask) for here in index]
            places = [self.place(here) for here in index]
            state = split(self.loops.renew(inner, loop.inner), sizes)
            following: State = []
            columns = zip(*copies, strict=True)
            for kind, part, column in zip(self.kinds, state, columns, strict=True):
                following += kind.step(part, Turn(column, index, places, mask))
            loop.next = [v.text for v in following]
        return self.loops.renew(inner, loop.outer)

    def values(self, index: Value, mask: Value | None) -> list[Value]:
        """What each fold takes in at `index` of the last axis, after the map was done there."""
        with self.b.scope():
            self.tape.bind(self.last, index, self.across, mask)
            if self.map is not None:
                self.tape.store(self.map.stores, forward=True)
            return [self.tape.value(fold.value) for fold in self.folds]

    def place(self, index: Value) -> Value:
        """Where in the fold `index` of the last axis is: see accumulate.Turn."""
        outer = self.b.const(0, int64)
        for axis in self.outer:
            outer = outer * self.loops.extent(axis) + self.tape.bound(axis)
        if not self.across:
            return outer * self.loops.extent(self.last) + index if self.outer else index
        turn = index >> LANE_BITS
        return self.b.convert(outer * self.num_turns() + turn if self.outer else turn, int32)

    def num_turns(self) -> Value:
        """Vectors along the last axis, the masked one included."""
        return (self.loops.extent(self.last) + (LANES - 1)) >> LANE_BITS

    def locate(self, turn: Value, lane: Value) -> Value:
        """The row-major position of a lane of a turn."""
        if not self.outer:
            return (turn << LANE_BITS) + lane
        outer = turn / self.num_turns()
        within = turn - outer * self.num_turns()
        return outer * self.loops.extent(self.last) + (within << LANE_BITS) + lane
