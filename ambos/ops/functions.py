"""Exponentials, powers, trigonometry, rounding, elementwise. Accuracy: `elementary/README.md`."""

from __future__ import annotations

import math
from typing import Any

from ambos.graph.node import Node
from ambos.ops import elementary
from ambos.ops.arithmetic import (
    add,
    bitwise_and,
    divide,
    equal,
    greater,
    isinf,
    multiply,
    negative,
    subtract,
    where,
)
from ambos.ops.kinds import Pointwise, constant_like


class Exp(Pointwise):
    """e to the power x."""

    accepts = "fc"
    cost, lower = 10, elementary.exp
    ref = lambda np, x: np.exp(x)
    partials = lambda op, out, x: (out,)


class Expm1(Pointwise):
    """exp(x) - 1, accurate near 0."""

    accepts = "fc"
    cost, lower = 14, elementary.expm1
    ref = lambda np, x: np.expm1(x)
    partials = lambda op, out, x: (add(out, constant_like(x, 1)),)


class Log(Pointwise):
    """Natural logarithm."""

    accepts = "fc"
    cost, lower, domain = 10, elementary.log, (0.1, 5.0)
    ref = lambda np, x: np.log(x)

    def vjp(self, node: Node, g: Node) -> tuple[Node | None, ...]:
        return (divide(g, node.inputs[0]),)


class Log1p(Pointwise):
    """log(1 + x), accurate near 0."""

    accepts = "fc"
    cost, lower, domain = 14, elementary.log1p, (-0.9, 5.0)
    ref = lambda np, x: np.log1p(x)

    def vjp(self, node: Node, g: Node) -> tuple[Node | None, ...]:
        return (divide(g, add(node.inputs[0], constant_like(g, 1))),)


class Sqrt(Pointwise):
    """Square root, correctly rounded."""

    accepts = "fc"
    cost, domain = 4, (0.1, 5.0)
    lower = lambda b, x: b.sqrt(x)
    ref = lambda np, x: np.sqrt(x)
    partials = lambda op, out, x: (divide(constant_like(x, 0.5), out),)


class Rsqrt(Pointwise):
    """1 / sqrt(x), two roundings."""

    accepts = "fc"
    cost, domain = 8, (0.1, 5.0)
    lower = lambda b, x: b.const(1.0, x.dtype) / b.sqrt(x)
    ref = lambda np, x: np.asarray(1, x.dtype) / np.sqrt(x)
    partials = lambda op, out, x: (
        multiply(constant_like(x, -0.5), multiply(out, multiply(out, out))),
    )


class Sin(Pointwise):
    """Sine of an angle in radians; in float64 digits are lost beyond 1e8."""

    accepts = "fc"
    cost, lower = 16, elementary.sin
    ref = lambda np, x: np.sin(x)
    partials = lambda op, out, x: (cos(x),)


class Cos(Pointwise):
    """Cosine of an angle in radians; in float64 digits are lost beyond 1e8."""

    accepts = "fc"
    cost, lower = 16, elementary.cos
    ref = lambda np, x: np.cos(x)
    partials = lambda op, out, x: (negative(sin(x)),)


class Tan(Pointwise):
    """Tangent of an angle in radians; in float64 digits are lost beyond 1e8."""

    accepts = "fc"
    cost, lower, domain = 20, elementary.tan, (-1.4, 1.4)
    ref = lambda np, x: np.tan(x)
    partials = lambda op, out, x: (add(multiply(out, out), constant_like(x, 1)),)


class Asin(Pointwise):
    """Arc sine, in radians."""

    accepts = "fc"
    cost, lower, domain = 16, elementary.asin, (-0.9, 0.9)
    ref = lambda np, x: np.arcsin(x)
    partials = lambda op, out, x: (rsqrt(_one_minus_square(x)),)


class Acos(Pointwise):
    """Arc cosine, in radians."""

    accepts = "fc"
    cost, lower, domain = 16, elementary.acos, (-0.9, 0.9)
    ref = lambda np, x: np.arccos(x)
    partials = lambda op, out, x: (negative(rsqrt(_one_minus_square(x))),)


class Atan(Pointwise):
    """Arc tangent, in radians."""

    accepts = "fc"
    cost, lower = 16, elementary.atan
    ref = lambda np, x: np.arctan(x)

    def vjp(self, node: Node, g: Node) -> tuple[Node | None, ...]:
        (x,) = node.inputs
        return (divide(g, add(multiply(x, x), constant_like(x, 1))),)


class Atan2(Pointwise):
    """Angle of the point (y, x) in radians, C99's signs of zero; operands y, x."""

    arity, cost, lower, domain = 2, 20, elementary.atan2, (0.2, 3.0)
    ref = lambda np, y, x: np.arctan2(y, x)

    def vjp(self, node: Node, g: Node) -> tuple[Node | None, ...]:
        """Through the distance from the origin, whose square may be too small or too large for the
        dtype; at the origin itself the gradient is 0."""
        y, x = node.inputs
        distance = hypot(y, x)
        nothing = equal(distance, constant_like(distance, 0))
        distance = where(nothing, constant_like(distance, 1), distance)
        scaled = divide(g, distance)
        return tuple(multiply(scaled, divide(part, distance)) for part in (x, negative(y)))


def _share(x: Node, y: Node) -> Node:
    """exp(x) / (exp(x) + exp(y)) from x - y, whose digits do not depend on how large both are; half
    of equal infinities. The power is at most 1, so that derivatives of this are finite as well."""
    zero, one = constant_like(x, 0), constant_like(x, 1)
    same = bitwise_and(equal(x, y), isinf(x))
    gap = subtract(where(same, zero, y), where(same, zero, x))
    below = greater(gap, zero)
    size = exp(where(below, negative(gap), gap))
    return divide(where(below, size, one), add(one, size))


class Logaddexp(Pointwise):
    """log(exp(x) + exp(y)), without overflow."""

    arity, cost, lower, domain = 2, 26, elementary.logaddexp, (0.2, 3.0)
    ref = lambda np, x, y: np.logaddexp(x, y)
    partials = lambda op, out, x, y: (_share(x, y), _share(y, x))


class Sinh(Pointwise):
    """Hyperbolic sine."""

    accepts = "fc"
    cost, lower = 16, elementary.sinh
    ref = lambda np, x: np.sinh(x)
    partials = lambda op, out, x: (cosh(x),)


class Cosh(Pointwise):
    """Hyperbolic cosine."""

    accepts = "fc"
    cost, lower = 16, elementary.cosh
    ref = lambda np, x: np.cosh(x)
    partials = lambda op, out, x: (sinh(x),)


class Tanh(Pointwise):
    """Hyperbolic tangent."""

    accepts = "fc"
    cost, lower = 16, elementary.tanh
    ref = lambda np, x: np.tanh(x)
    partials = lambda op, out, x: (_one_minus_square(out),)


class Sigmoid(Pointwise):
    """1 / (1 + exp(-x)), whose small values are as exact as its large ones."""

    cost, lower = 16, elementary.sigmoid
    partials = lambda op, out, x: (multiply(out, subtract(constant_like(x, 1), out)),)

    def ref(np: Any, x: Any) -> Any:
        tail = np.exp(-np.abs(x))
        return np.where(x < 0, tail, x.dtype.type(1)) / (x.dtype.type(1) + tail)


class Asinh(Pointwise):
    """Inverse hyperbolic sine."""

    accepts = "fc"
    cost, lower = 24, elementary.asinh
    ref = lambda np, x: np.arcsinh(x)

    def vjp(self, node: Node, g: Node) -> tuple[Node | None, ...]:
        (x,) = node.inputs
        one = constant_like(x, 1)
        if x.dtype.is_complex:
            return (multiply(g, rsqrt(add(multiply(x, x), one))),)
        return (divide(g, hypot(x, one)),)  # squares of large numbers overflow


class Acosh(Pointwise):
    """Inverse hyperbolic cosine."""

    accepts = "fc"
    cost, lower, domain = 24, elementary.acosh, (1.1, 5.0)
    ref = lambda np, x: np.arccosh(x)
    partials = lambda op, out, x: (
        multiply(rsqrt(subtract(x, constant_like(x, 1))), rsqrt(add(x, constant_like(x, 1)))),
    )


class Atanh(Pointwise):
    """Inverse hyperbolic tangent."""

    accepts = "fc"
    cost, lower, domain = 24, elementary.atanh, (-0.9, 0.9)
    ref = lambda np, x: np.arctanh(x)

    def vjp(self, node: Node, g: Node) -> tuple[Node | None, ...]:
        return (divide(g, _one_minus_square(node.inputs[0])),)


class Hypot(Pointwise):
    """sqrt(x * x + y * y) without overflow on the way."""

    arity, cost, lower, domain = 2, 12, elementary.hypot, (0.2, 3.0)
    ref = lambda np, x, y: np.hypot(x, y)

    def vjp(self, node: Node, g: Node) -> tuple[Node | None, ...]:
        nothing = equal(node, constant_like(node, 0))  # where the gradient is 0, as of a norm
        share = where(nothing, node, divide(g, where(nothing, constant_like(node, 1), node)))
        return tuple(multiply(share, x) for x in node.inputs)


class Erf(Pointwise):
    """Error function."""

    cost, lower = 16, elementary.erf

    def ref(np: Any, x: Any) -> Any:
        return np.vectorize(math.erf, otypes=[x.dtype])(x)

    partials = lambda op, out, x: (erf_slope(x),)


class ErfSlope(Pointwise):
    """2 / sqrt(pi) times exp(-x^2), the derivative of erf. Zero from about 1e-30 on (1e-300): what
    it is multiplied by shall not make subnormal numbers of it. They slowed the backward pass of
    a stack of GELUs seven times."""

    cost, lower = 13, elementary.erf_slope

    def ref(np: Any, x: Any) -> Any:
        far = x * x > (690 if x.dtype == np.float64 else 69)
        return np.where(far, x.dtype.type(0), x.dtype.type(2 / math.sqrt(math.pi)) * np.exp(-x * x))

    def partials(op: Any, out: Node, x: Node) -> tuple[Node]:
        return (multiply(multiply(constant_like(x, -2), x), out),)


class Power(Pointwise):
    """x to the power y (C99's special cases); integers wrap, a negative integer power gives 0.
    The powers -1, 1, 2 and 3 are the quotient and the products, exactly as they are written."""

    arity, accepts, cost, domain = 2, "iufc", 40, (0.2, 3.0)

    def ref(np: Any, x: Any, y: Any) -> Any:
        if x.dtype.kind == "c":
            return np.power(x, y)
        if x.dtype.kind == "f":
            plain = np.where(y == 2, x * x, np.where(y == 3, x * x * x, np.power(x, y)))
            return np.where(y == -1, 1 / x, np.where(y == 1, x, plain))
        if x.dtype.kind == "u":
            return np.power(x, y)
        inverse = np.where(x == 1, 1, np.where(x == -1, np.where(y % 2, -1, 1), 0))
        return np.where(y < 0, inverse.astype(x.dtype), np.power(x, np.maximum(y, 0)))

    def lower(b: Any, x: Any, y: Any) -> Any:
        if x.dtype.is_floating:
            cube = b.select(y.eq(3), x * x * x, elementary.pow_(b, x, y))
            plain = b.select(y.eq(1), x, b.select(y.eq(2), x * x, cube))
            return b.select(y.eq(-1), b.const(1.0, x.dtype) / x, plain)
        return _integer_power(b, x, y)

    def vjp(self, node: Node, g: Node) -> tuple[Node | None, ...]:
        x, y = node.inputs
        zero, one = constant_like(x, 0), constant_like(x, 1)
        # 0**0 has slope 0 in x, and log(0) must not meet the 0 that it is multiplied with.
        slope = where(equal(y, zero), zero, multiply(y, power(x, subtract(y, one))))
        base_is_zero = equal(x, zero)
        growth = where(base_is_zero, zero, log(where(base_is_zero, one, x)))
        return multiply(g, slope), multiply(g, multiply(node, growth))


def _integer_power(b: Any, x: Any, y: Any) -> Any:
    """Square and multiply over every bit of the exponent that can matter."""
    result, base = b.const(1, x.dtype), x
    for bit in range(x.dtype.bits - (x.dtype.kind == "i")):
        result = b.select(((y >> bit) & 1).ne(0), result * base, result)
        base = base * base
    if x.dtype.kind == "u":
        return result
    odd = (y & 1).ne(0)
    inverse = b.select(x.eq(1), 1, b.select(x.eq(-1), b.select(odd, b.const(-1, x.dtype), 1), 0))
    return b.select(y < 0, inverse, result)


class Floor(Pointwise):
    """The largest whole number not above x."""

    smooth = False
    lower = lambda b, x: b.floor(x)
    ref = lambda np, x: np.floor(x)
    partials = lambda op, out, x: (None,)


class Ceil(Pointwise):
    """The smallest whole number not below x."""

    smooth = False
    lower = lambda b, x: b.ceil(x)
    ref = lambda np, x: np.ceil(x)
    partials = lambda op, out, x: (None,)


class Round(Pointwise):
    """The nearest whole number, halves to even."""

    smooth = False
    lower = lambda b, x: b.round_even(x)
    ref = lambda np, x: np.round(x)
    partials = lambda op, out, x: (None,)


class Trunc(Pointwise):
    """x without its fraction."""

    smooth = False
    lower = lambda b, x: b.trunc(x)
    ref = lambda np, x: np.trunc(x)
    partials = lambda op, out, x: (None,)


def _one_minus_square(x: Node) -> Node:
    return subtract(constant_like(x, 1), multiply(x, x))


# Stated for the rules above, which use them before they are made.
exp: Exp
sin: Sin
cos: Cos
sinh: Sinh
cosh: Cosh
rsqrt: Rsqrt
erf_slope: ErfSlope
hypot: Hypot

exp, expm1, log, log1p, sqrt, rsqrt = Exp(), Expm1(), Log(), Log1p(), Sqrt(), Rsqrt()
sin, cos, tan, asin, acos, atan, atan2 = Sin(), Cos(), Tan(), Asin(), Acos(), Atan(), Atan2()
sinh, cosh, tanh, power, erf, erf_slope = Sinh(), Cosh(), Tanh(), Power(), Erf(), ErfSlope()
asinh, acosh, atanh, hypot, sigmoid = Asinh(), Acosh(), Atanh(), Hypot(), Sigmoid()
floor, ceil, round_, trunc, logaddexp = Floor(), Ceil(), Round(), Trunc(), Logaddexp()
