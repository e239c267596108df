"""The normal distribution's functions: erfc, erfcx, ndtr, log_ndtr and the quantiles.

Tails are exp(-x^2) times the smooth erfcx, with x^2 as a product and what its rounding lost, so
that the relative error stays small until the result underflows.
"""

from __future__ import annotations

import math

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float32
from ambos.ops.elementary.error_function import erf
from ambos.ops.elementary.exponential import exp
from ambos.ops.elementary.formats import at_most, format_of, horner, in_double, two_product
from ambos.ops.elementary.logarithm import log, log1p

INFINITY = float("inf")
SQRT_HALF = math.sqrt(0.5)

# (1 + 2 x) exp(x^2) erfc(x) for x >= 0, in t = (x - 4) / (x + 4)
ERFCX = (
    1.2329951186255526, -0.1396211168405625, 0.015379652102619604, 0.0680970542546904,
    -0.10103906603630056, 0.09373283499843826, -0.06633036581218697, 0.03716751553592911,
    -0.016197734059799265, 0.005031969992669933, -0.0007577732613730956, -0.0001992567757633648,
    0.0001506214900124047, -2.4398944545280832e-05, -1.1221287012353486e-05, 5.709206053072183e-06,
    2.919733377963012e-07, -8.249198427508354e-07, 7.746992727017941e-08, 1.1009737295274889e-07,
    -2.05606492756992e-08, -1.4709550868669278e-08, 3.1695881915648173e-09, 1.7903326159489847e-09,
    -2.659599690242689e-10, -1.374652989001164e-10,
)  # fmt: skip
# quantile(1/2 + y) = y M(y^2) for |y| <= 0.35
MIDDLE = (
    2.5066282746310007, 2.624934990953719, 5.7725335386325645, 15.667608953532934,
    47.035789894451625, 149.8294317856014, 496.3103838981986, 1687.2538209308993,
    6009.682818485445, 15447.456176832351, 232680.46252685247, -3405324.392075536,
    67436737.49562243, -936325204.5565085, 10367731461.816597, -87923248014.30669,
    566033986528.0403, -2668612367036.509, 8739290745746.473, -17806863942037.848,
    17272830794216.59,
)  # fmt: skip
# erfinv(x) / x - 1 in w = -log(1 - x^2) up to 5; erfinv(x) / x - 2 for sqrt(w) in [sqrt(5), 4.08],
# where float32 ends, in (sqrt(w) - 3.158...) / 0.9219...
NEAR_SINGLE = (
    -0.1137730792, 0.2320138203, 0.0115486077, -0.002334153665, -0.0001276641491, 4.468665032e-05,
    3.937692e-06, -1.96675013e-06, 2.199320416e-07, -8.73983098e-09,
)  # fmt: skip
FAR_SINGLE = (
    0.99148446, 0.925808288, 0.00556619709, -0.00378179775, 0.00244274572, -0.00151966717,
    0.000764104458, -0.000192445035, -7.56531604e-05, 5.46890261e-05,
)  # fmt: skip
# -quantile(p) for p <= 0.15 in r = sqrt(-log p): on [1.37, 3.2] in (r - 2.285) / 0.915, on
# [3.2, 8] in (r - 5.6) / 2.4, on [8, 27.4] in (r - 17.7) / 9.7
TAIL_NEAR = (
    2.549058485994462, 1.4582616955950565, -0.04660459521329953, 0.014149198854683076,
    -0.0044712603768486585, 0.0014543241478238553, -0.0004841801962066312, 0.0001644264206510939,
    -5.680812308753742e-05, 1.9921704743614094e-05, -7.076513136485739e-06, 2.541435805910456e-06,
    -9.211894147898452e-07, 3.3659956971566175e-07, -1.2411560485052907e-07, 4.597493794737103e-08,
    -1.667698927726736e-08, 6.190134110443939e-09, -2.7690377655229523e-09, 1.0723346244611936e-09,
    -1.0902075952830596e-10, 2.9440268343083896e-11, -1.239671362484282e-10, 4.926275240796159e-11,
)  # fmt: skip
TAIL_FAR = (
    7.537151829585815, 3.5066104949894297, -0.03782381473275595, 0.013407767061569155,
    -0.004893520544668752, 0.0018198391294065683, -0.0006857960220052021, 0.00026103814810102076,
    -0.00010015840677630199, 3.868847632079499e-05, -1.5032026253658282e-05, 5.871231705160225e-06,
    -2.3034862362227338e-06, 9.079521360849059e-07, -3.6126947484720146e-07,
    1.4387164302207205e-07, -5.4543315182972145e-08, 2.15370657637192e-08, -1.1644458791559865e-08,
    4.906695842177524e-09, 1.8980889460803363e-13, -8.562794193824782e-11, -7.208223981669577e-10,
    3.08500107431066e-10,
)  # fmt: skip
TAIL_LAST = (
    24.86587839307819, 13.787058585783605, -0.03209081815997415, 0.015498000674429264,
    -0.0076516022887410055, 0.0038315523018351907, -0.0019378484776757425, 0.0009873989411468083,
    -0.0005060325130136106, 0.0002605433367144004, -0.00013466036099080373, 6.982849215404958e-05,
    -3.630777598300192e-05, 1.8889930701003704e-05, -9.854064472436654e-06, 5.25523172844756e-06,
    -2.778746785668596e-06, 1.2311841135705752e-06, -6.034272567587177e-07, 6.835728577131421e-07,
    -4.1257745211549583e-07, -2.009716577795231e-07, 1.4981586199593665e-07,
    2.5164272263020037e-07, -1.568017828414844e-07, -8.905033256875917e-08, 5.475888697021305e-08,
    2.39106226953761e-08, -1.3761986323453636e-08,
)  # fmt: skip


def scaled_tail(b: Builder, size: Value) -> Value:
    """exp(x^2) erfc(x) for a float64 x >= 0."""
    limited = at_most(b, size, 1e30)
    t = (limited - 4.0) / (limited + 4.0)
    return horner(b, t, ERFCX) / b.fma(size, 2.0, 1.0)


def bell(b: Builder, x: Value, factor: float, sign: float) -> Value:
    """exp(sign factor x^2) for a float64 x and a factor of 1 or 1/2."""
    square, lost = two_product(b, x, x)
    power = exp(b, square * (sign * factor))
    exact = b.fma(power, lost * (sign * factor), power)
    # Where the power overflows or x^2 does, what was lost times it may be no number.
    return b.select((square < 2000.0) & (power < INFINITY), exact, power)


@in_double
def erfcx(b: Builder, x: Value) -> Value:
    """exp(x^2) erfc(x)."""
    scaled = scaled_tail(b, b.abs(x))
    grown = bell(b, x, 1.0, 1.0)
    return b.select(x < 0.0, grown - (scaled - grown), scaled)


@in_double
def erfc(b: Builder, x: Value) -> Value:
    """1 - erf(x), to full accuracy in the right tail."""
    size = b.abs(x)
    tail = bell(b, x, 1.0, -1.0) * scaled_tail(b, size)
    outer = b.select(x < 0.0, 2.0 - tail, tail)
    return b.select(size < 0.5, 1.0 - erf(b, x), outer)


@in_double
def ndtr(b: Builder, x: Value) -> Value:
    """The share of the standard normal distribution below x."""
    size = b.abs(x) * SQRT_HALF
    tail = bell(b, x, 0.5, -1.0) * scaled_tail(b, size) * 0.5
    outer = b.select(x < 0.0, tail, 1.0 - tail)
    return b.select(size < 0.5, b.fma(erf(b, x * SQRT_HALF), 0.5, 0.5), outer)


@in_double
def log_ndtr(b: Builder, x: Value) -> Value:
    """log(ndtr(x)), which for negative x does not underflow."""
    upper = log1p(b, -ndtr(b, -x))
    scaled = scaled_tail(b, b.abs(x) * SQRT_HALF)
    lower = b.fma(x * x, -0.5, log(b, scaled * 0.5))
    return b.select(x < -0.5, lower, upper)


@in_double
def ndtri(b: Builder, p: Value) -> Value:
    """The x below which a share p of the standard normal distribution lies."""
    y = p - 0.5
    tail = b.select(p < 0.5, p, 1.0 - p)
    outer = b.copysign(tail_quantile(b, tail), y)
    return b.select(b.abs(y) <= 0.35, y * horner(b, y * y, MIDDLE), outer)


def erfinv(b: Builder, x: Value) -> Value:
    """The y with erf(y) = x."""
    format_of(x)
    return (_erfinv_single if x.dtype is float32 else _erfinv_double)(b, x)


def _erfinv_single(b: Builder, x: Value) -> Value:
    size = b.abs(x)
    w = -log(b, b.fma(size, -size, 1.0))
    root = at_most(b, b.sqrt(w), 4.08)
    near = horner(b, w, NEAR_SINGLE)
    far = horner(b, (root - 3.158033988749895) * (1 / 0.9219660112501051), FAR_SINGLE)
    rest = b.select(size.eq(1.0), INFINITY, b.select(w < 5.0, near, far))
    return b.copysign(b.fma(size, rest, b.select(w < 5.0, size, size + size)), x)


def _erfinv_double(b: Builder, x: Value) -> Value:
    size = b.abs(x)
    outer = b.copysign(tail_quantile(b, (1.0 - size) * 0.5) * SQRT_HALF, x)
    middle = x * (horner(b, x * x * 0.25, MIDDLE) * (0.5 * SQRT_HALF))
    return b.select(size <= 0.7, middle, outer)


def tail_quantile(b: Builder, p: Value) -> Value:
    """-ndtri(p) for p <= 0.15; below 0 nan."""
    r = b.sqrt(-log(b, p))
    last = horner(b, (at_most(b, r, 30.0) - 17.7) * (1 / 9.7), TAIL_LAST)
    far = horner(b, (at_most(b, r, 30.0) - 5.6) * (1 / 2.4), TAIL_FAR)
    near = horner(b, (at_most(b, r, 30.0) - 2.285) * (1 / 0.915), TAIL_NEAR)
    y = b.select(r < 3.2, near, b.select(r < 8.0, far, last))
    return b.select(p.eq(0.0), INFINITY, y)
