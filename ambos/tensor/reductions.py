"""Reductions: functions that fold axes away.

`max`, `min` and `sort` speak both languages: `axis=` gives NumPy's values, `dim=` or a positional
axis gives PyTorch's pair (values, indices).
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from ambos.core.dtype import as_dtype, bool_, int64, uint64
from ambos.core.errors import ArgumentError, DTypeError
from ambos.core.shape import Shape, normalize_axes, normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import complex as bridge
from ambos.ops import functions
from ambos.ops import reductions as folds
from ambos.ops.kinds import Op
from ambos.ops.movement import detach
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import binary, convert, floating, quotient, scalar

Axis = int | Iterable[int] | None


class Extremes(NamedTuple):
    """Values and where they were found, as PyTorch's max, min, sort and topk return them."""

    values: Tensor
    indices: Tensor


def fold(op: Op, node: Node, axis: Axis, keepdims: bool) -> Node:
    """`op` over axes, which stay as axes of size 1 if asked."""
    axes = normalize_axes(op.name, axis, node.rank)
    return _restore_axes(op(node, attrs=(axes,)) if axes else _of_none(op, node), node, axes,
                         keepdims)  # fmt: skip


def _of_none(op: Op, node: Node) -> Node:
    """A reduction over no axes: each element by itself."""
    if op.name in ("argmax", "argmin"):
        return scalar(0, int64, node.shape)
    return node


def _restore_axes(result: Node, source: Node, axes: Shape, keepdims: bool) -> Node:
    if not keepdims:
        return result
    return reshaped(result, tuple(1 if a in axes else n for a, n in enumerate(source.shape)))


def _wide(node: Node, dtype: Any) -> Node:
    """What sums run in: the dtype asked for, else integers and bools in 64 bits."""
    if dtype is not None:
        return convert(node, as_dtype(dtype))
    if node.dtype.is_inexact:
        return node
    return convert(node, uint64 if node.dtype is uint64 else int64)


@public
def sum(x: Any, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """Total over axes (all by default); integers and bools give int64.

    Example:
        >>> import ambos as am
        >>> am.tensor([[1, 2], [3, 4]]).sum(axis=0).tolist()
        [4, 6]
    """
    return wrap(fold(folds.sum_, _wide(node_of(x), dtype), axis, keepdims))


@public
def prod(x: Any, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """Product over axes (all by default); integers and bools give int64."""
    return wrap(fold(folds.prod, _wide(node_of(x), dtype), axis, keepdims))


def _float_input(op: str, x: Any, dtype: Any = None) -> Node:
    node = node_of(x)
    if dtype is not None:
        node = convert(node, as_dtype(dtype))
    if not node.dtype.is_inexact:
        raise DTypeError(f"{op}: got {node.dtype.name}; need a floating dtype: use x.float() or "
                         "dtype=am.float32")  # fmt: skip
    return node


def computed_in(node: Node) -> Node:
    """`node` in the dtype that arithmetic runs in: half precisions round once, at the end."""
    return convert(node, node.dtype.compute)


def mean_node(node: Node, axis: Axis, keepdims: bool) -> Node:
    """The mean of a floating node."""
    axes = normalize_axes("mean", axis, node.rank)
    count = math.prod(node.shape[a] for a in axes)
    total = fold(folds.sum_, node, axes, keepdims)
    return binary(ops.divide, total, float(count))


@public
def mean(x: Any, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """Mean over axes (all by default) of a floating tensor.

    Errors: DTypeError for integers: say x.float() or dtype=.
    """
    node = _float_input("mean", x, dtype)
    return wrap(convert(mean_node(computed_in(node), axis, keepdims), node.dtype))


def squared_size(node: Node) -> Node:
    """x * x, of complex numbers |x|**2."""
    if not node.dtype.is_complex:
        return ops.multiply(node, node)
    x, y = bridge.real(node), bridge.imag(node)
    return ops.add(ops.multiply(x, x), ops.multiply(y, y))


def variance_node(node: Node, axis: Axis, correction: float, keepdims: bool) -> Node:
    axes = normalize_axes("var", axis, node.rank)
    count = math.prod(node.shape[a] for a in axes)
    centred = binary(ops.subtract, node, mean_node(node, axes, True))
    total = fold(folds.sum_, squared_size(centred), axes, keepdims)
    return binary(ops.divide, total, float(builtins.max(count - correction, 0)))


@public
def var(
    x: Any, axis: Axis = None, correction: float = 1, keepdims: bool = False,
    unbiased: bool | None = None,
) -> Tensor:  # fmt: skip
    """Variance over axes; `correction` (1, as in PyTorch; NumPy's ddof is 0) is taken off the
    count. `unbiased=False` is correction 0."""
    correction = correction if unbiased is None else int(unbiased)
    node = _float_input("var", x)
    found = variance_node(computed_in(node), axis, correction, keepdims)
    return wrap(convert(found, node.dtype.part))


@public
def std(
    x: Any, axis: Axis = None, correction: float = 1, keepdims: bool = False,
    unbiased: bool | None = None,
) -> Tensor:  # fmt: skip
    """Standard deviation over axes; see `var` for `correction`."""
    correction = correction if unbiased is None else int(unbiased)
    node = _float_input("std", x)
    found = functions.sqrt(variance_node(computed_in(node), axis, correction, keepdims))
    return wrap(convert(found, node.dtype.part))


@public
def var_mean(
    x: Any, axis: Axis = None, correction: float = 1, keepdims: bool = False
) -> tuple[Tensor, Tensor]:
    """(variance, mean)."""
    return var(x, axis, correction, keepdims), mean(x, axis, keepdims)


@public
def std_mean(
    x: Any, axis: Axis = None, correction: float = 1, keepdims: bool = False
) -> tuple[Tensor, Tensor]:
    """(standard deviation, mean)."""
    return std(x, axis, correction, keepdims), mean(x, axis, keepdims)


@public
def amax(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Largest elements over axes; NaN where there is one."""
    return wrap(fold(folds.max_, node_of(x), axis, keepdims))


@public
def amin(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Smallest elements over axes; NaN where there is one."""
    return wrap(fold(folds.min_, node_of(x), axis, keepdims))


_ALL: Any = object()  # no axis was given


def _extreme(
    which: tuple[Any, Any, Any], x: Any, dim: Any, keepdims: bool, axis: Any, keepdim: bool
) -> Any:
    values, positions, pairwise = which
    keep = keepdims or keepdim
    if axis is not _ALL or dim is _ALL or dim is None:
        return values(x, None if axis is _ALL else axis, keep)
    if isinstance(dim, int) and not isinstance(dim, bool):
        return Extremes(values(x, dim, keep), positions(x, dim, keep))
    if isinstance(dim, tuple):
        raise ArgumentError(f"max, min: dim={dim}; need one axis for (values, indices): spell it "
                            "axis= for values only")  # fmt: skip
    return wrap(binary(pairwise, node_of(x), operand_of(dim)))


@public
def max(
    x: Any, dim: Any = _ALL, keepdims: bool = False, *, axis: Any = _ALL, keepdim: bool = False
) -> Any:
    """Largest element. `axis=` gives values (NumPy); `dim=` or a positional axis gives the pair
    (values, indices) (PyTorch); a second tensor gives the elementwise maximum.

    Example:
        >>> import ambos as am
        >>> x = am.tensor([[1, 5], [7, 2]])
        >>> x.max().item(), x.max(axis=1).tolist(), x.max(1).indices.tolist()
        (7, [5, 7], [1, 0])
    """
    return _extreme((amax, argmax, ops.maximum), x, dim, keepdims, axis, keepdim)


@public
def min(
    x: Any, dim: Any = _ALL, keepdims: bool = False, *, axis: Any = _ALL, keepdim: bool = False
) -> Any:
    """Smallest element; see `max` for axis and dim."""
    return _extreme((amin, argmin, ops.minimum), x, dim, keepdims, axis, keepdim)


@public
def aminmax(x: Any, axis: Axis = None, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """(smallest, largest) over axes."""
    return amin(x, axis, keepdims), amax(x, axis, keepdims)


@public
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the first largest element, along an axis or in row-major order, int64."""
    return wrap(fold(folds.argmax, node_of(x), axis, keepdims))


@public
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the first smallest element, along an axis or in row-major order, int64."""
    return wrap(fold(folds.argmin, node_of(x), axis, keepdims))


@public
def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Is any element true (not zero)?"""
    return wrap(fold(folds.any_, convert(node_of(x), bool_), axis, keepdims))


@public
def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Is every element true (not zero)?"""
    return wrap(fold(folds.all_, convert(node_of(x), bool_), axis, keepdims))


@public
def count_nonzero(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many elements are not zero, int64."""
    return sum(wrap(convert(node_of(x), bool_)), axis, keepdims)


def _shifted(node: Node, axis: Axis) -> tuple[Node, Node]:
    """(exp(x - max), max) with a max that gradients do not see; infinities do not become NaN."""
    top = detach(fold(folds.max_, node, axis, True))
    safe = ops.where(ops.isfinite(top), top, scalar(0, top.dtype, top.shape))
    return functions.exp(binary(ops.subtract, node, safe)), safe


@public
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over axes, without overflow."""
    node = floating(node_of(x))
    axes = normalize_axes("logsumexp", axis, node.rank)
    powers, top = _shifted(computed_in(node), axes)
    total = ops.add(functions.log(fold(folds.sum_, powers, axes, True)), top)
    total = convert(total, node.dtype)
    if keepdims:
        return wrap(total)
    return wrap(reshaped(total, tuple(n for a, n in enumerate(node.shape) if a not in axes)))


@public
def softmax(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis, without overflow."""
    given = _soft_input("softmax", x, axis, dtype)
    if given.size == 0:
        return wrap(given)
    node = computed_in(given)
    top = detach(fold(folds.max_, node, axis, True))
    powers = functions.exp(binary(ops.subtract, node, top))
    # One division a row: a vector division costs more than the rest of a row in cache.
    share = quotient(ops.divide, 1.0, fold(folds.sum_, powers, axis, True))
    return wrap(convert(binary(ops.multiply, powers, share), given.dtype))


@public
def log_softmax(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along an axis, without overflow or cancellation."""
    given = _soft_input("log_softmax", x, axis, dtype)
    if given.size == 0:
        return wrap(given)
    node = computed_in(given)
    top = detach(fold(folds.max_, node, axis, True))
    shifted = binary(ops.subtract, node, top)
    total = functions.log(fold(folds.sum_, functions.exp(shifted), axis, True))
    return wrap(convert(binary(ops.subtract, shifted, total), given.dtype))


def _soft_input(op: str, x: Any, axis: int | None, dtype: Any) -> Node:
    node = node_of(x)
    if axis is None:
        raise ArgumentError(f"{op}: no axis was given; need axis= (or dim=), usually -1")
    if node.rank:
        normalize_axis(op, axis, node.rank)
    return floating(node if dtype is None else convert(node, as_dtype(dtype)))


@public
def norm(x: Any, p: float | str = 2, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Vector norm of order p (2, 1, 0, inf, -inf or any number; "fro" is 2) over axes."""
    node = floating(node_of(x))
    if p == "fro":
        p = 2
    if not isinstance(p, (int, float)):
        raise ArgumentError(f"norm: order {p!r}; need a number or 'fro'")
    return wrap(convert(_norm_node(computed_in(node), p, axis, keepdims), node.dtype.part))


def _norm_node(node: Node, p: float, axis: Axis, keepdims: bool) -> Node:
    size = ops.absolute(node)
    if p in (math.inf, -math.inf):
        return fold(folds.max_ if p > 0 else folds.min_, size, axis, keepdims)
    if p == 0:
        return fold(folds.sum_, convert(convert(node, bool_), size.dtype), axis, keepdims)
    if p == 1:
        return fold(folds.sum_, size, axis, keepdims)
    if p == 2:
        return _root(fold(folds.sum_, squared_size(node), axis, keepdims))
    total = fold(folds.sum_, binary(functions.power, size, float(p)), axis, keepdims)
    return binary(functions.power, total, 1 / p)


def _root(node: Node) -> Node:
    """The square root, whose gradient at 0 is 0 (as PyTorch's norm has it) and not infinite."""
    zero, one = scalar(0, node.dtype, node.shape), scalar(1, node.dtype, node.shape)
    none = ops.equal(node, zero)
    return ops.where(none, zero, functions.sqrt(ops.where(none, one, node)))


__all__ = [
    "Extremes", "all", "amax", "amin", "aminmax", "any", "argmax", "argmin", "count_nonzero",
    "log_softmax", "logsumexp", "max", "mean", "min", "norm", "prod", "softmax", "std",
    "std_mean", "sum", "var", "var_mean",
]  # fmt: skip
