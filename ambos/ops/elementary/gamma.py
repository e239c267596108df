"""The logarithm of the gamma function and its derivatives: lgamma, digamma, trigamma, zeta.

From 8 on by what Stirling's series leaves, as a polynomial in (8/x)^2; below by the recurrence
from an interval with a polynomial of its own; left of 0 by reflection. Next to their zeros on the
negative axis the absolute error is small, not the relative one.
"""

from __future__ import annotations

import math

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float64
from ambos.ops.elementary.formats import PI, horner, in_double
from ambos.ops.elementary.logarithm import log, log1p
from ambos.ops.elementary.power import pow_
from ambos.ops.elementary.trigonometric import sin, tan

INFINITY, NAN = float("inf"), float("nan")
HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
FAR = 8.0

# log gamma(2 + t) = t N(t) for |t| <= 1/2
LGAMMA_NEAR = (
    0.42278433509846713, 0.32246703342411326, -0.06735230105319814, 0.020580808427780335,
    -0.007385551028668096, 0.002890510331036772, -0.0011927539120033873, 0.0005096695153484373,
    -0.00022315475069647703, 9.945767440096764e-05, -4.492635166770342e-05, 2.0505584372896933e-05,
    -9.438454884054723e-06, 4.3847319318293745e-06, -2.044935323180052e-06, 9.199898075671394e-07,
    -4.303234692956732e-07, 2.7880013392491846e-07, -1.341570273460026e-07,
)  # fmt: skip
# log gamma(x) = (x - 1/2) log x - x + log(2 pi) / 2 + F(w) / x, w = (8 / x)^2 <= 1
LGAMMA_FAR = (
    0.08333333333333333, -4.34027777777762e-05, 1.9376240076018426e-07, -2.2706528632670753e-09,
    5.017117649843461e-11, -1.7834630349163198e-12, 9.034902184027437e-14, -4.744556866431124e-15,
)  # fmt: skip
# digamma(x) = (x - root) N(x - 1.5) on [1, 2]
DIGAMMA_NEAR = (
    0.9510558760318328, -0.4236274212814606, 0.24054248424078736, -0.14840492305388006,
    0.09498872445282817, -0.06192213327556183, 0.040760833944741226, -0.02697579665686472,
    0.01790724819228875, -0.011908220169786002, 0.007927024136843637, -0.0052799364178857415,
    0.0035180792717028125, -0.0023455016279107115, 0.0015635739915515125, -0.0010364227247828023,
    0.0006899428514219089, -0.00048606417050412354, 0.00032689316473621455,
    -0.00014460384609240088, 9.158816882117e-05, -0.00017837342400462423, 0.00012241591000024265,
)  # fmt: skip
DIGAMMA_ROOT, DIGAMMA_ROOT_LOW = 1.4616321449683622, 9.549995429965697e-17
# digamma(x) = log x - 1 / (2 x) - F(w) / x^2
DIGAMMA_FAR = (
    0.08333333333333333, -0.0001302083333333078, 9.688120034265522e-07, -1.589456754707475e-08,
    4.5153274455946286e-10, -1.9605543101761694e-11, 1.164649182703463e-12, -6.812586031335799e-14,
)  # fmt: skip
# trigamma(x) = 1 / x + 1 / (2 x^2) + F(w) / x^3
TRIGAMMA_FAR = (
    0.16666666666666666, -0.0005208333333333161, 5.812872023345177e-06, -1.2715657068269662e-07,
    4.515478009222641e-09, -2.3565492806446095e-10, 1.6843547707194493e-11, -1.470252104730896e-12,
    1.0727930072842847e-13,
)  # fmt: skip
# B(2k) / (2k)!, k = 1, 2, ...
BERNOULLI = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000,
    1 / 74724249600, -3617 / 10670622842880000, 43867 / 5109094217170944000,
    -174611 / 802857662698291200000, 77683 / 14101100039391805440000,
    -236364091 / 1693824136731743669452800000,
)  # fmt: skip
SHIFTS = 1 << 12  # terms of zeta's series left of 0, at most


def to_whole(b: Builder, x: Value) -> Value:
    """x less the nearest whole number, in [-1/2, 1/2]; nan of an infinity."""
    return x - b.round_even(x)


def eighth_square(b: Builder, x: Value) -> Value:
    """(8 / x)^2, at most 1."""
    ratio = FAR / b.select(x < FAR, FAR, x)
    return ratio * ratio


def lgamma_positive(b: Builder, x: Value) -> Value:
    """log gamma(x) for a float64 x >= 0."""
    y, product = x, b.const(1.0, float64)
    for _ in range(6):
        step = (y > 2.5) & (x < FAR)
        y = b.select(step, y - 1.0, y)
        product = b.select(step, product * y, product)
    low, lowest = x < 1.5, x < 0.5
    t = b.select(lowest, x, b.select(low, x - 1.0, y - 2.0))  # exact
    product = b.select(lowest, b.fma(x, x, x), b.select(low, x, product))
    far = x >= FAR
    logarithm = log(b, b.select(far, x, product))
    near = t * horner(b, b.select(far, 0.0, t), LGAMMA_NEAR)
    near = near + b.select(low, -logarithm, logarithm)
    rest = horner(b, eighth_square(b, x), LGAMMA_FAR) / x
    stirling = b.fma(x - 0.5, logarithm - 1.0, rest + (HALF_LOG_TAU - 0.5))
    return b.select(far, b.select(x < INFINITY, stirling, x), near)


@in_double
def lgamma(b: Builder, x: Value) -> Value:
    """log |gamma(x)|: infinite at 0, at negative whole numbers and at both infinities."""
    negative = x < 0.0
    positive = lgamma_positive(b, b.select(negative, 1.0 - x, x))
    sine = b.abs(sin(b, to_whole(b, x) * PI))
    y = b.select(negative, log(b, PI / sine) - positive, positive)
    return b.select(x.eq(-INFINITY), INFINITY, y)


def digamma_positive(b: Builder, x: Value) -> Value:
    """digamma(x) for a float64 x >= 0."""
    far, small = x >= FAR, x < 1.0
    y = b.select(far, 1.5, b.select(small, x + 1.0, x))
    numerator, denominator = b.const(0.0, float64), b.const(1.0, float64)
    for _ in range(7):  # 1 / (x - 1) + 1 / (x - 2) + ... as one fraction
        step = y > 2.0
        y = b.select(step, y - 1.0, y)
        numerator = b.select(step, b.fma(numerator, y, denominator), numerator)
        denominator = b.select(step, denominator * y, denominator)
    middle = ((y - DIGAMMA_ROOT) - DIGAMMA_ROOT_LOW) * horner(b, y - 1.5, DIGAMMA_NEAR)
    inverse = 1.0 / x
    near = middle + b.select(small, -inverse, numerator / denominator)
    rest = b.fma(horner(b, eighth_square(b, x), DIGAMMA_FAR), inverse, 0.5)
    return b.select(far, b.fma(rest, -inverse, log(b, x)), near)


@in_double
def digamma(b: Builder, x: Value) -> Value:
    """The derivative of lgamma; -+inf at +-0, nan at negative whole numbers."""
    negative = x < 0.0
    positive = digamma_positive(b, b.select(negative, 1.0 - x, x))
    part = to_whole(b, x)
    reflected = positive - PI / tan(b, part * PI)
    y = b.select(negative, b.select(part.eq(0.0), NAN, reflected), positive)
    return b.select(x.eq(0.0), b.copysign(b.const(INFINITY, float64), -x), y)


@in_double
def trigamma(b: Builder, x: Value) -> Value:
    """The derivative of digamma; inf at 0 and at negative whole numbers."""
    negative = x < 0.5
    z = b.select(negative, 1.0 - x, x)
    y, total = z, b.const(0.0, float64)
    for _ in range(8):
        step = y < FAR
        total = b.select(step, total + 1.0 / (y * y), total)
        y = b.select(step, y + 1.0, y)
    inverse = 1.0 / y
    rest = b.fma(horner(b, eighth_square(b, y), TRIGAMMA_FAR), inverse, 0.5)
    positive = b.fma(b.fma(rest, inverse, 1.0), inverse, total)
    ratio = PI / sin(b, to_whole(b, x) * PI)
    return b.select(negative, b.fma(ratio, ratio, -positive), positive)


@in_double
def zeta(b: Builder, s: Value, q: Value) -> Value:
    """Hurwitz' zeta function: the sum of (q + k)^-s over k >= 0, for s > 1; inf at whole q <= 0,
    nan at other q < 0 unless s is whole, and below -4080 at all.

    Source: the sum of Euler and Maclaurin, ten terms and what is left from q + 10 on.
    """
    whole = b.floor(q).eq(q)
    pole = (q <= 0.0) & whole
    outside = ~(s > 1.0) | ((q < 0.0) & b.floor(s).ne(s)) | (q < 16.0 - SHIFTS)
    safe = b.select(pole | outside, 1.0, q)

    def turn(w: Value, total: Value, count: Value) -> tuple[Value, ...]:
        total = total + pow_(b, w, -s)
        w, count = w + 1.0, count + 1.0
        return (count < 10.0) | (w < 10.0), w, total, count

    zero = b.const(0.0, float64)
    w, total, _ = b.repeat(SHIFTS, turn, safe, zero, zero)
    last = pow_(b, w, -s)
    tail = _remainder(b, s, w) * last
    y = total + b.select(last.eq(0.0), 0.0, tail)
    y = b.select(pole & (s > 1.0), INFINITY, b.select(outside, NAN, y))
    return b.select(s.eq(1.0), INFINITY, b.select(s.eq(INFINITY) & q.eq(1.0), 1.0, y))


def _remainder(b: Builder, s: Value, w: Value) -> Value:
    """The sum of ((w + k) / w)^-s over k >= 0, by Euler and Maclaurin."""
    inverse = 1.0 / w
    total = w / (s - 1.0) + 0.5
    factor = s * inverse
    for k, number in enumerate(BERNOULLI):
        total = b.fma(factor, number, total)
        factor = factor * ((s + (2.0 * k + 1.0)) * inverse) * ((s + (2.0 * k + 2.0)) * inverse)
    return total


def lgamma_of_one_more(b: Builder, a: Value) -> Value:
    """log gamma(1 + a) for a float64 0 <= a <= 1/2, without loss near 0."""
    return b.fma(a, horner(b, a, LGAMMA_NEAR), -log1p(b, a))
