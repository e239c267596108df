"""Elementwise functions made of others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ambos.core.arguments import number
from ambos.core.dtype import DType, as_dtype, bool_, int64
from ambos.core.errors import ArgumentError
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import complex as bridge
from ambos.ops import functions
from ambos.tensor.handle import Tensor, node_of, operand_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import align, binary, common_dtype, convert, floating, quotient, scalar


@public
def clip(x: Any, min: Any = None, max: Any = None) -> Tensor:
    """`x`, at least `min` and at most `max` (either may be left out), numbers or tensors. A `max`
    below `min` wins; where a bound is NaN, so is the result.

    Example:
        >>> import ambos as am
        >>> am.clip(am.tensor([-2.0, 0.5, 3.0]), 0, 1).tolist()
        [0.0, 0.5, 1.0]
    """
    node = operand_of(x)
    # Not maximum and minimum: at a bound the whole gradient passes, as in PyTorch.
    for bound, beyond in ((min, ops.less), (max, ops.greater)):
        if bound is not None:
            node, limit = align("clip", (node, operand_of(bound)))
            outside = beyond(node, limit)
            if limit.dtype.is_floating and isinstance(operand_of(bound), Node):
                outside = ops.bitwise_or(outside, ops.isnan(limit))
            node = ops.where(outside, limit, node)
    return wrap(node_of(node))


clamp = clip


@public
def clamp_min(x: Any, min: Any) -> Tensor:
    """`x`, at least `min`."""
    return clip(x, min=min)


@public
def clamp_max(x: Any, max: Any) -> Tensor:
    """`x`, at most `max`."""
    return clip(x, max=max)


@public
def square(x: Any) -> Tensor:
    """x * x; bools count as 0 and 1, int64."""
    node = node_of(x)
    node = convert(node, int64) if node.dtype is bool_ else node
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
    """Of complex numbers (1 + tanh(x / 2)) / 2, which is finite everywhere."""
    if not node.dtype.is_complex:
        return functions.sigmoid(node)
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
    """Remainder with the sign of `x` (C's fmod); an integer modulo zero gives zero."""
    a, b = align("fmod", (operand_of(x), operand_of(y)))
    zero = scalar(0, a.dtype, a.shape)
    if a.dtype.is_floating:
        below = ops.less(a, zero)
        magnitude = ops.where(below, ops.negative(a), a)  # abs has no slope at 0, fmod has
        size = ops.remainder(magnitude, ops.absolute(b))
        return wrap(ops.where(below, ops.negative(size), size))
    rest = ops.remainder(a, b)
    if not a.dtype.is_signed:
        return wrap(rest)
    # The lowest integer has no magnitude: the remainder with the sign of y, one y further.
    other = ops.not_equal(ops.less(a, zero), ops.less(rest, zero))
    other = ops.bitwise_and(other, ops.not_equal(rest, zero))
    return wrap(ops.where(other, ops.subtract(rest, b), rest))


@public
def heaviside(x: Any, y: Any) -> Tensor:
    """0 below 0, 1 above, `y` at 0; NaN stays."""
    a, b = align("heaviside", (operand_of(x), operand_of(y)))
    zero, one = scalar(0, a.dtype, a.shape), scalar(1, a.dtype, a.shape)
    side = ops.where(ops.greater(a, zero), one, ops.where(ops.less(a, zero), zero, a))
    return wrap(ops.where(ops.equal(a, zero), b, side))


@public
def lerp(x: Any, y: Any, weight: Any) -> Tensor:
    """From `x` to `y` by `weight` (a number or a tensor): x + weight * (y - x), and exactly `y`
    where the weight is 1.

    Example:
        >>> import ambos as am
        >>> am.lerp(am.tensor([0.0, 10.0]), am.tensor([4.0, 20.0]), 0.25).tolist()
        [1.0, 12.5]
    """
    a, b, share = align("lerp", (node_of(x), operand_of(y), operand_of(weight)))
    a, b, share = floating(a), floating(b), floating(share)
    gap = ops.subtract(b, a)
    forth = ops.add(a, ops.multiply(share, gap))
    back = ops.subtract(b, ops.multiply(binary(ops.subtract, 1.0, share), gap))
    near = binary(ops.less, ops.absolute(share), 0.5)
    return wrap(ops.where(near, forth, back))


@public
def addcmul(x: Any, y: Any, z: Any, value: float = 1) -> Tensor:
    """x + value * y * z.

    Example:
        >>> import ambos as am
        >>> am.addcmul(am.tensor([1, 1]), am.tensor([2, 3]), 10, value=2).tolist()
        [41, 61]
    """
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
    x: Any, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """NaN replaced by a number (0 by default), infinities by others (the largest finite ones).

    Example:
        >>> import ambos as am
        >>> am.nan_to_num(am.tensor([float("nan"), float("inf")]), posinf=9).tolist()
        [0.0, 9.0]
    """
    node = node_of(x)
    if node.dtype.is_complex:
        parts = (wrap(part(node)) for part in (bridge.real, bridge.imag))
        return wrap(bridge.complex_(*(nan_to_num(p, nan, posinf, neginf)._node for p in parts)))
    if not node.dtype.is_floating:
        return wrap(node)
    largest = LARGEST[node.dtype.name]

    def number(value: float) -> Node:
        return scalar(value, node.dtype, node.shape)

    node_ = ops.where(ops.isnan(node), number(0.0 if nan is None else nan), node)
    high, low = number(math.inf), number(-math.inf)
    top, bottom = largest if posinf is None else posinf, -largest if neginf is None else neginf
    node_ = ops.where(ops.equal(node_, high), number(top), node_)
    return wrap(ops.where(ops.equal(node_, low), number(bottom), node_))


@public
def isclose(
    x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """|x - y| <= atol + rtol * |y|, elementwise; equal infinities are close.

    Errors: ArgumentError for a negative tolerance.
    """
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not number(f"isclose: {name}", tolerance) >= 0:
            raise ArgumentError(f"isclose: {name} is {tolerance}; need a number >= 0")
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
    """The dtype that an operation on these operands has: tensors, arrays, dtypes, and Python
    numbers, which only raise the kind.

    Errors: ArgumentError without operands.

    Example:
        >>> import ambos as am
        >>> am.result_type(am.int8, am.zeros(3), 2.5)
        ambos.float32
    """
    if not operands:
        raise ArgumentError("result_type: got nothing; need at least one tensor or dtype")
    return common_dtype(tuple(
        scalar(0, as_dtype(x)) if isinstance(x, (DType, type, np.dtype, str)) else operand_of(x)
        for x in operands
    ))  # fmt: skip


__all__ = [
    "addcdiv", "addcmul", "allclose", "array_equal", "clamp", "clamp_max", "clamp_min", "clip",
    "deg2rad", "fmod", "heaviside", "isclose", "lerp", "logit", "nan_to_num",
    "rad2deg", "reciprocal", "result_type", "sigmoid", "sinc", "square",
]  # fmt: skip
