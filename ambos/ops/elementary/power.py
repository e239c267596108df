"""pow, with C99's table of special cases.

|x|^y = exp(y log|x|). The logarithm needs as many bits more than the result as the result's
exponent has: float32 computes in float64, float64 with pairs of float64 (high + low).
"""

from __future__ import annotations

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float32, float64
from ambos.ops.elementary.exponential import LOG2_E, Q_DOUBLE, growth, reduce
from ambos.ops.elementary.formats import (
    DOUBLE,
    at_least,
    at_most,
    format_of,
    horner,
    power_of_two,
    scale_by_power,
    two_product,
)
from ambos.ops.elementary.logarithm import P_SHORT, exponent_and_fraction

INFINITY = float("inf")
# 2^f = 1 + f W(f) for |f| <= 1/2, relative error 2^-34
W_SHORT = (
    0.6931471805471693, 0.24022651080981286, 0.05550410935898429, 0.009618036058044451,
    0.0013333458406681574, 0.00015467408475941364, 1.530728154324926e-05,
)  # fmt: skip
# atanh(s) = s (1 + z/3 + z^2 V(z)), z = s^2, |s| <= 0.1716; relative error 2^-73
V_DOUBLE = (
    0.1999999999999999, 0.14285714285722478, 0.11111111108783393, 0.0909090943359965,
    0.07692278526440872, 0.06668155665542931, 0.05837463710828226, 0.05994102711426711,
)  # fmt: skip
THIRD, THIRD_LOW = 0.3333333333333333, 1.850371707708594e-17

Pair = tuple[Value, Value]


def pow_(b: Builder, x: Value, y: Value) -> Value:
    """x**y; a negative x needs a whole y, else nan. pow(x, 0) = pow(1, y) = 1 even for nan."""
    format_of(x)
    size = b.abs(x)
    power = (_power_single if x.dtype is float32 else _power_double)(b, size, y)
    whole = b.trunc(y).eq(y)
    half = y * 0.5
    odd = whole & b.trunc(half).ne(half)
    signed = b.select(odd, b.copysign(power, x), power)
    unreal = (x < 0.0) & (x > -INFINITY) & ~whole
    one = y.eq(0.0) | x.eq(1.0) | (x.eq(-1.0) & b.abs(y).eq(INFINITY))
    return b.select(one, 1.0, b.select(unreal, float("nan"), signed))


def _power_single(b: Builder, size: Value, y: Value) -> Value:
    """size**y for a float32 size >= 0, but for 1**inf and the like."""
    wide = b.convert(size, float64)
    exponent = _log2_short(b, wide) * b.convert(y, float64)
    exponent = at_least(b, at_most(b, exponent, 200.0), -200.0)
    shifted = exponent + DOUBLE.magic
    fraction = exponent - (shifted - DOUBLE.magic)
    scale = power_of_two(b, DOUBLE, shifted)
    power = b.fma(fraction * horner(b, fraction, W_SHORT), scale, scale)
    return b.convert(power, float32)


def _log2_short(b: Builder, x: Value) -> Value:
    """log2 of a float64 x >= 0 to about 45 bits."""
    e, reduced = exponent_and_fraction(b, x)
    s = (reduced - 1.0) / (reduced + 1.0)
    z = s * s
    log2 = b.fma(s * b.fma(z, horner(b, z, P_SHORT), 2.0), LOG2_E, e)
    return _ends(b, log2, x)


def _ends(b: Builder, log: Value, x: Value) -> Value:
    """The logarithm's limits at 0 and infinity; nan stays."""
    return b.select(x.eq(0.0), -INFINITY, b.select(x < INFINITY, log, x))


def _power_double(b: Builder, size: Value, y: Value) -> Value:
    """size**y for a float64 size >= 0, but for 1**inf and the like."""
    high, low = _log_pair(b, size)
    high = _ends(b, high, size)
    product, error = two_product(b, high, y)
    low = b.fma(low, y, error)
    # Where the result overflows or vanishes `low` has no meaning (inf - inf); nan > is false.
    low = b.select(b.abs(product) < 800.0, low, 0.0)
    product = at_least(b, at_most(b, product, 711.0), -747.0)
    shifted, n, high = reduce(b, DOUBLE, product)
    r = b.fma(n, -DOUBLE.ln2_low, high) + low
    return scale_by_power(b, DOUBLE, growth(b, r, Q_DOUBLE), shifted)


def _log_pair(b: Builder, x: Value) -> Pair:
    """log(x) of a positive finite float64 as high + low, good to about 2^-66 of its size."""
    e, reduced = exponent_and_fraction(b, x)
    s, s_low = _ratio(b, reduced - 1.0)
    u, u_low = _series(b, s, s_low)
    product, error = two_product(b, s, u)
    tail = (error + s * u_low + s_low * u) + s_low
    head = s + product
    tail = (((s - head) + product) + tail) * 2.0
    head = head * 2.0
    whole = e * DOUBLE.ln2_high
    total = whole + head
    rest = ((whole - total) + head) + (tail + e * DOUBLE.ln2_low)
    high = total + rest
    return high, (total - high) + rest


def _ratio(b: Builder, f: Value) -> Pair:
    """f / (2 + f) as a pair: the quotient, corrected by what it leaves."""
    divisor = f + 2.0
    divisor_low = f - (divisor - 2.0)
    inverse = 1.0 / divisor
    s = f * inverse
    product, error = two_product(b, s, divisor)
    return s, (((f - product) - error) - s * divisor_low) * inverse


def _series(b: Builder, s: Value, s_low: Value) -> Pair:
    """atanh(s) / s - 1 = z/3 + z^2 V(z) as a pair."""
    z, z_low = two_product(b, s, s)
    z_low = z_low + s * s_low * 2.0
    third, third_low = two_product(b, z, b.const(THIRD, float64))
    third_low = third_low + (z * THIRD_LOW + z_low * THIRD)
    rest = z * z * horner(b, z, V_DOUBLE)
    u = third + rest
    return u, ((third - u) + rest) + third_low
