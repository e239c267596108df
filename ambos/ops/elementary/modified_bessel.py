"""The modified Bessel functions of order 0 and 1, as they are and scaled by exp(-|x|) or exp(x).

Near 0 the power series, economised; far from it sqrt(x) times the scaled function is smooth in 1/x.
"""

from __future__ import annotations

from ambos.core.builder import Builder, Value
from ambos.ops.elementary.exponential import exp
from ambos.ops.elementary.formats import at_most, horner, in_double
from ambos.ops.elementary.logarithm import log

INFINITY, NAN = float("inf"), float("nan")
# i0(x) = 1 + z N(z), i1(x) = x N(z) for x <= 8, z = (x / 2)^2
I0_NEAR = (
    1.0, 0.25, 0.02777777777777776, 0.0017361111111111472, 6.944444444440464e-05,
    1.929012345705477e-06, 3.9367598879866713e-08, 6.151187361529503e-10, 7.594057682348557e-12,
    7.594070059407229e-14, 6.275948418499916e-16, 4.359500965631964e-18, 2.57222775316605e-20,
    1.3440601080501642e-22, 5.061657142057408e-25, 3.549417367166656e-27,
)  # fmt: skip
I1_NEAR = (
    0.5, 0.25000000000000006, 0.04166666666666652, 0.003472222222222537, 0.00017361111111076488,
    5.7870370372672036e-06, 1.377865960195671e-07, 2.4604749609213436e-09, 3.41732564445728e-11,
    3.797039320285957e-13, 3.45172928890184e-15, 2.61599843465541e-17, 1.6704911387502787e-19,
    9.45548985936766e-22, 3.7059648150431345e-24, 2.917359791578084e-26,
)  # fmt: skip
# sqrt(x) exp(-x) i(x) in t = 16 / x - 1 for x >= 8
I0_FAR = (
    0.4021765094450081, 0.0033605519836678614, 0.0001362160743919305, 1.1143033790932038e-05,
    1.4838475658279249e-06, 2.9735985885673923e-07, 8.872219737904054e-08, 3.932584334552952e-08,
    2.1548377974791598e-08, 7.554691881248808e-09, -6.747657956107524e-09, -1.340891754008974e-08,
    -5.404771567579958e-09, 7.552583062123384e-09, 7.430464650325426e-09, -3.505966530879332e-09,
    -5.95356943826489e-09, 1.5200816953924232e-09, 3.6379546359011143e-09, -5.715843864202709e-10,
    -1.618980683624682e-09, 1.5279202694981569e-10, 4.577087631643623e-10, -2.0260604287413626e-11,
    -6.067631570603006e-11,
)  # fmt: skip
I1_FAR = (
    0.38939845902587233, -0.00974957719323576, -0.00021923576383388928, -1.503854719814553e-05,
    -1.8349101326980946e-06, -3.4838565069237384e-07, -1.0001288294864884e-07,
    -4.312811174972107e-08, -2.337392820814264e-08, -8.436290430234562e-09, 6.734464815301592e-09,
    1.4076395500755014e-08, 5.974437608040264e-09, -7.778592763970399e-09, -7.888351507862078e-09,
    3.7219797447255018e-09, 6.242741219786445e-09, -1.8736450470066097e-09, -3.794670896208339e-09,
    9.568523624905203e-10, 1.6848984479705146e-09, -4.086984233473255e-10, -4.758818838703853e-10,
    1.161813630287145e-10, 6.305965197150057e-11, -1.5626599071977848e-11,
)  # fmt: skip
# k0(x) = N(z) - log(x / 2) i0(x), k1(x) = 1 / x + log(x / 2) i1(x) + x N(z) for x <= 2
K0_NEAR = (
    -0.5772156649015329, 0.42278433509846713, 0.23069608377461678, 0.03489215745643879,
    0.002614787618806128, 0.00011848039363681394, 3.612624115646468e-06, 7.935094199459153e-08,
    1.3167764728810739e-09, 1.707930426160688e-11, 1.8721781991385982e-13,
)  # fmt: skip
K1_NEAR = (
    0.03860783245076643, -0.16819608377461678, -0.04539379174021391, -0.004795547459832635,
    -0.00027883987299167083, -1.035561922299689e-05, -2.6788647904872714e-07,
    -5.113214027825665e-09, -7.505239362807853e-11, -8.731097260720392e-13, -8.639615125877285e-15,
)  # fmt: skip
# sqrt(x) exp(x) k(x) in t = 4 / x - 1 for x >= 2
K0_FAR = (
    1.2185953385133905, -0.03107146182488952, 0.0030328918102753206, -0.0004797690567662314,
    9.95605474202942e-05, -2.4735204561466906e-05, 7.002245645755651e-06, -2.191177788015528e-06,
    7.427801232190096e-07, -2.6890662472901614e-07, 1.02954317593912e-07, -4.133923052104385e-08,
    1.7047535884249698e-08, -7.286380907337665e-09, 3.808399859919043e-09, -1.9309444875845705e-09,
    4.757544705776374e-11, 1.7887095838476482e-10, 8.133913205464114e-10, -5.541051446065683e-10,
    -3.119936129682105e-10, 2.213758097591008e-10, 1.0926983537268735e-10, -6.910453875670571e-11,
)  # fmt: skip
K1_FAR = (
    1.363151890371342, 0.10334973775386523, -0.005566729880074588, 0.0007357241549081501,
    -0.00013959021956272223, 3.284386555825453e-05, -8.961207387750025e-06, 2.730041433569803e-06,
    -9.067087633371393e-07, 3.2298119177151824e-07, -1.2203186351938403e-07,
    4.8461952200091865e-08, -1.9817577141591116e-08, 8.40938756536177e-09, -4.331939985658629e-09,
    2.1757782025837176e-09, -8.336227195991456e-11, -1.7982138496175016e-10,
    -8.908596710923906e-10, 6.042482293782838e-10, 3.3867804167808003e-10, -2.399376595899464e-10,
    -1.1931668393112158e-10, 7.52479548635394e-11,
)  # fmt: skip


def quarter_square(b: Builder, x: Value, bound: float) -> Value:
    """(x / 2)^2 for an x that is at most `bound`."""
    half = at_most(b, x, bound) * 0.5
    return half * half


def i0_near(b: Builder, x: Value) -> Value:
    """i0 of 0 <= x <= 8."""
    z = quarter_square(b, x, 8.0)
    return b.fma(z, horner(b, z, I0_NEAR), 1.0)


def i1_near(b: Builder, x: Value) -> Value:
    """i1 of 0 <= x <= 8."""
    return x * horner(b, quarter_square(b, x, 8.0), I1_NEAR)


def beyond(b: Builder, x: Value, start: float, coefficients: tuple[float, ...]) -> Value:
    """F(2 start / x - 1) / sqrt(x) for x >= start."""
    safe = b.select(x < start, start, x)
    return horner(b, 2.0 * start / safe - 1.0, coefficients) / b.sqrt(safe)


def grow(b: Builder, scaled: Value, x: Value) -> Value:
    """scaled exp(x), which overflows only if the result does."""
    half = exp(b, x * 0.5)
    return (scaled * half) * half


@in_double
def i0(b: Builder, x: Value) -> Value:
    """The modified Bessel function of the first kind of order 0."""
    size = b.abs(x)
    return b.select(size > 8.0, grow(b, beyond(b, size, 8.0, I0_FAR), size), i0_near(b, size))


@in_double
def i0e(b: Builder, x: Value) -> Value:
    """exp(-|x|) i0(x)."""
    size = b.abs(x)
    return b.select(size > 8.0, beyond(b, size, 8.0, I0_FAR), i0_near(b, size) * exp(b, -size))


@in_double
def i1(b: Builder, x: Value) -> Value:
    """The modified Bessel function of the first kind of order 1."""
    size = b.abs(x)
    far = grow(b, beyond(b, size, 8.0, I1_FAR), size)
    return b.copysign(b.select(size > 8.0, far, i1_near(b, size)), x)


@in_double
def i1e(b: Builder, x: Value) -> Value:
    """exp(-|x|) i1(x)."""
    size = b.abs(x)
    far = beyond(b, size, 8.0, I1_FAR)
    return b.copysign(b.select(size > 8.0, far, i1_near(b, size) * exp(b, -size)), x)


def k0_near(b: Builder, x: Value) -> Value:
    """k0 of 0 <= x <= 2."""
    series = horner(b, quarter_square(b, x, 2.0), K0_NEAR)
    return series - log(b, x * 0.5) * i0_near(b, x)


def k1_near(b: Builder, x: Value) -> Value:
    """k1 of 0 < x <= 2."""
    series = x * horner(b, quarter_square(b, x, 2.0), K1_NEAR)
    return 1.0 / x + b.fma(log(b, x * 0.5), i1_near(b, x), series)


def ends(b: Builder, x: Value, y: Value) -> Value:
    """y, with k's limits: infinite at 0, nan below."""
    return b.select(x.eq(0.0), INFINITY, b.select(x < 0.0, NAN, y))


@in_double
def k0(b: Builder, x: Value) -> Value:
    """The modified Bessel function of the second kind of order 0."""
    far = beyond(b, x, 2.0, K0_FAR) * exp(b, -x)
    return ends(b, x, b.select(x > 2.0, far, k0_near(b, x)))


@in_double
def k0e(b: Builder, x: Value) -> Value:
    """exp(x) k0(x)."""
    near = k0_near(b, x) * exp(b, at_most(b, x, 2.0))
    return ends(b, x, b.select(x > 2.0, beyond(b, x, 2.0, K0_FAR), near))


@in_double
def k1(b: Builder, x: Value) -> Value:
    """The modified Bessel function of the second kind of order 1."""
    far = beyond(b, x, 2.0, K1_FAR) * exp(b, -x)
    return ends(b, x, b.select(x > 2.0, far, k1_near(b, x)))


@in_double
def k1e(b: Builder, x: Value) -> Value:
    """exp(x) k1(x)."""
    near = k1_near(b, x) * exp(b, at_most(b, x, 2.0))
    return ends(b, x, b.select(x > 2.0, beyond(b, x, 2.0, K1_FAR), near))
