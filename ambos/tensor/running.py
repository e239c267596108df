"""Running totals along an axis, and their inverse."""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import as_dtype, bool_, int64, uint8, uint64
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import scan
from ambos.ops.movement import concat
from ambos.ops.scan import Scan
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.movement import cut_axis
from ambos.tensor.names import public
from ambos.tensor.operands import convert, scalar


def _running(op: Scan, node: Node, axis: int | None) -> Tensor:
    if axis is None:
        node, axis = reshaped(node, (node.size,)), 0
    if node.rank == 0:
        return wrap(node)
    return wrap(op(node, attrs=(normalize_axis(op.name, axis, node.rank), False)))


def _summable(node: Node, dtype: Any) -> Node:
    """Integers are added up in 64 bits."""
    if dtype is not None:
        return convert(node, as_dtype(dtype))
    if node.dtype.is_inexact:
        return node
    return convert(node, uint64 if node.dtype is uint64 else int64)


@public
def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Running totals along an axis (of the flattened tensor without one).

    Dtypes: integers and bool give int64, other dtypes stay, unless `dtype` says which.

    Example:
        >>> import ambos as am
        >>> am.cumsum(am.tensor([1, 2, 3]), 0).tolist()
        [1, 3, 6]
    """
    return _running(scan.cumsum, _summable(node_of(x), dtype), axis)


@public
def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Running products along an axis (of the flattened tensor without one).

    Dtypes: integers and bool give int64, other dtypes stay, unless `dtype` says which.

    Example:
        >>> import ambos as am
        >>> am.cumprod(am.tensor([1, 2, 3, 4]), 0).tolist()
        [1, 2, 6, 24]
    """
    return _running(scan.cumprod, _summable(node_of(x), dtype), axis)


@public
def cumulative_sum(
    x: Any, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Running totals along an axis (which only a vector need not name), after a zero with
    `include_initial` (Array API).

    Example:
        >>> import ambos as am
        >>> am.cumulative_sum(am.tensor([1, 2, 3]), include_initial=True).tolist()
        [0, 1, 3, 6]
    """
    return _cumulative("cumulative_sum", cumsum, 0, x, axis, dtype, include_initial)


@public
def cumulative_prod(
    x: Any, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Running products along an axis (which only a vector need not name), after a one with
    `include_initial` (Array API)."""
    return _cumulative("cumulative_prod", cumprod, 1, x, axis, dtype, include_initial)


def _cumulative(
    name: str, run: Any, initial: int, x: Any, axis: int | None, dtype: Any, include: bool
) -> Tensor:
    node = node_of(x)
    if axis is None and node.rank != 1:
        raise ArgumentError(f"{name}: no axis for {node.shape}; need axis=, but for a vector")
    at = normalize_axis(name, 0 if axis is None else axis, node.rank)
    found = node_of(run(node_of(x), at, dtype))
    if include:
        shape = tuple(1 if a == at else n for a, n in enumerate(node.shape))
        found = concat(scalar(initial, found.dtype, shape), found, attrs=(at,))
    return wrap(found)


@public
def cummax(x: Any, axis: int = -1) -> Tensor:
    """Running maxima along an axis (values). The gradient goes to the last of equal elements.

    Example:
        >>> import ambos as am
        >>> am.cummax(am.tensor([1, 3, 2]), 0).tolist()
        [1, 3, 3]
    """
    return _extreme(scan.cummax, x, axis)


@public
def cummin(x: Any, axis: int = -1) -> Tensor:
    """Running minima along an axis (values). The gradient goes to the last of equal elements."""
    return _extreme(scan.cummin, x, axis)


def _extreme(op: Scan, x: Any, axis: int) -> Tensor:
    node = node_of(x)
    if node.dtype is not bool_:
        return _running(op, node, axis)
    return wrap(convert(node_of(_running(op, convert(node, uint8), axis)), bool_))


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


__all__ = ["cummax", "cummin", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "diff"]
