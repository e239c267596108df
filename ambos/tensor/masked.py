"""`am.masked`: functions of the elements for which a mask holds, under PyTorch's names.

`mask` is a tensor of bools (or numbers, where anything but zero counts) that broadcasts to the
tensor; None takes everything in. What is left out counts as the identity of the function: 0 for a
sum, -inf for a maximum. Where a row has nothing left, the identity is the result, and means,
medians and variances are NaN.
"""

from __future__ import annotations

import math
from typing import Any

from ambos.core.dtype import DType, as_dtype, bool_, int64
from ambos.core.errors import DTypeError, ShapeError
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import reductions as folds
from ambos.tensor import norms, quantiles, reductions, running, soft
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import binary, convert, expand_to, floating, scalar
from ambos.tensor.reductions import Axis, axes_in, fold, freedom, root


def _mask(op: str, node: Node, mask: Any) -> Node:
    """The mask as bools in the shape of `node`."""
    given = convert(node_of(mask), bool_)
    missing = node.rank - given.rank
    if missing < 0 or any(
        m not in (1, n) for m, n in zip(given.shape, node.shape[missing:], strict=True)
    ):
        raise ShapeError(f"masked.{op}: the mask is {given.shape} for {node.shape}; need one that "
                         "broadcasts to it")  # fmt: skip
    return expand_to(given, node.shape)


def _filled(op: str, node: Node, mask: Any, fill: float | int) -> Tensor:
    """`node` with `fill` where the mask does not hold."""
    if mask is None:
        return wrap(node)
    return wrap(ops.where(_mask(op, node, mask), node, scalar(fill, node.dtype, node.shape)))


def _as(found: Tensor, dtype: Any) -> Tensor:
    return found if dtype is None else wrap(convert(node_of(found), as_dtype(dtype)))


def _lowest(dtype: DType) -> Any:
    return False if dtype is bool_ else dtype.min


def _highest(dtype: DType) -> Any:
    return True if dtype is bool_ else dtype.max


@public
def sum(
    x: Any, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """Total over axes (all by default).

    Example:
        >>> import ambos as am
        >>> am.masked.sum(am.tensor([1, 2, 4]), mask=am.tensor([True, False, True])).item()
        5
    """
    return reductions.sum(_filled("sum", node_of(x), mask, 0), axis, keepdims, dtype)


@public
def prod(
    x: Any, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """Product over axes (all by default)."""
    return reductions.prod(_filled("prod", node_of(x), mask, 1), axis, keepdims, dtype)


@public
def cumsum(x: Any, axis: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """Running totals along an axis; the dtype stays."""
    node = node_of(x)
    return running.cumsum(_filled("cumsum", node, mask, 0), axis, dtype or node.dtype)


@public
def cumprod(x: Any, axis: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """Running products along an axis; the dtype stays."""
    node = node_of(x)
    return running.cumprod(_filled("cumprod", node, mask, 1), axis, dtype or node.dtype)


@public
def amax(
    x: Any, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """Largest elements over axes (all by default); the lowest value there is where none is left."""
    node = node_of(x)
    filled = _filled("amax", node, mask, _lowest(node.dtype))
    return _as(reductions.amax(filled, axis, keepdims), dtype)


@public
def amin(
    x: Any, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """Smallest elements over axes (all by default); the highest value where none is left."""
    node = node_of(x)
    filled = _filled("amin", node, mask, _highest(node.dtype))
    return _as(reductions.amin(filled, axis, keepdims), dtype)


@public
def argmax(
    x: Any, axis: int | None = None, *, keepdims: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """Position of the first largest element, int64."""
    node = node_of(x)
    filled = _filled("argmax", node, mask, _lowest(node.dtype))
    return _as(reductions.argmax(filled, axis, keepdims), dtype)


@public
def argmin(
    x: Any, axis: int | None = None, *, keepdims: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """Position of the first smallest element, int64."""
    node = node_of(x)
    filled = _filled("argmin", node, mask, _highest(node.dtype))
    return _as(reductions.argmin(filled, axis, keepdims), dtype)


def _count(op: str, node: Node, mask: Any, axis: Axis, keepdims: bool, dtype: DType) -> Node:
    """How many elements the mask leaves, in `dtype`."""
    if mask is None:
        chosen = scalar(1, int64, node.shape)
    else:
        chosen = convert(_mask(op, node, mask), int64)
    return convert(fold(folds.sum_, chosen, axis, keepdims), dtype)


def _total(op: str, node: Node, mask: Any, axis: Axis, keepdims: bool) -> Node:
    return fold(folds.sum_, node_of(_filled(op, node, mask, 0)), axis, keepdims)


@public
def mean(
    x: Any, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """Mean over axes (all by default) of a floating or complex tensor.

    Errors: DTypeError for integers: say x.float() or dtype=.

    Example:
        >>> import ambos as am
        >>> am.masked.mean(am.tensor([1.0, 2.0, 6.0]), mask=am.tensor([1, 1, 0])).item()
        1.5
    """
    given = node_of(_as(wrap(node_of(x)), dtype))
    if not given.dtype.is_inexact:
        raise DTypeError(f"masked.mean: got {given.dtype.name}; need a floating dtype: use "
                         "x.float() or dtype=am.float32")  # fmt: skip
    node = reductions.computed_in(given)
    count = _count("mean", node, mask, axis, keepdims, node.dtype)
    total = _total("mean", node, mask, axis, keepdims)
    return wrap(convert(ops.divide(total, count), given.dtype))


@public
def median(
    x: Any, axis: int = -1, *, keepdims: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """The lower middle element along an axis, NaN left out (integers give float32)."""
    filled = _filled("median", floating(node_of(x)), mask, math.nan)
    found: Tensor = quantiles.nanmedian(filled, dim=axis, keepdims=keepdims).values
    return _as(found, dtype)


@public
def norm(
    x: Any, p: float | None = 2.0, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None,
    mask: Any = None,
) -> Tensor:  # fmt: skip
    """Norm of order p over axes (all by default); see `am.norm`."""
    fill = math.inf if p is not None and p < 0 else 0.0
    node = node_of(_as(wrap(node_of(x)), dtype))
    return norms.norm(_filled("norm", floating(node), mask, fill), p, axis, keepdims)


def _variance(
    op: str, x: Any, axis: Any, unbiased: bool | None, correction: float | None, keepdims: bool,
    dtype: Any, mask: Any,
) -> tuple[Node, DType]:  # fmt: skip
    """The variance, in the dtype that it is computed in, and the dtype of the result."""
    axis, correction = freedom(op, axis, correction, unbiased)
    given = floating(node_of(_as(wrap(node_of(x)), dtype)))
    result = (as_dtype(dtype) if dtype is not None else given.dtype).part
    node = reductions.computed_in(given)
    total = _total(op, node, mask, axis, True)
    mean = ops.divide(total, _count(op, node, mask, axis, True, node.dtype))
    centred = reductions.squared_size(binary(ops.subtract, node, mean))
    squares = _total(op, centred, mask, axis, keepdims)
    count = binary(ops.subtract, _count(op, node, mask, axis, keepdims, centred.dtype), correction)
    zero = scalar(0, count.dtype, count.shape)
    return ops.divide(squares, ops.where(ops.less(count, zero), zero, count)), result


@public
def var(
    x: Any, axis: Axis = None, unbiased: bool | None = None, *, correction: float | None = None,
    keepdims: bool = False, dtype: Any = None, mask: Any = None,
) -> Tensor:  # fmt: skip
    """Variance over axes (all by default); see `am.var` for `correction`. Integers give float32."""
    found, result = _variance("var", x, axis, unbiased, correction, keepdims, dtype, mask)
    return wrap(convert(found, result))


@public
def std(
    x: Any, axis: Axis = None, unbiased: bool | None = None, *, correction: float | None = None,
    keepdims: bool = False, dtype: Any = None, mask: Any = None,
) -> Tensor:  # fmt: skip
    """Standard deviation over axes (all by default); see `var`."""
    found, result = _variance("std", x, axis, unbiased, correction, keepdims, dtype, mask)
    return wrap(convert(root(found), result))


@public
def softmax(x: Any, axis: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis; 0 where the mask does not hold.

    Example:
        >>> import ambos as am
        >>> am.masked.softmax(am.zeros(3), 0, mask=am.tensor([1, 0, 1])).tolist()
        [0.5, 0.0, 0.5]
    """
    return soft.softmax(_filled("softmax", floating(node_of(x)), mask, -math.inf), axis, dtype)


@public
def log_softmax(x: Any, axis: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """log(softmax(x)) along an axis; -inf where the mask does not hold."""
    filled = _filled("log_softmax", floating(node_of(x)), mask, -math.inf)
    return soft.log_softmax(filled, axis, dtype)


@public
def softmin(x: Any, axis: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """softmax(-x) along an axis; 0 where the mask does not hold."""
    return soft.softmin(_filled("softmin", floating(node_of(x)), mask, math.inf), axis, dtype)


@public
def logsumexp(
    x: Any, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """log(sum(exp(x))) over axes (all by default), without overflow."""
    filled = _filled("logsumexp", floating(node_of(x)), mask, -math.inf)
    return _as(soft.logsumexp(filled, axis, keepdims), dtype)


@public
def logaddexp(
    x: Any, y: Any, *, dtype: Any = None, input_mask: Any = None, other_mask: Any = None
) -> Tensor:
    """log(exp(x) + exp(y)) with a mask for each."""
    a = _filled("logaddexp", floating(node_of(x)), input_mask, -math.inf)
    b = _filled("logaddexp", floating(node_of(y)), other_mask, -math.inf)
    return _as(soft.logaddexp(a, b), dtype)


@public
def normalize(
    x: Any, p: float, axis: int, *, eps: float = 1e-12, dtype: Any = None, mask: Any = None
) -> Tensor:
    """x / max(norm(x, p), eps) along an axis; 0 where the mask does not hold."""
    node = floating(node_of(_as(wrap(node_of(x)), dtype)))
    axes = axes_in("normalize", axis, node.rank)
    size = node_of(norm(wrap(node), p, axes, keepdims=True, mask=mask))
    low = scalar(eps, size.dtype, size.shape)
    filled = node_of(_filled("normalize", node, mask, 0))
    return wrap(binary(ops.divide, filled, ops.where(ops.less(size, low), low, size)))


__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp",
    "logsumexp", "mean", "median", "norm", "normalize", "prod", "softmax", "softmin", "std", "sum",
    "var",
]  # fmt: skip
