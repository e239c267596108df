"""Exponentials that are added up without overflow: the softmax family."""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import as_dtype
from ambos.core.errors import ArgumentError
from ambos.core.shape import normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import complex as bridge
from ambos.ops import functions, scan
from ambos.ops import reductions as folds
from ambos.ops.movement import detach
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import align, binary, common_dtype, convert, floating, quotient, scalar
from ambos.tensor.reductions import Axis, axes_in, computed_in, fold


def _shifted(node: Node, axis: Axis) -> tuple[Node, Node]:
    """(exp(x - max), max) with a max (of complex numbers of the real parts) that gradients do not
    see; infinities do not become NaN."""
    safe = _finite(detach(fold(folds.max_, _real(node), axis, True)))
    return functions.exp(binary(ops.subtract, node, safe)), safe


def _real(node: Node) -> Node:
    return bridge.real(node) if node.dtype.is_complex else node


def _finite(top: Node) -> Node:
    return ops.where(ops.isfinite(top), top, scalar(0, top.dtype, top.shape))


@public
def logaddexp(x: Any, y: Any) -> Tensor:
    """log(exp(x) + exp(y)), without overflow."""
    operands = operand_of(x), operand_of(y)
    dtype = common_dtype(operands)
    if not dtype.is_complex:
        return wrap(quotient(functions.logaddexp, *operands))
    a, b = align("logaddexp", operands, dtype)
    top = _finite(detach(ops.maximum(_real(a), _real(b))))
    powers = [functions.exp(binary(ops.subtract, part, top)) for part in (a, b)]
    return wrap(binary(ops.add, functions.log(ops.add(*powers)), top))


@public
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over axes (all by default), without overflow; of nothing -inf.

    Example:
        >>> import ambos as am
        >>> am.logsumexp(am.tensor([1000.0, 1000.0])).item()
        1000.6931762695312
    """
    node = floating(node_of(x))
    axes = axes_in("logsumexp", axis, node.rank)
    single = tuple(1 if a in axes else n for a, n in enumerate(node.shape))
    if 0 in (node.shape[a] for a in axes):
        total = scalar(float("-inf"), node.dtype, single)
    else:
        powers, top = _shifted(computed_in(node), axes)
        total = binary(ops.add, functions.log(fold(folds.sum_, powers, axes, True)), top)
        total = convert(total, node.dtype)
    if keepdims:
        return wrap(total)
    return wrap(reshaped(total, tuple(n for a, n in enumerate(node.shape) if a not in axes)))


@public
def logcumsumexp(x: Any, axis: int = -1) -> Tensor:
    """log(cumsum(exp(x))) along an axis, without overflow.

    Example:
        >>> import ambos as am
        >>> found = am.logcumsumexp(am.tensor([1000.0, 1000.0]), 0)
        >>> [f"{value:.3f}" for value in found.tolist()]
        ['1000.000', '1000.693']
    """
    node = floating(node_of(x))
    at = normalize_axis("logcumsumexp", axis, node.rank or 1)
    if not node.rank or not node.size:
        return wrap(node)
    attrs = at, False
    if not node.dtype.is_complex:
        return wrap(scan.logcumsumexp(node, attrs=attrs))
    top = detach(scan.cummax(bridge.real(node), attrs=attrs))
    safe = _finite(top)
    share = functions.exp(binary(ops.subtract, node, safe))
    return wrap(binary(ops.add, functions.log(scan.powers_so_far(share, top, attrs)), safe))


@public
def softmax(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis, without overflow.

    Example:
        >>> import ambos as am
        >>> am.softmax(am.tensor([1000.0, 1000.0]), -1).tolist()
        [0.5, 0.5]
    """
    return wrap(_softmax(_input("softmax", x, axis, dtype), axis))


@public
def softmin(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """softmax(-x) along an axis."""
    return wrap(_softmax(ops.negative(_input("softmin", x, axis, dtype)), axis))


def _softmax(given: Node, axis: int | None) -> Node:
    if given.size == 0:
        return given
    node = computed_in(given)
    top = detach(fold(folds.max_, node, axis, True))
    powers = functions.exp(binary(ops.subtract, node, top))
    # One division a row: a vector division costs more than the rest of a row in cache.
    share = quotient(ops.divide, 1.0, fold(folds.sum_, powers, axis, True))
    return convert(binary(ops.multiply, powers, share), given.dtype)


@public
def log_softmax(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along an axis, without overflow or cancellation."""
    given = _input("log_softmax", x, axis, dtype)
    if given.size == 0:
        return wrap(given)
    node = computed_in(given)
    top = detach(fold(folds.max_, node, axis, True))
    shifted = binary(ops.subtract, node, top)
    total = functions.log(fold(folds.sum_, functions.exp(shifted), axis, True))
    return wrap(convert(binary(ops.subtract, shifted, total), given.dtype))


def _input(op: str, x: Any, axis: int | None, dtype: Any) -> Node:
    node = node_of(x)
    if axis is None:
        raise ArgumentError(f"{op}: no axis was given; need axis= (or dim=), usually -1")
    normalize_axis(op, axis, node.rank or 1)
    return floating(node if dtype is None else convert(node, as_dtype(dtype)))


__all__ = ["log_softmax", "logaddexp", "logcumsumexp", "logsumexp", "softmax", "softmin"]
