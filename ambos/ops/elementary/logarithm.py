"""log and log1p.

x = 2**e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), log(x) = e ln 2 + log(1 + f).
"""

from __future__ import annotations

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float32
from ambos.ops.elementary.exponential import exp
from ambos.ops.elementary.formats import Format, format_of, horner

INFINITY = float("inf")

# log(1 + f) = f - f^2/2 + f^3 P(f), relative error 2^-30 (float32)
P_SINGLE = (
    0.33333313, -0.2500001, 0.20002119, -0.16667995, 0.14219554, -0.12405598, 0.11888162,
    -0.116756104, 0.06746599,
)  # fmt: skip
# log((1 + s) / (1 - s)) = 2 s + s z P(z), z = s^2; relative error 2^-66.7 (float64), 2^-45
P_DOUBLE = (
    0.6666666666666666, 0.4000000000000625, 0.28571428569084856, 0.2222222264695705,
    0.1818177565234649, 0.1538709134490093, 0.13250104661631285, 0.13251453453716905,
)  # fmt: skip
P_SHORT = (
    0.6666666667580855, 0.3999999561920977, 0.2857210944513122, 0.22176176327711244,
    0.19584335296440003,
)  # fmt: skip


def sqrt_half_bits(form: Format) -> int:
    """The bits of sqrt(1/2) in this format."""
    return 0x3F3504F3 if form.dtype is float32 else 0x3FE6A09E667F3BCD


def split(b: Builder, form: Format, x: Value) -> tuple[Value, Value]:
    """(biased exponent of the reduction as an integer, 1 + f) of a positive normal x."""
    start = sqrt_half_bits(form)
    bits = b.bitcast(x, form.unsigned) + (form.one_bits - start)
    reduced = b.bitcast((bits & form.fraction_mask) + start, form.dtype)
    return bits >> form.fraction, reduced


def to_float(b: Builder, form: Format, biased: Value, bias: float | Value) -> Value:
    """The small integer `biased` as a float, less `bias` - 2**fraction.

    Set as the low bits of 2**fraction: there is no vector conversion of 64-bit integers in AVX2.
    """
    base_bits = (form.bias + form.fraction) << form.fraction
    return b.bitcast(biased | base_bits, form.dtype) - bias


def exponent_and_fraction(b: Builder, x: Value) -> tuple[Value, Value]:
    """(e, 1 + f) of a positive finite x, subnormal or not."""
    form = format_of(x)
    tiny = x < form.min_normal
    lift = form.fraction + 1
    biased, reduced = split(b, form, b.select(tiny, x * 2.0**lift, x))
    base = 2.0**form.fraction + form.bias
    offset = b.select(tiny, b.const(base + lift, form.dtype), base)
    return to_float(b, form, biased, offset), reduced


def log_reduced(b: Builder, form: Format, e: Value, f: Value) -> Value:
    """e ln 2 + log(1 + f)."""
    if form.dtype is float32:
        square = f * f
        tail = b.fma(f * square, horner(b, f, P_SINGLE), e * form.ln2_low)
        return b.fma(e, form.ln2_high, f + b.fma(square, -0.5, tail))
    s = f / (f + 2.0)
    z = s * s
    half_square = f * f * 0.5
    tail = b.fma(s, b.fma(z, horner(b, z, P_DOUBLE), half_square), e * form.ln2_low)
    return b.fma(e, form.ln2_high, f - (half_square - tail))


def log(b: Builder, x: Value) -> Value:
    """Natural logarithm: log(+-0) = -inf, log(x < 0) = nan, log(inf) = inf."""
    form = format_of(x)
    e, reduced = exponent_and_fraction(b, x)
    y = log_reduced(b, form, e, reduced - 1.0)
    y = b.select(x < INFINITY, y, x)
    outside = b.select(x.eq(0.0), b.const(-INFINITY, x.dtype), float("nan"))
    return b.select(x > 0.0, y, outside)


def log1p(b: Builder, x: Value) -> Value:
    """log(1 + x) without loss near 0; log1p(-1) = -inf, below nan; the sign of zero is kept.

    u = 1 + x is rounded; what it lost, scaled as u was, is added to the reduced fraction.
    """
    form = format_of(x)
    u = x + 1.0
    lost = b.select(x < 1.0, x - (u - 1.0), 1.0 - (u - x))
    biased, reduced = split(b, form, u)
    scale = b.bitcast((2 * form.bias - biased) << form.fraction, form.dtype)
    scale = b.select(x < 2.0**60, scale, 0.0)  # beyond, `lost` is too small to matter
    f = b.fma(lost, scale, reduced - 1.0)
    e = to_float(b, form, biased, 2.0**form.fraction + form.bias)
    y = b.select(x < INFINITY, log_reduced(b, form, e, f), x)
    outside = b.select(x.eq(-1.0), b.const(-INFINITY, x.dtype), float("nan"))
    return b.select(x > -1.0, b.copysign(y, x), outside)


def logaddexp(b: Builder, x: Value, y: Value) -> Value:
    """log(exp(x) + exp(y)): the larger, and what the smaller adds to it; equal infinities are no
    distance apart. As exact as log1p is, in units of the larger operand."""
    gap = b.select(x.eq(y), b.const(0.0, x.dtype), -b.abs(x - y))
    return b.select(x > y, x, y) + log1p(b, exp(b, gap))
