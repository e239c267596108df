"""Reductions: functions that fold axes away.

`max` and `min` speak both languages: `axis=` gives NumPy's values, `dim=` or a positional axis
gives PyTorch's pair (values, indices). A scalar may be reduced along axis 0 or -1, as in PyTorch.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from ambos.core.dtype import as_dtype, bool_, int64, uint64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import Shape, normalize_axes
from ambos.core.unknown import larger
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import complex as bridge
from ambos.ops import functions
from ambos.ops import reductions as folds
from ambos.ops.kinds import Op
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, shape_of, wrap
from ambos.tensor.modes import set_grad_enabled
from ambos.tensor.names import public
from ambos.tensor.operands import binary, convert, scalar

Axis = int | Iterable[int] | None


class Extremes(NamedTuple):
    """Values and where they were found, as PyTorch's max, min, sort and topk return them."""

    values: Tensor
    indices: Tensor


class MinMax(NamedTuple):
    """The smallest and the largest, as PyTorch's aminmax returns them."""

    min: Tensor
    max: Tensor


def axes_in(op: str, axis: Axis, rank: int) -> Shape:
    """Sorted, distinct, non-negative axes (all for None); a scalar has none, but may name one."""
    found = normalize_axes(op, axis, rank or 1)
    return found if rank else ()


def fold(op: Op, node: Node, axis: Axis, keepdims: bool) -> Node:
    """`op` over axes, which stay as axes of size 1 if asked."""
    axes = axes_in(op.name, axis, node.rank)
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


def summable(node: Node, dtype: Any = None) -> Node:
    """What sums run in: the dtype asked for, else integers in 64 bits of their kind."""
    if dtype is not None:
        return convert(node, as_dtype(dtype))
    if node.dtype.is_integer or node.dtype is bool_:
        return convert(node, uint64 if node.dtype.kind == "u" else int64)
    return node


@public
def sum(x: Any, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """Total over axes (all by default).

    Dtypes: signed integers and bools give int64, unsigned ones uint64, others stay, unless `dtype`
        says which (bool: is any element true?).

    Example:
        >>> import ambos as am
        >>> am.tensor([[1, 2], [3, 4]]).sum(axis=0).tolist()
        [4, 6]
    """
    node = summable(node_of(x), dtype)
    return wrap(fold(folds.any_ if node.dtype is bool_ else folds.sum_, node, axis, keepdims))


@public
def prod(x: Any, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """Product over axes (all by default); dtypes as `sum` has them."""
    node = summable(node_of(x), dtype)
    return wrap(fold(folds.all_ if node.dtype is bool_ else folds.prod, node, axis, keepdims))


@public
def sum_to_size(x: Any, *shape: Any) -> Tensor:
    """The sum over axes that `shape` lacks or has as 1: what broadcasts back to `x`.

    Errors: ShapeError for a shape that does not broadcast to that of `x`.

    Example:
        >>> import ambos as am
        >>> am.ones(2, 3).sum_to_size(1, 3).tolist()
        [[2.0, 2.0, 2.0]]
    """
    node, target = node_of(x), shape_of("sum_to_size", shape)
    missing = node.rank - len(target)
    single = (1,) * missing + target
    if missing < 0 or not builtins.all(
        t in (1, n) for t, n in zip(single, node.shape, strict=True)
    ):
        raise ShapeError(f"sum_to_size: got {node.shape} for {target}; need a shape that "
                         "broadcasts to it")  # fmt: skip
    axes = [a for a, (t, n) in enumerate(zip(single, node.shape, strict=True)) if t != n]
    axes += [a for a in range(missing) if a not in axes]
    if not axes and target:
        return wrap(node)
    return wrap(reshaped(fold(folds.sum_, summable(node), axes, False), target))


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
    axes = axes_in("mean", axis, node.rank)
    count = math.prod(node.shape[a] for a in axes)
    total = fold(folds.sum_, node, axes, keepdims)
    return binary(ops.divide, total, count)


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
    """The mean is off by what its sum was rounded by, which the sum of what is centred tells (Chan,
    Golub, LeVeque 1983). That sum stands for zero and has no gradient."""
    axes = axes_in("var", axis, node.rank)
    count = math.prod(node.shape[a] for a in axes)
    centred = binary(ops.subtract, node, mean_node(node, axes, True))
    total = fold(folds.sum_, squared_size(centred), axes, keepdims)
    with set_grad_enabled(False):
        missed = squared_size(fold(folds.sum_, centred, axes, keepdims))
    total = ops.subtract(total, binary(ops.divide, missed, larger(count, 1)))
    total = ops.maximum(total, scalar(0, total.dtype, total.shape))
    return binary(ops.divide, total, larger(count - correction, 0))


def freedom(
    op: str, axis: Any, correction: float | None, unbiased: bool | None, default: float = 1.0
) -> tuple[Axis, float]:
    """The axes, and what is taken off the count; `var(x, False)` is PyTorch's way to say
    unbiased."""
    if isinstance(axis, bool):
        axis, unbiased = None, axis
    if unbiased is None:
        return axis, default if correction is None else float(correction)
    if correction is not None:
        raise ArgumentError(f"{op}: got correction {correction} and unbiased {unbiased}; need one")
    return axis, float(unbiased)


@public
def var(
    x: Any, axis: Axis = None, correction: float | None = None, keepdims: bool = False,
    unbiased: bool | None = None,
) -> Tensor:  # fmt: skip
    """Variance over axes; `correction` (NumPy's ddof) is taken off the count: 0 by default, as in
    the Array API and NumPy. The method `x.var()` divides by n - 1, as PyTorch's; `unbiased` says
    which.

    Example:
        >>> import ambos as am
        >>> x = am.tensor([1.0, 3.0])
        >>> am.var(x).item(), am.var(x, correction=1).item(), x.var().item()
        (1.0, 2.0, 2.0)
    """
    axis, correction = freedom("var", axis, correction, unbiased, 0.0)
    node = _float_input("var", x)
    found = variance_node(computed_in(node), axis, correction, keepdims)
    return wrap(convert(found, node.dtype.part))


@public
def std(
    x: Any, axis: Axis = None, correction: float | None = None, keepdims: bool = False,
    unbiased: bool | None = None,
) -> Tensor:  # fmt: skip
    """Standard deviation over axes; see `var` for `correction`."""
    axis, correction = freedom("std", axis, correction, unbiased, 0.0)
    node = _float_input("std", x)
    found = root(variance_node(computed_in(node), axis, correction, keepdims))
    return wrap(convert(found, node.dtype.part))


def root(node: Node) -> Node:
    """The square root, whose gradient at 0 is 0 (as PyTorch's norm and std have it) and not
    infinite."""
    zero, one = scalar(0, node.dtype, node.shape), scalar(1, node.dtype, node.shape)
    none = ops.equal(node, zero)
    return ops.where(none, zero, functions.sqrt(ops.where(none, one, node)))


@public
def var_mean(
    x: Any, axis: Axis = None, correction: float | None = None, keepdims: bool = False,
    unbiased: bool | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(variance, mean) over axes, of n - 1 unless `correction` says otherwise (PyTorch)."""
    axis, correction = freedom("var_mean", axis, correction, unbiased)
    return var(x, axis, correction, keepdims), mean(x, axis, keepdims)


@public
def std_mean(
    x: Any, axis: Axis = None, correction: float | None = None, keepdims: bool = False,
    unbiased: bool | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(standard deviation, mean) over axes, of n - 1 unless `correction` says otherwise
    (PyTorch)."""
    axis, correction = freedom("std_mean", axis, correction, unbiased)
    return std(x, axis, correction, keepdims), mean(x, axis, keepdims)


@public
def amax(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Largest elements over axes; NaN where there is one. Equal ones share the gradient."""
    return wrap(fold(folds.amax, node_of(x), axis, keepdims))


@public
def amin(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Smallest elements over axes; NaN where there is one. Equal ones share the gradient."""
    return wrap(fold(folds.amin, node_of(x), axis, keepdims))


UNSAID: Any = object()  # no axis was given


def _extreme(
    which: tuple[Any, Any, Any, Any], x: Any, dim: Any, keepdims: bool, axis: Any, keepdim: bool
) -> Any:
    values, first, positions, pairwise = which
    keep = keepdims or keepdim
    if axis is not UNSAID or dim is UNSAID or dim is None:
        return values(x, None if axis is UNSAID else axis, keep)
    if isinstance(dim, int) and not isinstance(dim, bool):
        found = wrap(fold(first, node_of(x), dim, keep))
        return Extremes(found, positions(x, dim, keep))
    if isinstance(dim, tuple):
        raise ArgumentError(f"max, min: dim={dim}; need one axis for (values, indices): spell it "
                            "axis= for values only")  # fmt: skip
    return wrap(binary(pairwise, node_of(x), operand_of(dim)))


@public
def max(
    x: Any, dim: Any = UNSAID, keepdims: bool = False, *, axis: Any = UNSAID, keepdim: bool = False
) -> Any:
    """Largest element. `axis=` gives values (NumPy); `dim=` or a positional axis gives the pair
    (values, indices) (PyTorch); a second tensor gives the elementwise maximum. Equal elements share
    the gradient, but for the pair, where the one at the index has it.

    Example:
        >>> import ambos as am
        >>> x = am.tensor([[1, 5], [7, 2]])
        >>> x.max().item(), x.max(axis=1).tolist(), x.max(1).indices.tolist()
        (7, [5, 7], [1, 0])
    """
    return _extreme((amax, folds.max_, argmax, ops.maximum), x, dim, keepdims, axis, keepdim)


@public
def min(
    x: Any, dim: Any = UNSAID, keepdims: bool = False, *, axis: Any = UNSAID, keepdim: bool = False
) -> Any:
    """Smallest element; see `max` for axis and dim."""
    return _extreme((amin, folds.min_, argmin, ops.minimum), x, dim, keepdims, axis, keepdim)


@public
def aminmax(x: Any, axis: Axis = None, keepdims: bool = False) -> MinMax:
    """(smallest, largest) over axes.

    Example:
        >>> import ambos as am
        >>> found = am.aminmax(am.tensor([3, 1, 2]))
        >>> found.min.item(), found.max.item()
        (1, 3)
    """
    return MinMax(amin(x, axis, keepdims), amax(x, axis, keepdims))


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


__all__ = [
    "Extremes", "MinMax", "all", "amax", "amin", "aminmax", "any", "argmax", "argmin",
    "count_nonzero", "max", "mean", "min", "prod", "std", "std_mean", "sum", "sum_to_size", "var",
    "var_mean",
]  # fmt: skip
