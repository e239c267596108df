"""Activations whose derivative is an op of its own. Composed of others, a program keeps the parts
that both share, which costs more than to compute them twice from the one number that came in."""

from __future__ import annotations

import math
from collections.abc import Callable

from ambos.core.builder import Builder, Value
from ambos.graph.node import Node
from ambos.ops import elementary
from ambos.ops.arithmetic import absolute, add, greater, multiply, negative, subtract, where
from ambos.ops.elementary.formats import at_most
from ambos.ops.functions import erf_slope, sigmoid, tanh
from ambos.ops.kinds import BY_RULE, Pointwise, constant_like

SQRT_HALF = math.sqrt(0.5)
WIDTH, CUBE = math.sqrt(2 / math.pi), 0.044715  # of the inner function of the approximation
FLAT = 12.0  # beyond this number the approximation's hyperbolic tangent is 1, in float64 too
EMPTY = 40.0  # beyond this number the normal distribution's density is 0, in float64 too


def _below(b: Builder, x: Value) -> Value:
    """Twice the share of the standard normal distribution below x."""
    return elementary.erf(b, x * SQRT_HALF) + 1.0


def _gelu(b: Builder, x: Value) -> Value:
    return (x * 0.5) * _below(b, x)


def _gelu_slope(b: Builder, x: Value) -> Value:
    density = elementary.erf_slope(b, x * SQRT_HALF) * (SQRT_HALF / 2)
    return b.fma(_below(b, x), 0.5, x * density)


def _tanh_of_cubic(b: Builder, x: Value) -> Value:
    return elementary.tanh(b, (x + x * x * x * CUBE) * WIDTH)


def _gelu_tanh(b: Builder, x: Value) -> Value:
    return (x * 0.5) * (_tanh_of_cubic(b, x) + 1.0)


def _gelu_tanh_slope(b: Builder, x: Value) -> Value:
    t = _tanh_of_cubic(b, x)
    size = at_most(b, b.abs(x), FLAT)  # no infinity times 1 - t^2, which is 0 there
    inner = b.fma(size * size, 3 * CUBE * WIDTH, WIDTH) * size
    return b.fma(b.fma(-t, t, 1.0), b.copysign(inner, x), t + 1.0) * 0.5


def _zero_beyond(limit: float, x: Node, rule: Callable[[Node], Node]) -> Node:
    """`rule` of x, 0 where x is larger than `limit` on either side: there the factors that grow
    overflow, and times those that are 0 they are no number. Neither are their derivatives."""
    zero = constant_like(x, 0)
    far = greater(absolute(x), constant_like(x, limit))
    return where(far, zero, rule(where(far, zero, x)))


class Gelu(Pointwise):
    """x times the share of the standard normal distribution below x."""

    cost, lower, ref = 19, _gelu, BY_RULE
    partials = lambda op, out, x: (gelu_slope(x),)


class GeluSlope(Pointwise):
    """The derivative of `gelu`."""

    cost, lower, ref = 32, _gelu_slope, BY_RULE

    partials = lambda op, out, x: (_zero_beyond(EMPTY, x, _gelu_bend),)


def _gelu_bend(x: Node) -> Node:
    density = erf_slope(multiply(x, constant_like(x, SQRT_HALF)))
    bend = subtract(constant_like(x, 2), multiply(x, x))
    return multiply(multiply(bend, constant_like(x, SQRT_HALF / 2)), density)


class GeluTanh(Pointwise):
    """`gelu` with a hyperbolic tangent of a cubic in place of the error function."""

    cost, lower, ref = 22, _gelu_tanh, BY_RULE
    partials = lambda op, out, x: (gelu_tanh_slope(x),)


class GeluTanhSlope(Pointwise):
    """The derivative of `gelu_tanh`."""

    cost, lower, ref = 32, _gelu_tanh_slope, BY_RULE

    partials = lambda op, out, x: (_zero_beyond(FLAT, x, _gelu_tanh_bend),)


def _gelu_tanh_bend(x: Node) -> Node:
    """With u the cubic and t = tanh(u): (1 - t^2) (u' + x (u'' / 2 - t u'^2))."""

    def cubic(weight: float) -> Node:
        sum_ = add(constant_like(x, 1), multiply(constant_like(x, weight), multiply(x, x)))
        return multiply(constant_like(x, WIDTH), sum_)

    u, first = multiply(x, cubic(CUBE)), cubic(3 * CUBE)
    second = multiply(constant_like(x, 3 * CUBE * WIDTH), x)
    bend = subtract(second, multiply(tanh(u), multiply(first, first)))
    # 1 - t^2 would lose its digits, and a square of 1 / cosh(u) the derivative of its tail.
    twice = multiply(constant_like(x, 2), u)
    above, below = sigmoid(twice), sigmoid(negative(twice))
    tail = multiply(constant_like(x, 4), multiply(above, below))
    return multiply(tail, add(first, multiply(x, bend)))


# Stated for the rules above, which use them before they are made.
gelu_slope: GeluSlope
gelu_tanh_slope: GeluTanhSlope

gelu, gelu_slope, gelu_tanh, gelu_tanh_slope = Gelu(), GeluSlope(), GeluTanh(), GeluTanhSlope()
