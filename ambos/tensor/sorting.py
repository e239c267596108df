"""Order along an axis. A scalar has one axis here, as in PyTorch."""

from __future__ import annotations

from typing import Any

from ambos.core.arguments import integer
from ambos.core.dtype import bool_, int64
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import normalize_axis
from ambos.core.unknown import is_unknown, refuse
from ambos.graph.node import Node
from ambos.ops import arithmetic as compare
from ambos.ops import indexing as ops
from ambos.ops.movement import concat, permute
from ambos.ops.reductions import argmax
from ambos.ops.scan import cummax, place_along
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
    at = normalize_axis("argsort", axis, node.rank or 1)
    if node.rank == 0:
        return wrap(scalar(0, int64))
    return wrap(_along(ops.argsort, node, at, node.shape[at], bool(descending)))


@public
def sort(
    x: Any, dim: int | None = None, descending: bool = False, *, axis: Any = None,
    stable: bool = True,
) -> Any:  # fmt: skip
    """Sorted along an axis, the last one by default; always stable; NaN counts as the largest.
    `am.sort(x)` and `axis=` give values (Array API), `dim=`, a positional axis and the method
    `x.sort()` the pair (values, indices) (PyTorch).

    Example:
        >>> import ambos as am
        >>> x = am.tensor([3, 1, 2])
        >>> am.sort(x).tolist(), x.sort(descending=True).indices.tolist()
        ([1, 2, 3], [0, 2, 1])
    """
    node = node_of(x)
    found = -1 if axis is None else axis
    at = normalize_axis("sort", found if dim is None else dim, node.rank or 1)
    pair = dim is not None and axis is None
    if node.rank == 0:
        return Extremes(wrap(node), wrap(scalar(0, int64))) if pair else wrap(node)
    values = wrap(_along(ops.sort, node, at, node.shape[at], descending))
    return Extremes(values, argsort(x, at, descending)) if pair else values


@public
def sorted_pair(
    x: Any, dim: int | None = None, descending: bool = False, *, axis: Any = None,
    stable: bool = True,
) -> Any:  # fmt: skip
    """Sorted along an axis, the last one by default; always stable; NaN counts as the largest.
    The pair (values, indices) (PyTorch), or with `axis=` values (NumPy)."""
    wanted = -1 if dim is None and axis is None else dim
    return sort(x, wanted, descending, axis=axis, stable=stable)


@public
def msort(x: Any) -> Tensor:
    """Values sorted along axis 0."""
    found: Tensor = sort(x, axis=0)
    return found


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
    at = normalize_axis("topk", axis, node.rank or 1)
    extent = node.shape[at] if node.rank else 1
    if not 0 <= k <= extent:
        if is_unknown(k) and not is_unknown(extent):
            refuse(f"topk of {k} on an axis of {extent}")
        raise ArgumentError(f"topk: k is {k} on an axis of {extent}; need 0 <= k <= {extent}")
    if node.rank == 0:
        shape = () if k else (0,)
        return Extremes(wrap(cut_axis(reshaped(node, (1,)), 0, 0, k)).reshape(shape),
                        wrap(scalar(0, int64, shape)))  # fmt: skip
    values, order = (_along(op, node, at, k, largest) for op in (ops.sort, ops.argsort))
    return Extremes(wrap(values), wrap(order))


def _last(op: str, x: Any, axis: int) -> tuple[Node, int]:
    """`x` with an axis, which must have elements, behind the others; and which one it was."""
    node = node_of(x)
    at = normalize_axis(op, axis, node.rank or 1)
    rows = node if node.rank else reshaped(node, (1,))
    if rows.shape[at] == 0:
        raise ShapeError(f"{op}: axis {axis} of {node.shape} has no elements; need one")
    if at != rows.rank - 1:
        rows = permute(rows, attrs=((*(a for a in range(rows.rank) if a != at), at),))
    return rows, at


def _picked(x: Any, rows: Node, index: Node, at: int, keepdims: bool) -> Extremes:
    """The element of each row at a position (a column of them), and the position."""
    found = ops.gather(rows, index, attrs=(rows.rank - 1,))
    shape = node_of(x).shape
    kept = 1 if keepdims and shape else None
    target = tuple(
        n for n in (kept if a == at else n for a, n in enumerate(shape)) if n is not None
    )
    return Extremes(wrap(reshaped(found, target)), wrap(reshaped(index, target)))


@public
def kthvalue(x: Any, k: int, axis: int = -1, keepdims: bool = False) -> Extremes:
    """The k-th smallest element along an axis (the first is the smallest), and where it is; NaN
    counts as the largest.

    Errors: ArgumentError unless 1 <= k <= the axis's size.

    Example:
        >>> import ambos as am
        >>> found = am.kthvalue(am.tensor([4, 9, 1, 7]), 2)
        >>> found.values.item(), found.indices.item()
        (4, 0)
    """
    rows, at = _last("kthvalue", x, axis)
    k, extent = integer("kthvalue: k", k), rows.shape[-1]
    if not 1 <= k <= extent:
        raise ArgumentError(f"kthvalue: k is {k} on an axis of {extent}; need 1 <= k <= {extent}")
    index = cut_axis(ops.argsort(rows, attrs=(k, False)), rows.rank - 1, k - 1, k)
    return _picked(x, rows, index, at, keepdims)


@public
def mode(x: Any, axis: int = -1, keepdims: bool = False) -> Extremes:
    """The element that occurs most often along an axis (the smallest of several), and where it is
    last.

    Errors: ShapeError for an axis without elements.

    Example:
        >>> import ambos as am
        >>> found = am.mode(am.tensor([2, 1, 3, 2]))
        >>> found.values.item(), found.indices.item()
        (2, 3)
    """
    rows, at = _last("mode", x, axis)
    last, extent = rows.rank - 1, rows.shape[-1]
    ordered, order = (op(rows, attrs=(extent, False)) for op in (ops.sort, ops.argsort))
    place = place_along(rows, last)
    begins = scalar(True, bool_, (*rows.shape[:-1], 1))
    if extent > 1:
        one, other = cut_axis(ordered, last, 0, extent - 1), cut_axis(ordered, last, 1, extent)
        begins = concat(begins, compare.not_equal(one, other), attrs=(last,))
    begin = cummax(compare.where(begins, place, scalar(0, int64, place.shape)), attrs=(last, False))
    longest = argmax(compare.subtract(place, begin), attrs=((last,),))
    longest = reshaped(longest, (*rows.shape[:-1], 1))
    return _picked(x, rows, ops.gather(order, longest, attrs=(last,)), at, keepdims)


__all__ = ["argsort", "kthvalue", "mode", "msort", "sort", "topk"]
