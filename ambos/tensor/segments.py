"""Reductions over segments: rows of a tensor that carry the same number, in any order, as the
messages of a graph network do (JAX's segment_sum, torch_scatter)."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.dtype import bool_, int64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import indexing as index_ops
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import convert, expand_to, scalar
from ambos.tensor.sorting import argsort
from ambos.tensor.tracing import refuse_size


def _parts(op: str, x: Any, segment_ids: Any, num_segments: int | None) -> tuple[Node, Node, int]:
    """The rows, their segments' numbers, and how many segments there are (looked at, if nobody
    says)."""
    node, ids = node_of(x), node_of(segment_ids)
    if not ids.dtype.is_integer:
        raise DTypeError(f"{op}: segment_ids are {ids.dtype.name}; need integers: use .long()")
    if node.rank == 0 or ids.shape != node.shape[:1]:
        raise ShapeError(f"{op}: segment_ids are {ids.shape} for {node.shape}; need a number for "
                         "each row")  # fmt: skip
    ids = convert(ids, int64)
    if num_segments is None:
        refuse_size(op, "give num_segments=")
        num_segments = int(wrap(ids).amax()) + 1 if ids.size else 0
    if num_segments < 0:
        raise ArgumentError(f"{op}: num_segments is {num_segments}; need 0 or more")
    return node, ids, num_segments


def _added(node: Node, ids: Node, count: int) -> Node:
    nothing = scalar(0, node.dtype, (count, *node.shape[1:]))
    return index_ops.scatter_add(nothing, ids, node, attrs=(0,))


@public
def segment_sum(x: Any, segment_ids: Any, num_segments: int | None = None) -> Tensor:
    """The sum of the rows of each segment, 0 without rows; the dtype stays.

    Shapes: (n, ...) with a vector of n numbers in 0..num_segments - 1 gives (num_segments, ...);
        without num_segments the numbers are looked at.

    Example:
        >>> import ambos as am
        >>> am.segment_sum(am.tensor([1, 2, 4]), am.tensor([1, 0, 1])).tolist()
        [2, 5]
    """
    return wrap(_added(*_parts("segment_sum", x, segment_ids, num_segments)))


@public
def segment_mean(x: Any, segment_ids: Any, num_segments: int | None = None) -> Tensor:
    """The mean of the rows of each segment, 0 without rows; see `segment_sum`.

    Errors: DTypeError for integers: say x.float().

    Example:
        >>> import ambos as am
        >>> am.segment_mean(am.tensor([1.0, 2.0, 4.0]), am.tensor([1, 0, 1])).tolist()
        [2.0, 2.5]
    """
    given, ids, count = _parts("segment_mean", x, segment_ids, num_segments)
    if not given.dtype.is_inexact:
        raise DTypeError(f"segment_mean: got {given.dtype.name}; need a floating dtype: use "
                         "x.float()")  # fmt: skip
    node = convert(given, given.dtype.compute)
    rows = _added(scalar(1, int64, ids.shape), ids, count)
    rows = convert(ops.maximum(rows, scalar(1, int64, rows.shape)), node.dtype)
    column = reshaped(rows, (count,) + (1,) * (node.rank - 1))
    total = _added(node, ids, count)
    return wrap(convert(ops.divide(total, expand_to(column, total.shape)), given.dtype))


@public
def segment_max(x: Any, segment_ids: Any, num_segments: int | None = None) -> Tensor:
    """The largest of the rows of each segment, element by element (NaN where there is one), the
    lowest value without rows; see `segment_sum`. The gradient goes to the last of equal ones.

    Example:
        >>> import ambos as am
        >>> am.segment_max(am.tensor([1, 2, 4]), am.tensor([1, 0, 1])).tolist()
        [2, 4]
    """
    return wrap(_largest(*_parts("segment_max", x, segment_ids, num_segments)))


@public
def segment_min(x: Any, segment_ids: Any, num_segments: int | None = None) -> Tensor:
    """The smallest of the rows of each segment, element by element (NaN where there is one), the
    highest value without rows; see `segment_max`."""
    node, ids, count = _parts("segment_min", x, segment_ids, num_segments)
    turned = ops.negative if node.dtype.is_floating else ops.bitwise_invert
    return wrap(turned(_largest(turned(node), ids, count)))


def _largest(node: Node, ids: Node, count: int) -> Node:
    """Whoever writes last, in ascending order, is the largest."""
    shape = (count, *node.shape[1:])
    lowest = False if node.dtype is bool_ else node.dtype.min
    if not node.size or not count:
        return scalar(lowest, node.dtype, shape)
    width = math.prod(node.shape[1:])
    rows = reshaped(node, (node.shape[0], width))
    order = node_of(argsort(wrap(rows), 0))
    writer = index_ops.last_writer(index_ops.take(ids, order, attrs=(0,)), attrs=(0, count))
    nobody = scalar(0, int64, writer.shape)
    last = ops.maximum(ops.subtract(writer, scalar(1, int64, writer.shape)), nobody)
    place = index_ops.gather(order, last, attrs=(0,))
    found = index_ops.gather(rows, place, attrs=(0,))
    empty = scalar(lowest, node.dtype, writer.shape)
    return reshaped(ops.where(ops.equal(writer, nobody), empty, found), shape)


__all__ = ["segment_max", "segment_mean", "segment_min", "segment_sum"]
