"""sinh, cosh and tanh, from the exponential away from 0 and from odd polynomials near it."""

from __future__ import annotations

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float32, float64
from ambos.ops.elementary.exponential import (
    LOG2_E,
    Q_DOUBLE,
    Q_SHORT,
    Q_SINGLE,
    expm1,
    growth,
    remainder,
)
from ambos.ops.elementary.formats import (
    DOUBLE,
    SINGLE,
    at_most,
    format_of,
    horner,
    power_of_two,
    scale_by_power,
)

# sinh(x) = x + x z S(z) for |x| <= 1, z = x^2
S_SHORT = (
    0.16666666496229293,
    0.008333350157272237,
    0.00019836139528520554,
    2.8170730611310717e-06,
)
S_DOUBLE = (
    0.16666666666666669, 0.008333333333333146, 0.00019841269841433502, 2.755731915653332e-06,
    2.5052123225748575e-08, 1.6057252589632267e-10, 7.758973593376928e-13,
)  # fmt: skip
LN2 = 0.6931471805599453
# tanh(x) = x + x z T(z) for |x| <= 0.625
T_SINGLE = (-0.3333328, 0.13331442, -0.05373971, 0.020639077, -0.005704975)


def sinh(b: Builder, x: Value) -> Value:
    """Hyperbolic sine; float32 is computed in float64."""
    wide = _widen(b, x)
    magnitude = b.abs(wide)
    half, quarter = _half_exp(b, magnitude, x.dtype is float32)
    z = magnitude * magnitude
    coefficients = S_SHORT if x.dtype is float32 else S_DOUBLE
    small = b.fma(magnitude * z, horner(b, z, coefficients), magnitude)
    y = b.select(magnitude > 1.0, half - quarter, small)
    return b.convert(b.copysign(y, wide), x.dtype)


def cosh(b: Builder, x: Value) -> Value:
    """Hyperbolic cosine; float32 is computed in float64."""
    half, quarter = _half_exp(b, b.abs(_widen(b, x)), x.dtype is float32)
    return b.convert(half + quarter, x.dtype)


def tanh(b: Builder, x: Value) -> Value:
    """Hyperbolic tangent: a polynomial below 0.625, else 1 - 2 / (e**2x + 1).

    float64 takes t / (t + 2), t = e**2x - 1, near 0.
    """
    format_of(x)
    return b.copysign((_tanh_single if x.dtype is float32 else _tanh_double)(b, b.abs(x)), x)


def _tanh_single(b: Builder, magnitude: Value) -> Value:
    """In a recurrence each step waits for the one before, so few instructions wait for each other:
    the 2 of e**2x is in the constants, ln 2 is one number (n of it are off by 6e-8 where 2 / (e**2x
    + 1) no longer matters), what comes from 10 on is chosen last, and 1 + e**r r is added up in
    pairs. All that and a division took 0.65 of the time of a chain with an inverse by steps for a
    single number, and 0.92 for vectors."""
    z = magnitude * magnitude
    small = b.fma(magnitude * z, horner(b, z, T_SINGLE), magnitude)
    shifted = b.fma(magnitude, 2.0 * LOG2_E, SINGLE.magic)
    r = b.fma(shifted - SINGLE.magic, -LN2, magnitude + magnitude)
    scale = power_of_two(b, SINGLE, shifted)
    square = r * r
    first = b.fma(square, b.fma(r, Q_SINGLE[1], Q_SINGLE[0]), r)
    second = b.fma(square, Q_SINGLE[4], b.fma(r, Q_SINGLE[3], Q_SINGLE[2]))
    grown = b.fma(square * square, second, first)
    large = 1.0 - 2.0 / b.fma(grown, scale, scale + 1.0)
    is_large = (magnitude > 0.625) & (magnitude <= 10.0)
    return b.select(is_large, large, b.select(magnitude > 10.0, 1.0, small))


def _tanh_double(b: Builder, magnitude: Value) -> Value:
    limited = at_most(b, magnitude, 20.0)  # 1 in float64
    t = expm1(b, limited + limited)
    large = limited > 0.55
    quotient = b.select(large, 2.0, t) / (t + 2.0)
    return b.select(large, 1.0 - quotient, quotient)


def _widen(b: Builder, x: Value) -> Value:
    format_of(x)
    return b.convert(x, float64) if x.dtype is float32 else x


def _half_exp(b: Builder, magnitude: Value, short: bool) -> tuple[Value, Value]:
    """(e**x / 2, e**-x / 2) for x >= 0; the first overflows only where sinh and cosh do."""
    shifted, r = remainder(b, DOUBLE, at_most(b, magnitude, 711.0))
    grown = growth(b, r, Q_SHORT if short else Q_DOUBLE)
    half = scale_by_power(b, DOUBLE, grown, shifted, less=1)
    return half, 0.25 / half
