"""Where something is: positions in sorted rows, positions of what holds.

Results whose sizes depend on values look at them: they compute at once, and `am.jit` says so.
"""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import int32, int64
from ambos.core.errors import ArgumentError, ShapeError
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import indexing as index_ops
from ambos.ops.movement import concat
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import common_dtype, convert, scalar
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
def nonzero(x: Any, as_tuple: bool = True) -> Any:
    """Positions of elements that are not zero, in row-major order: one vector an axis, int64 (Array
    API). With `as_tuple=False`, and as the method `x.nonzero()`, one row each (PyTorch). Looks at
    `x`: how many there are depends on it.

    Errors: ShapeError for a scalar, which has no axes, where vectors are asked for.

    Example:
        >>> import ambos as am
        >>> x = am.tensor([[0, 5], [7, 0]])
        >>> [axis.tolist() for axis in am.nonzero(x)], x.nonzero().tolist()
        ([[0, 1], [1, 0]], [[0, 1], [1, 0]])
    """
    node = node_of(x)
    if as_tuple and not node.rank:
        raise ShapeError("nonzero: got a scalar; need at least one dimension: use x.nonzero()")
    axes = indices_where(node, "nonzero", "am.nonzero_static(x, size=n), or am.where(x != 0, a, b)")
    if as_tuple:
        return tuple(wrap(axis) for axis in axes)
    if not axes:
        return wrap(scalar(0, int64, (int(bool(wrap(node))), 0)))
    columns = [reshaped(axis, (axis.size, 1)) for axis in axes]
    return wrap(concat(*columns, attrs=(1,)) if len(columns) > 1 else columns[0])


@public
def nonzero_rows(x: Any, as_tuple: bool = False) -> Any:
    """Positions of elements that are not zero, in row-major order: one row each, or (as_tuple) one
    vector an axis. Looks at `x`: how many there are depends on it.

    Shapes: (count, rank) int64; of a scalar (count, 0), or one vector.
    """
    node = node_of(x)
    return nonzero(wrap(reshaped(node, (1,))) if as_tuple and not node.rank else x, as_tuple)


__all__ = ["bucketize", "nonzero", "searchsorted"]
