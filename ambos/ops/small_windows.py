"""Extremes of a few elements, such as those of a 2x2 window of pixels, as a chain of comparisons.

A fold carries its state through loops, which for four elements cost more than the comparisons do.
A chain is computed in registers, in vectors along whatever axis the result has, and the extreme and
its position share it. The order of an extreme is free (`compiler.accumulate`): same bits.
"""

from __future__ import annotations

from itertools import product

from ambos.core.dtype import float32, float64, int64
from ambos.graph.node import Node
from ambos.ops.arithmetic import (
    add,
    bitwise_and,
    bitwise_or,
    equal,
    greater,
    less,
    not_equal,
    where,
)
from ambos.ops.kinds import constant, constant_like
from ambos.ops.movement import reshape, slice_

MOST = 4  # elements


def few_compared(node: Node) -> Node | None:
    """A largest or smallest element of a small window, or its position."""
    (axes,), (x,) = node.attrs, node.inputs
    fold: str = node.op.fold  # type: ignore[attr-defined]  # the rule is for reductions
    if len(axes) < 2 or x.dtype not in (float32, float64) or x.size > MOST * node.size:
        return None
    first, *others = _elements(x, axes, node)
    best, place = first, constant(0, int64, node.shape)
    beats = greater if fold.endswith("max") else less
    for number, element in enumerate(others, 1):
        is_nan = bitwise_and(not_equal(element, element), equal(best, best))
        better = bitwise_or(beats(element, best), is_nan)
        best = where(better, element, best)
        place = where(better, constant_like(place, number), place)
    if fold.startswith("arg"):
        return place
    normal = add(best, constant_like(best, 0))  # zero is +0, as a fold gives it
    return where(equal(best, best), normal, constant_like(best, float("nan")))


def _elements(x: Node, axes: tuple[int, ...], node: Node) -> list[Node]:
    """What `node` compares, in row-major order."""
    found = []
    for place in product(*(range(x.shape[axis]) for axis in axes)):
        at = dict(zip(axes, place, strict=True))
        start = tuple(at.get(axis, 0) for axis in range(x.rank))
        stop = tuple(at[axis] + 1 if axis in at else n for axis, n in enumerate(x.shape))
        found.append(reshape(slice_(x, attrs=(start, stop, (1,) * x.rank)), attrs=(node.shape,)))
    return found
