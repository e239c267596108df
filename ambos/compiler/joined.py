"""Reduced axes that count as one although no address walks through them as one.

The canonical order of a sum knows one last axis: neighbouring reduced axes, flattened. A product of
two broadcast operands, a slice or a padded image has no single stride along it. So its runs are
walked row by row: a row is what a run has of the innermost of the joined axes, and the position
in the flattened axis says which of the partial results an element belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ambos.compiler.loops_around import Loops, State
from ambos.compiler.values import Value
from ambos.core.dtype import int64

Row = Callable[[State, Value, Value, Value], State]


class JoinedAxes:
    """The last axes of a fold, outermost first, as one."""

    def __init__(self, loops: Loops, axes: Sequence[int]) -> None:
        self.loops, self.b = loops, loops.b
        *self.outer, self.last = axes

    def extent(self) -> Value:
        """Of all of them."""
        total = self.loops.extent(self.last)
        for axis in self.outer:
            total = total * self.loops.extent(axis)
        return total

    def rows(self, state: State, low: Value, high: Value, body: Row) -> State:
        """`body(state, begin, end, start)` for each row that low..high meets, in order: indices
        begin..end of the last axis, where index i is number start + i of all."""
        if not self.outer:
            return body(state, low, high, self.b.const(0, int64))
        size = self.loops.extent(self.last)
        count = self.b.select(size.eq(0), 1, size)  # an empty row is never met
        first = self.b.binary("udiv", low, count)
        stop = self.b.binary("udiv", high + (count - 1), count)
        carried = [(v.type, v.text) for v in state]
        with self.b.loop(first.text, stop.text, 1, carried) as loop:
            row = self.loops.inside(loop.index)
            self.loops.bind(self.outer, row)
            start = row * size
            begin = self.b.select(low > start, low - start, 0)
            end = self.loops.smaller(high - start, size)
            following = body(self.loops.renew(state, loop.inner), begin, end, start)
            loop.next = [v.text for v in following]
        return self.loops.renew(state, loop.outer)
