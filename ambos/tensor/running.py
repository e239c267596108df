"""Running totals along an axis, and their inverse."""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import bool_, int64, uint64
from ambos.core.errors import ShapeError
from ambos.core.shape import normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops.movement import concat, pad
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.movement import cut_axis
from ambos.tensor.names import public
from ambos.tensor.operands import convert, scalar


def _running(op: Any, neutral: float, x: Any, axis: int | None, dtype_of: Any) -> Tensor:
    """Partial results along an axis in log2(n) steps of shifted copies: the order of operations
    depends on the extent alone."""
    node = dtype_of(node_of(x))
    if axis is None:
        node, axis = reshaped(node, (node.size,)), 0
    if node.rank == 0:
        return wrap(node)
    at = normalize_axis("running total", axis, node.rank)
    extent, shift = node.shape[at], 1
    while shift < extent:
        node = op(node, _delayed(node, at, shift, neutral))
        shift *= 2
    return wrap(node)


def _delayed(node: Node, axis: int, shift: int, neutral: float) -> Node:
    """`node` moved by `shift` along an axis, `neutral` where nothing arrives."""
    kept = cut_axis(node, axis, 0, node.shape[axis] - shift)
    if neutral == 0:
        before = tuple(shift if a == axis else 0 for a in range(node.rank))
        return pad(kept, attrs=(before, (0,) * node.rank))
    front = tuple(shift if a == axis else n for a, n in enumerate(node.shape))
    return concat(scalar(neutral, node.dtype, front), kept, attrs=(axis,))


def _summable(node: Node) -> Node:
    if node.dtype.is_floating:
        return node
    return convert(node, uint64 if node.dtype is uint64 else int64)


@public
def cumsum(x: Any, axis: int | None = None) -> Tensor:
    """Running totals along an axis (of the flattened tensor without one).

    Example:
        >>> import ambos as am
        >>> am.cumsum(am.tensor([1, 2, 3]), 0).tolist()
        [1, 3, 6]
    """
    return _running(ops.add, 0, x, axis, _summable)


@public
def cumprod(x: Any, axis: int | None = None) -> Tensor:
    """Running products along an axis (of the flattened tensor without one)."""
    return _running(ops.multiply, 1, x, axis, _summable)


@public
def cummax(x: Any, axis: int = -1) -> Tensor:
    """Running maxima along an axis (values)."""
    node = node_of(x)
    return _running(ops.maximum, node.dtype.min, x, axis, lambda n: n)


@public
def cummin(x: Any, axis: int = -1) -> Tensor:
    """Running minima along an axis (values)."""
    node = node_of(x)
    return _running(ops.minimum, node.dtype.max, x, axis, lambda n: n)


@public
def diff(x: Any, n: int = 1, axis: int = -1) -> Tensor:
    """Differences of neighbours along an axis, n times."""
    node = node_of(x)
    at = normalize_axis("diff", axis, node.rank)
    for _ in range(n):
        extent = node.shape[at]
        if extent < 1:
            raise ShapeError(f"diff: axis {axis} of {node.shape}; need at least one element")
        later, earlier = cut_axis(node, at, 1, extent), cut_axis(node, at, 0, extent - 1)
        node = (ops.not_equal if node.dtype is bool_ else ops.subtract)(later, earlier)
    return wrap(node)


__all__ = ["cummax", "cummin", "cumprod", "cumsum", "diff"]
