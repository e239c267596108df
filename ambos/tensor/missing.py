"""Reductions that leave NaN out."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.dtype import int64
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import reductions as folds
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import binary, convert, scalar
from ambos.tensor.reductions import (
    Axis,
    _float_input,
    all,
    amax,
    amin,
    argmax,
    argmin,
    computed_in,
    fold,
    freedom,
    prod,
    root,
    sum,
)
from ambos.tensor.running import cumprod, cumsum


def without(node: Node, fill: float) -> Node:
    """`node` with `fill` where it is NaN."""
    if not node.dtype.is_floating:
        return node
    return ops.where(ops.isnan(node), scalar(fill, node.dtype, node.shape), node)


@public
def nansum(x: Any, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """Total over axes (all by default) of what is not NaN.

    Example:
        >>> import ambos as am
        >>> am.nansum(am.tensor([1.0, float("nan"), 2.0])).item()
        3.0
    """
    return sum(wrap(without(node_of(x), 0.0)), axis, keepdims, dtype)


@public
def nanprod(x: Any, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """Product over axes (all by default) of what is not NaN."""
    return prod(wrap(without(node_of(x), 1.0)), axis, keepdims, dtype)


@public
def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Running totals along an axis; NaN counts as zero."""
    return cumsum(wrap(without(node_of(x), 0.0)), axis, dtype)


@public
def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Running products along an axis; NaN counts as one."""
    return cumprod(wrap(without(node_of(x), 1.0)), axis, dtype)


def _count(node: Node, axis: Axis, keepdims: bool) -> Node:
    """How many elements are not NaN, in the dtype of `node`."""
    there = convert(ops.logical_not(ops.isnan(node)), int64)
    return convert(fold(folds.sum_, there, axis, keepdims), node.dtype)


def _mean(node: Node, axis: Axis, keepdims: bool) -> Node:
    total = fold(folds.sum_, without(node, 0.0), axis, keepdims)
    return ops.divide(total, _count(node, axis, keepdims))


@public
def nanmean(x: Any, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """Mean over axes (all by default) of what is not NaN; NaN where there is nothing else.

    Errors: DTypeError for integers: say x.float() or dtype=.

    Example:
        >>> import ambos as am
        >>> am.nanmean(am.tensor([1.0, float("nan"), 2.0])).item()
        1.5
    """
    node = _float_input("nanmean", x, dtype)
    return wrap(convert(_mean(computed_in(node), axis, keepdims), node.dtype))


@public
def nanvar(
    x: Any, axis: Axis = None, correction: float | None = None, keepdims: bool = False,
    unbiased: bool | None = None,
) -> Tensor:  # fmt: skip
    """Variance over axes of what is not NaN; see `var` for `correction`. NaN where it takes off all
    there is."""
    axis, correction = freedom("nanvar", axis, correction, unbiased, 0.0)
    node = _float_input("nanvar", x)
    return wrap(convert(_variance(computed_in(node), axis, correction, keepdims), node.dtype))


def _variance(node: Node, axis: Axis, correction: float, keepdims: bool) -> Node:
    centred = without(binary(ops.subtract, node, _mean(node, axis, True)), 0.0)
    total = fold(folds.sum_, ops.multiply(centred, centred), axis, keepdims)
    count = binary(ops.subtract, _count(node, axis, keepdims), correction)
    zero = scalar(0, count.dtype, count.shape)
    nothing = scalar(math.nan, count.dtype, count.shape)
    return ops.divide(total, ops.where(ops.greater(count, zero), count, nothing))


@public
def nanstd(
    x: Any, axis: Axis = None, correction: float | None = None, keepdims: bool = False,
    unbiased: bool | None = None,
) -> Tensor:  # fmt: skip
    """Standard deviation over axes of what is not NaN; see `nanvar`."""
    axis, correction = freedom("nanstd", axis, correction, unbiased, 0.0)
    node = _float_input("nanstd", x)
    found = root(_variance(computed_in(node), axis, correction, keepdims))
    return wrap(convert(found, node.dtype))


def _extreme(reduce: Any, limit: float, x: Any, axis: Axis, keepdims: bool) -> Tensor:
    node = node_of(x)
    found = node_of(reduce(wrap(without(node, limit)), axis, keepdims))
    if not node.dtype.is_floating:
        return wrap(found)
    nothing = node_of(all(wrap(ops.isnan(node)), axis, keepdims))
    return wrap(ops.where(nothing, scalar(math.nan, found.dtype, found.shape), found))


@public
def nanmax(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Largest elements over axes of what is not NaN; NaN where there is nothing else.

    Example:
        >>> import ambos as am
        >>> am.nanmax(am.tensor([1.0, float("nan"), 2.0])).item()
        2.0
    """
    return _extreme(amax, -math.inf, x, axis, keepdims)


@public
def nanmin(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Smallest elements over axes of what is not NaN; NaN where there is nothing else."""
    return _extreme(amin, math.inf, x, axis, keepdims)


@public
def nanargmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the first largest element that is not NaN (0 where there is none), int64."""
    return argmax(wrap(without(node_of(x), -math.inf)), axis, keepdims)


@public
def nanargmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the first smallest element that is not NaN (0 where there is none), int64."""
    return argmin(wrap(without(node_of(x), math.inf)), axis, keepdims)


__all__ = [
    "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmin", "nanprod",
    "nanstd", "nansum", "nanvar",
]  # fmt: skip
