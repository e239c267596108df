"""Elementwise functions made of others."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.dtype import bool_
from ambos.core.errors import ArgumentError
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import complex as bridge
from ambos.ops import functions
from ambos.tensor.handle import Tensor, node_of, operand_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import align, binary, common_dtype, floating, quotient, scalar


@public
def clip(x: Any, minimum: Any = None, maximum: Any = None) -> Tensor:
    """`x`, at least `minimum` and at most `maximum` (either may be left out).

    Example:
        >>> import ambos as am
        >>> am.clip(am.tensor([-2.0, 0.5, 3.0]), 0, 1).tolist()
        [0.0, 0.5, 1.0]
    """
    if minimum is None and maximum is None:
        raise ArgumentError("clip: got neither a minimum nor a maximum; need at least one")
    node = operand_of(x)
    # Not maximum and minimum: at a bound the whole gradient passes, as in PyTorch.
    if minimum is not None:
        node, low = align("clip", (node, operand_of(minimum)))
        node = ops.where(ops.less(node, low), low, node)
    if maximum is not None:
        node, high = align("clip", (node, operand_of(maximum)))
        node = ops.where(ops.greater(node, high), high, node)
    return wrap(node_of(node))


clamp = clip


@public
def clamp_min(x: Any, minimum: Any) -> Tensor:
    """`x`, at least `minimum`."""
    return clip(x, minimum=minimum)


@public
def clamp_max(x: Any, maximum: Any) -> Tensor:
    """`x`, at most `maximum`."""
    return clip(x, maximum=maximum)


@public
def square(x: Any) -> Tensor:
    """x * x."""
    node = node_of(x)
    return wrap(ops.multiply(node, node))


@public
def reciprocal(x: Any) -> Tensor:
    """1 / x; integers give float32."""
    return wrap(quotient(ops.divide, 1.0, node_of(x)))


@public
def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x)), without overflow.

    Example:
        >>> import ambos as am
        >>> am.sigmoid(0.0).item()
        0.5
    """
    return wrap(sigmoid_node(floating(node_of(x))))


def sigmoid_node(node: Node) -> Node:
    """(1 + tanh(x / 2)) / 2: one elementary function, and finite everywhere."""
    half = binary(ops.multiply, node, 0.5)
    return binary(ops.add, binary(ops.multiply, functions.tanh(half), 0.5), 0.5)


@public
def logit(x: Any, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; `eps` clips x into [eps, 1 - eps]."""
    node = floating(node_of(x))
    if eps is not None:
        node = clip(wrap(node), eps, 1 - eps)._node
    complement = binary(ops.subtract, 1.0, node)
    return wrap(functions.log(ops.divide(node, complement)))


@public
def erfc(x: Any) -> Tensor:
    """1 - erf(x)."""
    return wrap(binary(ops.subtract, 1.0, functions.erf(floating(node_of(x)))))


@public
def sinc(x: Any) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0."""
    node = floating(node_of(x))
    angle = binary(ops.multiply, node, math.pi)
    zero, one = scalar(0, node.dtype, node.shape), scalar(1, node.dtype, node.shape)
    at_zero = ops.equal(node, zero)
    safe = ops.where(at_zero, one, angle)
    return wrap(ops.where(at_zero, one, ops.divide(functions.sin(safe), safe)))


@public
def deg2rad(x: Any) -> Tensor:
    """Degrees to radians."""
    return wrap(binary(ops.multiply, floating(node_of(x)), math.pi / 180))


@public
def rad2deg(x: Any) -> Tensor:
    """Radians to degrees."""
    return wrap(binary(ops.multiply, floating(node_of(x)), 180 / math.pi))


@public
def fmod(x: Any, y: Any) -> Tensor:
    """Remainder with the sign of `x` (C's fmod)."""
    a, b = align("fmod", (operand_of(x), operand_of(y)))
    size = ops.remainder(ops.absolute(a), ops.absolute(b))
    negative = ops.less(a, scalar(0, a.dtype, a.shape))
    return wrap(ops.where(negative, ops.negative(size), size) if a.dtype.is_signed else size)


@public
def logaddexp(x: Any, y: Any) -> Tensor:
    """log(exp(x) + exp(y)), without overflow."""
    a, b = align("logaddexp", (operand_of(x), operand_of(y)))
    a, b = floating(a), floating(b)
    gap = ops.absolute(ops.subtract(a, b))
    same = ops.equal(a, b)  # equal infinities too, whose difference is NaN
    gap = ops.where(same, scalar(0, gap.dtype, gap.shape), gap)
    return wrap(ops.add(ops.maximum(a, b), functions.log1p(functions.exp(ops.negative(gap)))))


@public
def xlogy(x: Any, y: Any) -> Tensor:
    """x * log(y), and 0 where x is 0."""
    a, b = align("xlogy", (operand_of(x), operand_of(y)))
    a, b = floating(a), floating(b)
    zero, one = scalar(0, a.dtype, a.shape), scalar(1, a.dtype, a.shape)
    none = ops.equal(a, zero)
    product = ops.multiply(a, functions.log(ops.where(none, one, b)))
    return wrap(ops.where(none, ops.where(ops.isnan(b), b, zero), product))


@public
def copysign(x: Any, y: Any) -> Tensor:
    """The magnitude of `x` with the sign of `y` (zeros have signs)."""
    a, b = align("copysign", (operand_of(x), operand_of(y)))
    a, b = floating(a), floating(b)
    zero, one = scalar(0, b.dtype, b.shape), scalar(1, b.dtype, b.shape)
    inverse = ops.divide(one, ops.where(ops.equal(b, zero), b, one))
    negative = ops.less(ops.where(ops.equal(b, zero), inverse, b), zero)
    size = ops.absolute(a)
    return wrap(ops.where(negative, ops.negative(size), size))


@public
def signbit(x: Any) -> Tensor:
    """Is the sign bit set (of -0.0 too)?"""
    node = node_of(x)
    return copysign(scalar_like(node), x) < 0 if node.dtype.is_floating else wrap(node) < 0


def scalar_like(node: Node) -> Tensor:
    return wrap(scalar(1, node.dtype, node.shape))


@public
def heaviside(x: Any, y: Any) -> Tensor:
    """0 below 0, 1 above, `y` at 0."""
    a, b = align("heaviside", (operand_of(x), operand_of(y)))
    zero, one = scalar(0, a.dtype, a.shape), scalar(1, a.dtype, a.shape)
    side = ops.where(ops.less(a, zero), zero, one)
    return wrap(ops.where(ops.equal(a, zero), b, side))


@public
def lerp(x: Any, y: Any, weight: Any) -> Tensor:
    """x + weight * (y - x)."""
    a, b = wrap(node_of(x)), wrap(node_of(y))
    return a + weight * (b - a)


@public
def addcmul(x: Any, y: Any, z: Any, value: float = 1) -> Tensor:
    """x + value * y * z."""
    product = wrap(binary(ops.multiply, operand_of(y), operand_of(z)))
    return wrap(binary(ops.add, operand_of(x), (product if value == 1 else product * value)._node))


@public
def addcdiv(x: Any, y: Any, z: Any, value: float = 1) -> Tensor:
    """x + value * y / z."""
    ratio = wrap(quotient(ops.divide, operand_of(y), operand_of(z)))
    return wrap(binary(ops.add, operand_of(x), (ratio if value == 1 else ratio * value)._node))


LARGEST = {  # finite
    "float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38,
    "float64": 1.7976931348623157e308,
}  # fmt: skip


@public
def nan_to_num(
    x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """NaN and infinities replaced by numbers (the largest finite ones by default)."""
    node = node_of(x)
    if node.dtype.is_complex:
        parts = (wrap(part(node)) for part in (bridge.real, bridge.imag))
        return wrap(bridge.complex_(*(nan_to_num(p, nan, posinf, neginf)._node for p in parts)))
    if not node.dtype.is_floating:
        return wrap(node)
    largest = LARGEST[node.dtype.name]

    def number(value: float) -> Node:
        return scalar(value, node.dtype, node.shape)

    node_ = ops.where(ops.isnan(node), number(nan), node)
    high, low = number(math.inf), number(-math.inf)
    top, bottom = largest if posinf is None else posinf, -largest if neginf is None else neginf
    node_ = ops.where(ops.equal(node_, high), number(top), node_)
    return wrap(ops.where(ops.equal(node_, low), number(bottom), node_))


@public
def isclose(
    x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """|x - y| <= atol + rtol * |y|, elementwise; equal infinities are close."""
    a, b = align("isclose", (operand_of(x), operand_of(y)))
    if a.dtype is bool_ or not a.dtype.is_floating:
        a, b = floating(a), floating(b)
    bound = binary(ops.add, binary(ops.multiply, ops.absolute(b), rtol), atol)
    near = ops.less_equal(ops.absolute(ops.subtract(a, b)), bound)
    finite = ops.bitwise_and(ops.isfinite(a), ops.isfinite(b))
    close = ops.bitwise_or(ops.equal(a, b), ops.bitwise_and(near, finite))
    if equal_nan:
        close = ops.bitwise_or(close, ops.bitwise_and(ops.isnan(a), ops.isnan(b)))
    return wrap(close)


@public
def allclose(
    x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Are all elements close (see `isclose`)?"""
    return bool(isclose(x, y, rtol, atol, equal_nan).all())


@public
def array_equal(x: Any, y: Any) -> bool:
    """Same shape and equal elements?"""
    a, b = node_of(x), node_of(y)
    return a.shape == b.shape and bool(wrap(binary(ops.equal, a, b)).all())


@public
def result_type(*operands: Any) -> Any:
    """The dtype that an operation on these operands has."""
    return common_dtype(tuple(operand_of(x) for x in operands))


__all__ = [
    "addcdiv", "addcmul", "allclose", "array_equal", "clamp", "clamp_max", "clamp_min", "clip",
    "copysign", "deg2rad", "erfc", "fmod", "heaviside", "isclose", "lerp", "logaddexp", "logit",
    "nan_to_num", "rad2deg", "reciprocal", "result_type", "sigmoid", "signbit", "sinc",
    "square", "xlogy",
]  # fmt: skip
