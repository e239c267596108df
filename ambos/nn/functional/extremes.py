"""The largest elements of windows that may reach into padding, and where they lie.

Padding is the least number that there is, so a window that begins with padding finds that only
where all of it is this number. Padding is nobody's: its first real element is the largest then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ambos.core.dtype import int64
from ambos.core.shape import Shape, row_major, size_of
from ambos.graph.node import Node
from ambos.nn.functional.shared import along
from ambos.ops.arithmetic import add, equal, minimum, multiply, where
from ambos.ops.indexing import take
from ambos.ops.kinds import constant, constant_like
from ambos.ops.reductions import argmax, max_
from ambos.tensor.found import found_at
from ambos.tensor.handle import node_of
from ambos.tensor.own_rules import is_tracked


@dataclass(frozen=True)
class Layout:
    """How windows lie in an image, an entry for each of its axes."""

    kernel: Shape
    steps: Shape
    around: Shape  # padding before the image
    gaps: Shape

    def starts(self, axis: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Where windows begin along an axis, seen from the image's first element."""
        return np.arange(count, dtype=np.int64) * self.steps[axis] - self.around[axis]


def largest_in(windows: Node, axes: Shape, layout: Layout) -> Node:
    """The largest element of each window, whose elements run along `axes`."""
    result = max_(windows, attrs=(axes,))
    if any(layout.around) and is_tracked((windows,)):
        return found_at(result, windows, numbers_in(windows, axes, layout), axes)
    return result


def numbers_in(windows: Node, axes: Shape, layout: Layout) -> Node:
    """Which of its window's elements, row by row, is the largest: the first of equals, or of NaN,
    that is no padding."""
    found = argmax(windows, attrs=(axes,))
    if not any(layout.around):
        return found
    is_first = equal(found, constant_like(found, 0))
    return where(is_first, _first_real(found.shape, layout), found)


def _first_real(shape: Shape, layout: Layout) -> Node:
    """The number of each window's first element that is not before the image."""
    first = constant(0, int64, shape)
    for axis, step in enumerate(row_major(layout.kernel)):
        if layout.around[axis]:
            before = np.maximum(-(layout.starts(axis, shape[axis + 2]) // layout.gaps[axis]), 0)
            first = add(first, along(node_of(before * step), axis + 2, shape))
    return first


def places_in(found: Node, space: Shape, layout: Layout) -> Node:
    """Row-major positions in `space` of elements that are number `found` of their windows."""
    flat = constant(0, int64, found.shape)
    # A look at a small table is many times faster than the division of 64-bit integers.
    taps = np.unravel_index(np.arange(size_of(layout.kernel)), layout.kernel)
    for axis, (tap, step) in enumerate(zip(taps, row_major(space), strict=True)):
        inside = take(node_of(tap * layout.gaps[axis]), found, attrs=(0,))
        begin = node_of(layout.starts(axis, found.shape[axis + 2]))
        place = add(along(begin, axis + 2, found.shape), inside)
        place = minimum(place, constant_like(place, space[axis] - 1))  # a window of padding alone
        flat = add(flat, multiply(place, constant_like(place, step)))
    return flat
