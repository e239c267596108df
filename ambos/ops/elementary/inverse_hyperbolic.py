"""asinh, acosh and atanh by log1p, which keeps small results; float32 is computed in float64."""

from __future__ import annotations

import math

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float64
from ambos.ops.elementary.distance import number
from ambos.ops.elementary.logarithm import log, log1p

LARGE = 2.0**500  # x + sqrt(x * x + 1) is 2 x from far below


def asinh(b: Builder, x: Value) -> Value:
    """Inverse hyperbolic sine: log1p(x + x^2 / (1 + sqrt(1 + x^2)))."""
    wide = b.convert(x, float64)
    a = b.abs(wide)
    large = a > LARGE
    near = b.select(large, number(b, 0.0), a)
    square = near * near
    inner = near + square / (b.sqrt(square + 1.0) + 1.0)
    found = b.select(large, log(b, a) + math.log(2.0), log1p(b, inner))
    return b.convert(b.copysign(found, wide), x.dtype)


def acosh(b: Builder, x: Value) -> Value:
    """Inverse hyperbolic cosine of x >= 1: log1p(t + sqrt(t (t + 2))) with t = x - 1."""
    wide = b.convert(x, float64)
    large = wide > LARGE
    t = b.select(large, number(b, 0.0), wide) - 1.0
    found = b.select(large, log(b, wide) + math.log(2.0), log1p(b, t + b.sqrt(t * (t + 2.0))))
    return b.convert(b.select(wide < 1.0, number(b, math.nan), found), x.dtype)


def atanh(b: Builder, x: Value) -> Value:
    """Inverse hyperbolic tangent of -1 <= x <= 1: log1p(2x / (1 - x)) / 2."""
    wide = b.convert(x, float64)
    a = b.abs(wide)
    found = b.copysign(log1p(b, a * 2.0 / (1.0 - a)) * 0.5, wide)
    return b.convert(b.select(a > 1.0, number(b, math.nan), found), x.dtype)
