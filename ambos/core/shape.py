"""Shapes: tuples of non-negative integers, with broadcasting and axis checks."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence

from ambos.core.errors import ArgumentError, ShapeError

Shape = tuple[int, ...]


def size_of(shape: Sequence[int]) -> int:
    """Number of elements."""
    return math.prod(shape)


def row_major(shape: Sequence[int]) -> Shape:
    """Strides, in elements, of a contiguous array.

    Example:
        >>> row_major((2, 3, 4))
        (12, 4, 1)
    """
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def broadcast(op: str, *shapes: Shape) -> Shape:
    """The shape all of `shapes` expand to (NumPy's rule), or a ShapeError that names `op`."""
    rank = max((len(s) for s in shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for axis, extent in enumerate(shape, rank - len(shape)):
            if extent != 1:
                if result[axis] not in (1, extent):
                    listed = " and ".join(str(s) for s in shapes)
                    raise ShapeError(
                        f"{op}: shapes {listed} do not broadcast: axis {axis - rank} has "
                        f"{result[axis]} and {extent}; need equal sizes or 1"
                    )
                result[axis] = extent
    return tuple(result)


def agree(a: int | Shape, b: int | Shape) -> bool:
    """Are these equal? Of sizes that are not known yet: may they be, which operations ask again
    once they are."""
    return a == b


def normalize_axis(op: str, axis: int, rank: int) -> int:
    """`axis` counted from the front, or an ArgumentError."""
    try:
        index = operator.index(axis)
    except TypeError:
        raise ArgumentError(f"{op}: axis is {axis!r}; need an integer") from None
    if not -rank <= index < rank:
        raise ArgumentError(
            f"{op}: axis {index} does not exist in {rank} dimension{'s' * (rank != 1)}; "
            f"need {-rank} <= axis < {rank}"
        )
    return index % rank


def normalize_axes(op: str, axis: int | Iterable[int] | None, rank: int) -> Shape:
    """Sorted, distinct, non-negative axes; None means all of them."""
    if axis is None:
        return tuple(range(rank))
    axes = list(axis) if isinstance(axis, Iterable) else [axis]
    found = [normalize_axis(op, a, rank) for a in axes]
    if len(set(found)) != len(found):
        raise ArgumentError(f"{op}: axis {axes} names one axis twice")
    return tuple(sorted(found))
