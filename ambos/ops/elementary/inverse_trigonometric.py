"""asin, acos, atan and atan2. float32 is computed in float64 with shorter polynomials."""

from __future__ import annotations

from collections.abc import Callable

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float32, float64
from ambos.ops.elementary.formats import (
    HALF_PI,
    HALF_PI_LOW,
    PI,
    QUARTER_PI,
    format_of,
    horner,
)

Coefficients = tuple[float, ...]

# asin(s) = s + s z A(z) for |s| <= 1/2, z = s^2
ASIN_SHORT = (
    0.1666665997148202, 0.07500505457795463, 0.04451669392919522, 0.03181002978391234,
    0.014429407252412558, 0.037529965090491446,
)  # fmt: skip
ASIN_DOUBLE = (
    0.1666666666666676, 0.07499999999970629, 0.04464285717478466, 0.030381942699070824,
    0.022372215243891932, 0.017351607233256166, 0.013980879838941479, 0.011398411720197413,
    0.010783140699282795, 0.003695198917256871, 0.021735434291077195, -0.021039652731736032,
    0.03265460993535781,
)  # fmt: skip
# atan(u) = u + u z B(z) for |u| <= tan(pi/8)
ATAN_SHORT = (
    -0.3333333249722273, 0.1999990372798095, -0.14282002326946197, 0.11044621032727955,
    -0.08475856988885054, 0.04743160131490945,
)  # fmt: skip
ATAN_DOUBLE = (
    -0.33333333333333326, 0.19999999999997642, -0.14285714285384807, 0.11111111087996939,
    -0.09090908138606706, 0.07692282636990647, -0.06666225122967158, 0.058770072263681444,
    -0.052183189332893516, 0.045032327563879114, -0.033467738195979764, 0.015188936896399967,
)  # fmt: skip
TAN_EIGHTH = 0.41421356237309503  # tan(pi/8); its reciprocal is tan(3 pi/8)


def widened(
    b: Builder, function: Callable[..., Value], short: Coefficients, full: Coefficients, *x: Value
) -> Value:
    """`function(b, coefficients, *x)`, for float32 in float64."""
    format_of(x[0])
    if x[0].dtype is not float32:
        return function(b, full, *x)
    return b.convert(function(b, short, *[b.convert(v, float64) for v in x]), float32)


def asin(b: Builder, x: Value) -> Value:
    """Inverse sine in [-pi/2, pi/2]; outside [-1, 1] nan."""
    return widened(b, _asin, ASIN_SHORT, ASIN_DOUBLE, x)


def acos(b: Builder, x: Value) -> Value:
    """Inverse cosine in [0, pi]; outside [-1, 1] nan."""
    return widened(b, _acos, ASIN_SHORT, ASIN_DOUBLE, x)


def atan(b: Builder, x: Value) -> Value:
    """Inverse tangent in [-pi/2, pi/2]."""
    return widened(b, _atan, ATAN_SHORT, ATAN_DOUBLE, x)


def atan2(b: Builder, y: Value, x: Value) -> Value:
    """Angle of the point (x, y) in [-pi, pi], with C99's table for zeros and infinities."""
    return widened(b, _atan2, ATAN_SHORT, ATAN_DOUBLE, y, x)


# --- float64 arithmetic --------------------------------------------------------------------------


def _half_angle(b: Builder, coefficients: Coefficients, x: Value) -> tuple[Value, Value]:
    """(|x| > 1/2, asin(s)) with s = |x|, or sqrt((1 - |x|) / 2) for a large |x|."""
    magnitude = b.abs(x)
    large = magnitude > 0.5
    z = b.select(large, (1.0 - magnitude) * 0.5, magnitude * magnitude)
    s = b.select(large, b.sqrt(z), magnitude)
    return large, b.fma(s * z, horner(b, z, coefficients), s)


def _asin(b: Builder, coefficients: Coefficients, x: Value) -> Value:
    large, angle = _half_angle(b, coefficients, x)
    angle = b.select(large, HALF_PI - (angle * 2.0 - HALF_PI_LOW), angle)
    return b.copysign(angle, x)


def _acos(b: Builder, coefficients: Coefficients, x: Value) -> Value:
    large, angle = _half_angle(b, coefficients, x)
    double = angle * 2.0
    negative = x < 0.0
    outer = b.select(negative, PI - (double - 2 * HALF_PI_LOW), double)
    signed = b.copysign(angle, x)
    return b.select(large, outer, HALF_PI - (signed - HALF_PI_LOW))


def _first_quadrant(b: Builder, coefficients: Coefficients, y: Value, x: Value) -> Value:
    """The angle of (x, y) for x, y >= 0: 0, pi/4 or pi/2 plus atan of a ratio <= tan(pi/8)."""
    steep = y > x * (1.0 / TAN_EIGHTH)
    middle = (y > x * TAN_EIGHTH) | y.eq(float("inf"))
    numerator = b.select(steep, -x, b.select(middle, y - x, y))
    denominator = b.select(steep, y, b.select(middle, y + x, x))
    u = b.select(y.eq(x), 0.0, numerator / denominator)
    z = u * u
    zero = b.const(0.0, float64)
    base = b.select(steep, HALF_PI, b.select(middle, QUARTER_PI, zero))
    base_low = b.select(steep, HALF_PI_LOW, b.select(middle, HALF_PI_LOW / 2, zero))
    return base + (u + b.fma(u * z, horner(b, z, coefficients), base_low))


def _atan(b: Builder, coefficients: Coefficients, x: Value) -> Value:
    one = b.const(1.0, float64)
    return b.copysign(_first_quadrant(b, coefficients, b.abs(x), one), x)


def _atan2(b: Builder, coefficients: Coefficients, y: Value, x: Value) -> Value:
    tall, wide = b.abs(y), b.abs(x)
    huge = (tall > 2.0**1000) | (wide > 2.0**1000)  # their sum must not overflow
    factor = b.select(huge, b.const(2.0**-60, float64), 1.0)
    angle = _first_quadrant(b, coefficients, tall * factor, wide * factor)
    behind = b.copysign(b.const(1.0, float64), x) < 0.0
    angle = b.select(behind, PI - (angle - 2 * HALF_PI_LOW), angle)
    return b.copysign(angle, y)
