"""The error function."""

from __future__ import annotations

import math

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float32
from ambos.ops.elementary.exponential import Q_DOUBLE, Q_SINGLE, growth, remainder
from ambos.ops.elementary.formats import DOUBLE, at_most, format_of, horner, power_of_two

# erf(x) = x + x E(x^2 - 0.75) for |x| <= 1.2 (float32, 2^-26). Expanding about the middle keeps the
# high powers, and with them the rounding errors, small.
E_SINGLE = (
    -0.1001088, -0.24458852, 0.066919014, -0.015129333, 0.0028462007, -0.00046248632, 6.5273874e-05,
)  # fmt: skip
# erf(x) = x + x E(x^2) for |x| <= 1 (float64, 2^-62.7)
E_DOUBLE = (
    0.1283791670955126, -0.3761263890318375, 0.11283791670954857, -0.026866170645072886,
    0.005223977624780783, -0.0008548326978737623, 0.00012055331036739549, -1.4925593503189271e-05,
    1.6460972759700026e-06, -1.6350024634014407e-07, 1.4657875996749197e-08,
    -1.1365651490768098e-09, 5.945237869871388e-11,
)  # fmt: skip
# erfc(x) = R(x - 1.2)^8 on [1.2, 3.93] (2^-28): three squarings instead of an exponential
R_SINGLE = (
    0.73975956, -0.27564335, -0.028698126, 0.020236857, 0.001435053, -0.0014609545, 0.00016852289,
)  # fmt: skip
# erfc(x) = exp(-x^2) G((x - 2) / (x + 2)) on [1, 5.95]
G_DOUBLE = (
    0.25539567631050575, -0.4271858474139563, 0.24165819424249307, -0.07897858101634952,
    0.003732892394341998, 0.006997461748556715, -0.0008471425288013041, -0.0009819745849045725,
    4.3542592477822456e-05, 0.0001742773513884519, 2.7507032920688907e-05,
    -2.6874406704770346e-05, -1.2846993650953084e-05,
)  # fmt: skip


def erf(b: Builder, x: Value) -> Value:
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    format_of(x)
    return b.copysign((_erf_single if x.dtype is float32 else _erf_double)(b, b.abs(x)), x)


def _erf_single(b: Builder, magnitude: Value) -> Value:
    series = horner(b, b.fma(magnitude, magnitude, -0.75), E_SINGLE)
    small = b.fma(magnitude, series, magnitude)
    root = horner(b, at_most(b, magnitude, 3.93) - 1.2, R_SINGLE)
    power = root * root
    power = power * power
    return b.select(magnitude > 1.2, b.fma(power, -power, 1.0), small)


def _erf_double(b: Builder, magnitude: Value) -> Value:
    z = magnitude * magnitude
    small = b.fma(magnitude, horner(b, z, E_DOUBLE), magnitude)
    limited = at_most(b, magnitude, 5.95)  # 1 in float64
    shifted, r = remainder(b, DOUBLE, -(limited * limited))
    scale = power_of_two(b, DOUBLE, shifted)
    power = b.fma(growth(b, r, Q_DOUBLE), scale, scale)
    scaled = horner(b, (limited - 2.0) / (limited + 2.0), G_DOUBLE)
    return b.select(magnitude > 1.0, b.fma(power, -scaled, 1.0), small)


def erf_slope(b: Builder, x: Value) -> Value:
    """2 / sqrt(pi) times exp(-x^2), zero before it could become subnormal in a product.

    So 2**n is one factor, and nothing on the way is subnormal."""
    form, single = format_of(x), x.dtype is float32
    limit = 69.0 if single else 690.0
    square = x * x
    z = at_most(b, square, limit + 1.0)
    shifted, r = remainder(b, form, -z)
    r = r - b.fma(x, x, -square)  # what rounding the square has lost: 60 units of the last place
    first = b.const(2 / math.sqrt(math.pi), x.dtype)
    slope = b.fma(growth(b, r, Q_SINGLE if single else Q_DOUBLE), first, first)
    slope = slope * power_of_two(b, form, shifted)
    return b.select(z > limit, 0.0, slope)  # NaN is not larger
