"""Lengths of vectors, and vectors brought to a length."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.dtype import as_dtype
from ambos.core.errors import ArgumentError
from ambos.core.shape import normalize_axes, normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import functions
from ambos.ops import reductions as folds
from ambos.ops.movement import permute
from ambos.ops.spectral import svdvals
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import binary, convert, floating, quotient, scalar
from ambos.tensor.reductions import Axis, computed_in, fold, root, squared_size


@public
def norm(
    x: Any, p: float | str | None = 2, axis: Axis = None, keepdims: bool = False, dtype: Any = None
) -> Tensor:
    """Norm of order p over axes (all by default), whose elements count as one vector: the p-th root
    of the sum of |x|**p; 0 counts what is not zero, inf and -inf are the largest and the smallest
    magnitude. "fro" and None are 2. Where the norm has no slope (at 0), its gradient is 0. "nuc" is
    the sum of the singular values of matrices, which two axes are.

    Errors: ArgumentError for another order, and for "fro" of more than two axes that are given.

    Example:
        >>> import ambos as am
        >>> am.norm(am.tensor([3.0, 4.0])).item(), am.norm(am.tensor([3.0, 4.0]), 1).item()
        (5.0, 7.0)
    """
    node = floating(node_of(x) if dtype is None else convert(node_of(x), as_dtype(dtype)))
    if p == "nuc":
        return wrap(nuclear(node, axis, keepdims))
    if p == "fro" and isinstance(axis, (list, tuple)) and len(axis) > 2:
        raise ArgumentError(f"norm: order 'fro' over {len(axis)} axes; need at most two: the norm "
                            "of a vector is order 2")  # fmt: skip
    order = 2 if p in ("fro", None) else p
    if not isinstance(order, (int, float)):
        raise ArgumentError(f"norm: order {p!r}; need a number, 'fro' or 'nuc'")
    return wrap(convert(norm_node(computed_in(node), order, axis, keepdims), node.dtype.part))


def nuclear(node: Node, axis: Axis, keepdims: bool) -> Node:
    """The sums of the singular values of the matrices that lie along two axes."""
    axes = normalize_axes("norm", axis, node.rank)
    if len(axes) != 2:
        raise ArgumentError(f"norm: order 'nuc' over axes {axes} of {node.shape}; need two")
    rest = tuple(a for a in range(node.rank) if a not in axes)
    found = fold(folds.sum_, svdvals(permute(node, attrs=((*rest, *axes),))), -1, False)
    shape = tuple(1 if a in axes else n for a, n in enumerate(node.shape))
    return reshaped(found, shape) if keepdims else found


def norm_node(node: Node, p: float, axis: Axis, keepdims: bool) -> Node:
    """The norm of order p of a floating node."""
    if p in (math.inf, -math.inf):
        return fold(folds.amax if p > 0 else folds.amin, ops.absolute(node), axis, keepdims)
    if p == 0:
        size = ops.absolute(node)
        zero, one = (scalar(value, size.dtype, size.shape) for value in (0, 1))
        nothing = ops.multiply(size, zero)  # 0, and has a gradient, which is 0
        return fold(folds.sum_, ops.where(ops.equal(size, zero), nothing, one), axis, keepdims)
    if p == 1:
        return fold(folds.sum_, ops.absolute(node), axis, keepdims)
    if p == 2:
        return root(fold(folds.sum_, squared_size(node), axis, keepdims))
    return _power(fold(folds.sum_, _power(ops.absolute(node), p), axis, keepdims), 1 / p)


def _power(size: Node, p: float) -> Node:
    """size**p of what is not negative; its gradient where size is 0 is 0."""
    none = ops.equal(size, scalar(0, size.dtype, size.shape))
    safe = ops.where(none, scalar(1, size.dtype, size.shape), size)
    limit = scalar(0.0 if p > 0 else math.inf, size.dtype, size.shape)
    return ops.where(none, limit, binary(functions.power, safe, float(p)))


@public
def dist(x: Any, y: Any, p: float = 2) -> Tensor:
    """norm(x - y, p) of tensors that broadcast.

    Example:
        >>> import ambos as am
        >>> am.dist(am.tensor([4.0, 4.0]), am.tensor([1.0, 0.0])).item()
        5.0
    """
    return norm(wrap(binary(ops.subtract, node_of(x), operand_of(y))), p)


@public
def renorm(x: Any, p: float, axis: int, maxnorm: float) -> Tensor:
    """Slices along an axis whose norm of order p is above `maxnorm`, scaled to have it.

    Example:
        >>> import ambos as am
        >>> rows = am.renorm(am.tensor([[3.0, 4.0], [0.0, 0.5]]), 2, 0, 1.0)
        >>> [f"{size:.2f}" for size in am.norm(rows, axis=1).tolist()]
        ['1.00', '0.50']
    """
    given = floating(node_of(x))
    at = normalize_axis("renorm", axis, given.rank)
    if not (p > 0 and maxnorm >= 0):
        raise ArgumentError(f"renorm: p is {p} and maxnorm {maxnorm}; need p > 0 and maxnorm >= 0")
    node = computed_in(given)
    size = norm_node(node, p, [a for a in range(node.rank) if a != at], True)
    limit = scalar(maxnorm, size.dtype, size.shape)
    # 1e-7 as PyTorch has it: the result is surely no longer than it may be.
    factor = ops.divide(limit, binary(ops.add, size, 1e-7))
    factor = ops.where(ops.greater(size, limit), factor, scalar(1, size.dtype, size.shape))
    return wrap(convert(binary(ops.multiply, node, factor), given.dtype))


@public
def normalize(x: Any, p: float = 2.0, axis: Axis = 1, eps: float = 1e-12) -> Tensor:
    """x / max(norm(x, p), eps) along axes: vectors of length 1 (PyTorch's functional.normalize).

    Example:
        >>> import ambos as am
        >>> [f"{value:.2f}" for value in am.normalize(am.tensor([[3.0, 4.0]]))[0].tolist()]
        ['0.60', '0.80']
    """
    given = floating(node_of(x))
    node = computed_in(given)
    size = norm_node(node, p, axis, True)
    low = scalar(eps, size.dtype, size.shape)
    size = ops.where(ops.less(size, low), low, size)
    return wrap(convert(quotient(ops.divide, node, size), given.dtype))


__all__ = ["dist", "norm", "normalize", "renorm"]
