"""Order along an axis."""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError
from ambos.core.shape import normalize_axis
from ambos.graph.node import Node
from ambos.ops import indexing as ops
from ambos.ops.movement import permute
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.movement import cut_axis
from ambos.tensor.names import public
from ambos.tensor.operands import scalar
from ambos.tensor.reductions import Extremes


def _along(op: ops.Order, node: Node, axis: int, count: int, descending: bool) -> Node:
    """The first `count` of the order along any axis: rows lie along the last one."""
    if axis == node.rank - 1:
        return op(node, attrs=(count, descending))
    order = (*(a for a in range(node.rank) if a != axis), axis)
    back = tuple(sorted(range(node.rank), key=order.__getitem__))
    found = op(permute(node, attrs=(order,)), attrs=(count, descending))
    return permute(found, attrs=(back,))


@public
def argsort(x: Any, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Positions that sort along an axis, int64; always stable; NaN counts as the largest.

    Example:
        >>> import ambos as am
        >>> am.argsort(am.tensor([3.0, 1.0, 2.0])).tolist()
        [1, 2, 0]
    """
    node = node_of(x)
    at = normalize_axis("argsort", axis, node.rank) if node.rank else 0
    if node.rank == 0:
        return wrap(scalar(0, int64))
    return wrap(_along(ops.argsort, node, at, node.shape[at], descending))


@public
def sort(
    x: Any, dim: int = -1, descending: bool = False, *, axis: Any = None, stable: bool = True
) -> Any:
    """Sorted along an axis; always stable; NaN counts as the largest. `axis=` gives values (NumPy),
    else the pair (values, indices) (PyTorch).

    Example:
        >>> import ambos as am
        >>> x = am.tensor([3, 1, 2])
        >>> am.sort(x, axis=-1).tolist(), x.sort(descending=True).indices.tolist()
        ([1, 2, 3], [0, 2, 1])
    """
    node = node_of(x)
    if node.rank == 0:
        return wrap(node) if axis is not None else Extremes(wrap(node), wrap(scalar(0, int64)))
    at = normalize_axis("sort", dim if axis is None else axis, node.rank)
    values = wrap(_along(ops.sort, node, at, node.shape[at], descending))
    return values if axis is not None else Extremes(values, argsort(x, at, descending))


@public
def topk(x: Any, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> Extremes:
    """The k largest (or smallest) elements along an axis, in order: (values, indices). Of equal
    elements the first come first; NaN counts as the largest.

    Errors: ArgumentError unless 0 <= k <= the axis's size.

    Example:
        >>> import ambos as am
        >>> found = am.topk(am.tensor([4, 9, 1, 7]), 2)
        >>> found.values.tolist(), found.indices.tolist()
        ([9, 7], [1, 3])
    """
    node = node_of(x)
    at = normalize_axis("topk", axis, node.rank)
    if not 0 <= k <= node.shape[at]:
        raise ArgumentError(f"topk: k is {k} on an axis of {node.shape[at]}; need 0 <= k <= "
                            f"{node.shape[at]}")  # fmt: skip
    values, order = (_along(op, node, at, k, largest) for op in (ops.sort, ops.argsort))
    return Extremes(wrap(values), wrap(order))


@public
def median(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The middle element in order (the lower of two, as in PyTorch) over an axis or all."""
    node = node_of(x)
    if axis is None:
        node, axis = reshaped(node, (node.size,)), 0
    at = normalize_axis("median", axis, node.rank)
    middle = (node.shape[at] - 1) // 2
    found = cut_axis(_along(ops.sort, node, at, middle + 1, False), at, middle, middle + 1)
    return wrap(found) if keepdims else wrap(found).squeeze(at)


__all__ = ["argsort", "median", "sort", "topk"]
