"""Where something is: positions in sorted rows, positions of what holds, counts by value.

Results whose sizes depend on values look at them: they compute at once, and `am.jit` says so.
"""

from __future__ import annotations

import builtins
import math
from typing import Any, NamedTuple

from ambos.core.dtype import float32, float64, int32, int64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import indexing as index_ops
from ambos.ops.movement import concat
from ambos.tensor.creation import linspace, ones_like, zeros
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import common_dtype, convert, scalar
from ambos.tensor.pointwise import where
from ambos.tensor.positions import indices_where


@public
def searchsorted(
    sorted_sequence: Any, values: Any, side: str | None = None, sorter: Any = None,
    right: bool = False, out_int32: bool = False,
) -> Tensor:  # fmt: skip
    """Where `values` have to be inserted to keep rows sorted: before equal elements (side "left",
    the default) or behind them ("right"; `right=True` says the same). NaN counts as the largest.

    Shapes: one sorted vector (n) for values of any shape, or rows (..., n) for values (..., m) with
        the same leading axes. Dtypes: int64, or int32 with `out_int32`.
    Errors: ShapeError where leading axes differ, ArgumentError for another side.

    Example:
        >>> import ambos as am
        >>> am.searchsorted(am.tensor([1.0, 3.0, 5.0]), am.tensor([3.0, 9.0])).tolist()
        [1, 3]
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ArgumentError(f"searchsorted: side is {side!r} with right={right}; need \"left\" or "
                            '"right", said once')  # fmt: skip
    behind = right or side == "right"
    row, given = node_of(sorted_sequence), operand_of(values)
    dtype = common_dtype((row, given))
    wanted = convert(given, dtype) if isinstance(given, Node) else scalar(given, dtype)
    row = convert(row, dtype)
    if row.rank == 0 or (row.rank > 1 and row.shape[:-1] != wanted.shape[:-1]):
        raise ShapeError(f"searchsorted: rows are {row.shape} and values {wanted.shape}; need one "
                         "sorted vector, or the same leading axes")  # fmt: skip
    if sorter is not None:
        row = index_ops.gather(row, convert(node_of(sorter), int64), attrs=(row.rank - 1,))
    found = _insertion(row, wanted, behind)
    return wrap(convert(found, int32) if out_int32 else found)


def _insertion(row: Node, wanted: Node, behind: bool) -> Node:
    """How many elements of each row come before each wanted value: binary search, one halving of
    all values at a time."""
    length = row.shape[-1]
    place = scalar(0, int64, wanted.shape)
    if not length:
        return place
    for power in reversed(range(length.bit_length())):
        ahead = ops.add(place, scalar(1 << power, int64, wanted.shape))
        last = ops.minimum(ops.add(ahead, scalar(-1, int64, ahead.shape)),
                           scalar(length - 1, int64, ahead.shape))  # fmt: skip
        if row.rank == 1:
            found = index_ops.take(row, last, attrs=(0,))
        else:
            found = index_ops.gather(row, last, attrs=(row.rank - 1,))
        fits = ops.less_equal(ahead, scalar(length, int64, ahead.shape))
        place = ops.where(ops.bitwise_and(fits, _before(found, wanted, behind)), ahead, place)
    return place


def _before(x: Node, y: Node, or_equal: bool) -> Node:
    """x < y (or equal) in the order of `sort`: NaN after everything else."""
    found = (ops.less_equal if or_equal else ops.less)(x, y)
    if not x.dtype.is_floating:
        return found
    missing = ops.isnan(y)
    if not or_equal:
        missing = ops.bitwise_and(missing, ops.logical_not(ops.isnan(x)))
    return ops.bitwise_or(found, missing)


@public
def bucketize(x: Any, boundaries: Any, right: bool = False, out_int32: bool = False) -> Tensor:
    """The number of the bucket between sorted `boundaries` that each element falls into; one that
    equals a boundary belongs to the bucket before it, with `right` to the one behind it.

    Example:
        >>> import ambos as am
        >>> am.bucketize(am.tensor([3, 6, 9]), am.tensor([1, 3, 5, 7, 9])).tolist()
        [1, 3, 4]
    """
    edges = node_of(boundaries)
    if edges.rank != 1:
        raise ShapeError(f"bucketize: boundaries are {edges.shape}; need a sorted vector")
    return searchsorted(boundaries, x, right=right, out_int32=out_int32)


@public
def nonzero(x: Any, as_tuple: bool = False) -> Any:
    """Positions of elements that are not zero, in row-major order: one row each, or (as_tuple, and
    in the Array API) one vector an axis. Looks at `x`: the number of rows depends on it.

    Shapes: (count, rank) int64; of a scalar (count, 0).

    Example:
        >>> import ambos as am
        >>> am.nonzero(am.tensor([[0, 5], [7, 0]])).tolist()
        [[0, 1], [1, 0]]
    """
    node = node_of(x)
    axes = indices_where(node)
    if as_tuple:
        return tuple(wrap(axis) for axis in axes)
    if not axes:
        return wrap(scalar(0, int64, (int(bool(wrap(node))), 0)))
    columns = [reshaped(axis, (axis.size, 1)) for axis in axes]
    return wrap(concat(*columns, attrs=(1,)) if len(columns) > 1 else columns[0])


@public
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, 2, ... occurs in a vector of integers, or the sums of their
    `weights`. Looks at `x`: the result is as long as its largest value asks for.

    Errors: DTypeError for other than integers, ArgumentError for negative ones.

    Example:
        >>> import ambos as am
        >>> am.bincount(am.tensor([1, 1, 3])).tolist()
        [0, 2, 0, 1]
    """
    node = node_of(x)
    if not node.dtype.is_integer or node.rank != 1:
        raise DTypeError(f"bincount: got {node.dtype.name}{node.shape}; need a vector of integers")
    index = convert(node, int64)
    low, high = (int(v) for v in wrap(index).aminmax()) if node.size else (0, -1)
    if low < 0:
        raise ArgumentError(f"bincount: found {low}; need values from 0 on")
    given = scalar(1, int64, index.shape) if weights is None else node_of(weights)
    if given.shape != index.shape:
        raise ShapeError(f"bincount: weights are {given.shape} for {index.shape}; need as many")
    if not (given.dtype is int64 or given.dtype.is_floating):
        given = convert(given, float64)
    length = builtins.max(high + 1, minlength)
    return wrap(index_ops.scatter_add(scalar(0, given.dtype, (length,)), index, given, attrs=(0,)))


@public
def histogram(
    x: Any, bins: Any = 10, range: Any = None, weight: Any = None, density: bool = False
) -> Histogram:
    """Counts of elements (or sums of their weights) between edges: (hist, bin_edges). Every bin
    holds its left edge, the last one both. `bins` is a number of equal bins over `range` (else from
    the least to the greatest element, which is looked at), or the sorted edges.

    Example:
        >>> import ambos as am
        >>> found = am.histogram(am.tensor([1.0, 2.0, 1.0]), bins=4, range=(0.0, 3.0))
        >>> found.hist.tolist()
        [0.0, 2.0, 1.0, 0.0]
    """
    node = node_of(x)
    if not node.dtype.is_floating:
        node = convert(node, float32)
    flat = wrap(reshaped(node, (node.size,)))
    edges = _edges(flat, bins, range)
    count = edges.shape[0] - 1
    place = searchsorted(edges, flat, right=True) - 1
    last = flat == edges[-1]
    place = where(last, count - 1, place)
    inside = (flat >= edges[0]) & (flat <= edges[-1])
    share = ones_like(flat) if weight is None else wrap(reshaped(node_of(weight), flat.shape))
    share = where(inside, share, 0).astype(flat.dtype)
    hist = zeros(count, dtype=flat.dtype).scatter_add(0, place.clip(0, count - 1), share)
    if density:
        hist = hist / hist.sum() / (edges[1:] - edges[:-1])
    return Histogram(hist, edges)


@public
def histc(x: Any, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Counts in equal bins from `min` to `max` (from the least to the greatest element where both
    are equal); what lies outside does not count (PyTorch's histc)."""
    range = None if min == max else (min, max)
    return histogram(x, bins, range).hist


class Histogram(NamedTuple):
    """Counts, and the edges around them (one more)."""

    hist: Tensor
    bin_edges: Tensor


def _edges(flat: Tensor, bins: Any, range: Any) -> Tensor:
    if not isinstance(bins, int):
        edges = wrap(convert(node_of(bins), flat.dtype))
        if edges.ndim != 1 or edges.shape[0] < 2:
            raise ShapeError(f"histogram: edges are {edges.shape}; need a vector of two or more")
        return edges
    if bins < 1:
        raise ArgumentError(f"histogram: bins is {bins}; need at least 1")
    low, high = (float(v) for v in (range or (flat.aminmax() if flat.shape[0] else (0, 1))))
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ArgumentError(
            f"histogram: the range is {low} to {high}; need finite numbers in order"
        )
    if low == high:
        low, high = low - 0.5, high + 0.5
    return linspace(low, high, bins + 1, dtype=flat.dtype)


__all__ = ["bincount", "bucketize", "histc", "histogram", "nonzero", "searchsorted"]
