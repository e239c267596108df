"""The regularised incomplete gamma functions.

With D = x^a exp(-x) / gamma(a + 1): the lower one is D times a series (x < a or x <= 1), the upper
one a D times a continued fraction (x >= a), each until it no longer changes; for large a near x
Temme's uniform expansion. For small a and x the upper one is 1 - P written without cancellation.

Source: Gautschi, ACM TOMS 5 (1979); Temme, SIAM J. Math. Anal. 13 (1982).
"""

from __future__ import annotations

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float64
from ambos.ops.elementary.exponential import exp, expm1
from ambos.ops.elementary.formats import at_most, horner, in_double
from ambos.ops.elementary.gamma import (
    FAR,
    HALF_LOG_TAU,
    LGAMMA_FAR,
    digamma_positive,
    eighth_square,
    lgamma_of_one_more,
    lgamma_positive,
)
from ambos.ops.elementary.gaussian import erfc
from ambos.ops.elementary.logarithm import P_DOUBLE, log
from ambos.ops.elementary.power import pow_

INFINITY, NAN = float("inf"), float("nan")
TURNS = 3000
EPSILON = 2.0**-53
TINY = 1e-290
LARGE_SHAPE = 5e4
# Temme's coefficients: row k holds the Taylor series in eta of what a^-k is multiplied with.
TEMME: tuple[tuple[float, ...], ...] = (
    (
        -0.3333333333333333, 0.08333333333333333, -0.014814814814814815, 0.0011574074074074073,
        0.0003527336860670194, -0.0001787551440329218, 3.919263178522438e-05,
        -2.185448510679992e-06, -1.85406221071516e-06, 8.296711340953087e-07,
        -1.7665952736826078e-07, 6.707853543401498e-09, 1.0261809784240309e-08,
        -4.382036018453353e-09, 9.14769958223679e-10, -2.5514193994946248e-11,
    ),
    (
        -0.001851851851851852, -0.003472222222222222, 0.0026455026455026454,
        -0.0009902263374485596, 0.00020576131687242798, -4.018775720164609e-07,
        -1.8098550334489977e-05, 7.64916091608111e-06, -1.6120900894563446e-06,
        4.647127802807434e-09, 1.378633446915721e-07, -5.752545603517705e-08,
        1.1951628599778148e-08, -1.7543241719747647e-11,
    ),
    (
        0.004133597883597883, -0.0026813271604938273, 0.0007716049382716049,
        2.0093878600823047e-06, -0.0001073665322636516, 5.2923448829120125e-05,
        -1.2760635188618728e-05, 3.423578734096138e-08, 1.3721957309062934e-06,
        -6.298992138380055e-07, 1.4280614206064242e-07, -2.0477098421990866e-10,
    ),
    (
        0.0006494341563786008, 0.00022947209362139917, -0.0004691894943952557,
        0.00026772063206283885, -7.561801671883977e-05, -2.396505113867297e-07,
        1.1082654115347302e-05, -5.6749528269915965e-06, 1.4230900732435883e-06,
        -2.7861080291528143e-11,
    ),
    (
        -0.0008618882909167117, 0.0007840392217200666, -0.0002990724803031902,
        -1.4638452578843418e-06, 6.641498215465122e-05, -3.968365047179435e-05,
        1.1375726970678419e-05, 2.507497226237533e-10,
    ),
    (
        -0.00033679855336635813, -6.972813758365857e-05, 0.0002772753244959392,
        -0.00019932570516188847, 6.797780477937208e-05, 1.419062920643967e-07,
        -1.3594048189768693e-05, 8.018470256334202e-06,
    ),
    (
        0.0005313079364639922, -0.0005921664373536939, 0.0002708782096718045,
        7.902353232660328e-07, -8.153969367561969e-05, 5.61168275310625e-05,
        -1.8329116582843375e-05, -3.0796134506033047e-09,
    ),
)  # fmt: skip


def distance(b: Builder, a: Value, x: Value) -> tuple[Value, Value]:
    """(u - log(1 + u), u) for u = (x - a) / a, without cancellation near 0."""
    u = (x - a) / a
    s = u / (u + 2.0)
    z = s * s
    near = s * (u - z * horner(b, z, P_DOUBLE))
    return b.select(b.abs(s) < 0.17, near, u - log(b, x / a)), u


def density(b: Builder, a: Value, x: Value) -> Value:
    """x^a exp(-x) / gamma(a + 1) for float64 a >= 0 and x > 0."""
    large = a >= FAR
    wide = b.select(large, a, FAR)
    exponent = wide * distance(b, wide, b.select(large, x, FAR))[0]
    exponent = exponent + horner(b, eighth_square(b, wide), LGAMMA_FAR) / wide
    far = exp(b, -(exponent + HALF_LOG_TAU)) / b.sqrt(wide)
    small, bounded = b.select(large, 1.0, a), at_most(b, x, 1000.0)
    near = pow_(b, bounded, small) * exp(b, -bounded - lgamma_positive(b, small + 1.0))
    return b.select(large, far, near)


def series(b: Builder, a: Value, x: Value) -> Value:
    """The lower function over D: 1 + x / (a + 1) + x^2 / ((a + 1) (a + 2)) + ..."""

    def turn(n: Value, term: Value, total: Value) -> tuple[Value, ...]:
        n = n + 1.0
        term = term * (x / n)
        total = total + term
        return term > total * EPSILON, n, term, total

    one = b.const(1.0, float64)
    return b.repeat(TURNS, turn, a, one, one)[2]


def fraction(b: Builder, a: Value, x: Value) -> Value:
    """The upper function over a D, by Lentz' evaluation of the continued fraction."""

    def turn(k: Value, c: Value, d: Value, total: Value) -> tuple[Value, ...]:
        k = k + 1.0
        numerator = k * (a - k)
        step = (x - a) + b.fma(k, 2.0, 1.0)
        d = b.fma(numerator, d, step)
        d = 1.0 / b.select(b.abs(d) < TINY, TINY, d)
        c = step + numerator / c
        c = b.select(b.abs(c) < TINY, TINY, c)
        change = c * d
        return b.abs(change - 1.0) > 2 * EPSILON, k, c, d, total * change

    first = x - a + 1.0
    start = 1.0 / first
    return b.repeat(TURNS, turn, b.const(0.0, float64), first + 1 / TINY, start, start)[3]


def small_upper(b: Builder, a: Value, x: Value) -> Value:
    """The upper function for small a and x <= 1: 1 - x^a / gamma(a + 1) (1 + a sum), its large
    parts taken together as expm1."""

    def turn(n: Value, power: Value, total: Value) -> tuple[Value, ...]:
        n = n + 1.0
        power = power * (-x / n)
        term = power / (a + n)
        total = total + term
        return b.abs(term) > b.abs(total) * EPSILON, n, power, total

    zero = b.const(0.0, float64)
    total = b.repeat(60, turn, zero, b.const(1.0, float64), x * 0.0)[2]
    near = lgamma_of_one_more(b, at_most(b, a, 0.5))
    gamma = b.select(a < 0.5, near, lgamma_positive(b, a + 1.0))
    exponent = b.fma(a, log(b, x), -gamma)
    return -b.fma(a * exp(b, exponent), total, expm1(b, exponent))


def uniform(b: Builder, a: Value, x: Value) -> tuple[Value, Value]:
    """(lower, upper) for large a and x within 0.3 a of it, by Temme's expansion."""
    half, u = distance(b, a, x)
    eta = b.copysign(b.sqrt(half * 2.0), u)
    inverse = 1.0 / a
    total = horner(b, eta, TEMME[-1])
    for row in reversed(TEMME[:-1]):
        total = b.fma(total, inverse, horner(b, eta, row))
    rest = exp(b, -(a * half)) * total / b.sqrt(a * 6.283185307179586)
    root = eta * b.sqrt(a * 0.5)
    upper = b.fma(erfc(b, root), 0.5, rest)
    return b.fma(erfc(b, -root), 0.5, -rest), upper


def both(b: Builder, a: Value, x: Value) -> tuple[Value, Value]:
    """(lower, upper) for float64 operands."""
    outside = ~(a >= 0.0) | ~(x >= 0.0) | (a.eq(0.0) & x.eq(0.0))
    outside = outside | (a.eq(INFINITY) & x.eq(INFINITY))
    ends = a.eq(0.0) | x.eq(0.0) | a.eq(INFINITY) | x.eq(INFINITY) | outside
    a_, x_ = b.select(ends, 1.0, a), b.select(ends, 0.5, x)
    temme = (a_ > 100.0) & (b.abs(x_ - a_) < a_ * 0.3)
    left = (x_ < a_) | (x_ <= 1.0)
    tiny = (x_ <= 1.1) & (x_ * 0.75 >= a_) | (x_ <= 0.5) & (a_ * log(b, x_) > -0.4)
    dense = density(b, a_, x_)
    # Each way with harmless operands where it is not wanted: its loop ends at once.
    busy = left & ~temme
    lower = dense * series(b, b.select(busy, a_, 1.0), b.select(busy, x_, 0.0))
    busy = ~left & ~temme
    upper = dense * a_ * fraction(b, b.select(busy, a_, 1.0), b.select(busy, x_, 30.0))
    slight = small_upper(b, b.select(tiny, a_, 0.5), b.select(tiny, x_, 0.5))
    low, high = uniform(b, b.select(temme, a_, 100.0), b.select(temme, x_, 100.0))
    p = b.select(temme, low, b.select(tiny, 1.0 - slight, b.select(left, lower, 1.0 - upper)))
    q = b.select(temme, high, b.select(tiny, slight, b.select(left, 1.0 - lower, upper)))
    p = b.select(tiny & left, lower, p)
    full = a.eq(0.0) | x.eq(INFINITY)
    p = b.select(ends, b.select(full, b.const(1.0, float64), 0.0), p)
    q = b.select(ends, b.select(full, b.const(0.0, float64), 1.0), q)
    return b.select(outside, NAN, p), b.select(outside, NAN, q)


@in_double
def igamma(b: Builder, a: Value, x: Value) -> Value:
    """The share of the gamma distribution with shape a that lies below x."""
    return both(b, a, x)[0]


@in_double
def igammac(b: Builder, a: Value, x: Value) -> Value:
    """The share of the gamma distribution with shape a that lies above x."""
    return both(b, a, x)[1]


@in_double
def gamma_density(b: Builder, a: Value, x: Value) -> Value:
    """x^(a - 1) exp(-x) / gamma(a), the derivative of igamma by x."""
    inside = (x > 0.0) & (x < INFINITY) & (a > 0.0) & (a < INFINITY)
    safe_a, safe_x = b.select(inside, a, 1.0), b.select(inside, x, 1.0)
    value = density(b, safe_a, safe_x) * (safe_a / safe_x)
    at_zero = b.select(a < 1.0, b.const(INFINITY, float64), b.select(a.eq(1.0), 1.0, 0.0 * a))
    edge = b.select(x.eq(0.0), at_zero, b.select(x.eq(INFINITY), 0.0 * a, NAN))
    return b.select(inside, value, edge)


@in_double
def gamma_slope(b: Builder, a: Value, x: Value) -> Value:
    """How a gamma variable moves with its shape a at x, its share below held fixed:
    -(d igamma / d a) / (d igamma / d x).

    The series of igamma, differentiated term by term, over the density: no exponential is left.
    Above a = 5e4 Wilson and Hilferty's approximation.

    Source: Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients" (2018).
    """
    inside = (a > 0.0) & (x > 0.0) & (x < INFINITY)
    large = a > LARGE_SHAPE
    safe_a, safe_x = b.select(inside & ~large, a, 1.0), b.select(inside & ~large, x, 1.0)

    def turn(k: Value, term: Value, level: Value, total: Value) -> tuple[Value, ...]:
        total = b.fma(term, level, total)
        k = k + 1.0
        term = term * (safe_x / k)
        level = level + 1.0 / k
        return (level < 0.0) | (b.abs(term * level) > b.abs(total) * EPSILON), k, term, level, total

    level = digamma_positive(b, safe_a + 1.0) - log(b, safe_x)
    series = b.repeat(TURNS, turn, safe_a, safe_x / safe_a, level, safe_x * 0.0)[3]
    wide = b.select(large, a, LARGE_SHAPE)
    root = pow_(b, b.select(large & inside, x, LARGE_SHAPE) / wide, b.const(1 / 3, float64))
    ninth = 1.0 / (wide * 9.0)
    far = root * root * (root + (ninth - (root - 1.0 + ninth) * 0.5) * 3.0)
    edge = b.select((a > 0.0) & x.eq(0.0), b.const(0.0, float64), NAN)
    return b.select(inside, b.select(large, far, series), edge)
