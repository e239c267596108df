"""The Bessel functions of order 0 and 1, and Airy's Ai.

Up to 8 polynomials in x^2 (entire functions, less the logarithms of the second kind); beyond it
Hankel's form, an amplitude and a phase that are smooth in 1/x^2. The absolute error is small
everywhere, the relative one not next to zeros. Phases come from sin and cos, with their range.
"""

from __future__ import annotations

import math

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float64
from ambos.ops.elementary.exponential import exp
from ambos.ops.elementary.formats import at_least, at_most, horner, in_double
from ambos.ops.elementary.gamma import eighth_square
from ambos.ops.elementary.logarithm import log
from ambos.ops.elementary.trigonometric import cos, sin

INFINITY, NAN = float("inf"), float("nan")
TWO_OVER_PI = 2 / math.pi
FAR = 8.0
# On [0, 8] in t = x^2 / 32 - 1: j0, j1 / x, y0 - (2 / pi) log(x) j0,
# (y1 - (2 / pi) (log(x) j1 - 1 / x)) / x
J0_NEAR = (
    0.04582966485981377, 0.9303012472958572, -0.6484692830871837, -0.8080888076696872,
    1.0383794611437211, -0.5074680458471, 0.14598884856759264, -0.028472718610882047,
    0.004058078989140991, -0.0004435459224311503, 3.8473197855944365e-05, -2.717749223632098e-06,
    1.5956109104549218e-07, -7.91532308295207e-09, 3.3634475788173604e-10, -1.243301171273326e-11,
    4.0037632815796753e-13,
)  # fmt: skip
J1_NEAR = (
    -0.05814382795599107, 0.08105866038589796, 0.15151665143806636, -0.2595948652859303,
    0.15858376432721838, -0.05474581821284722, 0.012456814392263375, -0.0020290394945705996,
    0.0002494945813597261, -2.404574865968694e-05, 1.8684526037206013e-06, -1.196708186787801e-07,
    6.431190177265836e-09, -2.943013798001659e-10, 1.1658972367678622e-11, -4.0045728425886457e-13,
)  # fmt: skip
Y0_NEAR = (
    -0.382250654459425, -0.8284358903604587, 1.6470964788745466, 0.14412632369302475,
    -1.0775477338215995, 0.6721770783431679, -0.21895747096171628, 0.046367047681375125,
    -0.00702574105727097, 0.000806158605961636, -7.279541882454115e-05, 5.3213188103997145e-06,
    -3.2185078445935923e-07, 1.6390875014077404e-08, -7.13046146536789e-10, 2.6926938054524057e-11,
    -8.840112096073101e-13,
)  # fmt: skip
Y1_NEAR = (
    0.07075985882118005, -0.24337743079193114, 0.02336757172099348, 0.23507209206669755,
    -0.19639839859930203, 0.07854786922242532, -0.01962875683311711, 0.0034224907399188495,
    -0.0004438173434420147, 4.467433012646365e-05, -3.601000022590458e-06, 2.3804930420514178e-07,
    -1.3153147367094951e-08, 6.169688029066965e-10, -2.499531546171249e-11, 8.760001143977853e-13,
)  # fmt: skip
# sqrt(pi x / 2) j = P cos(phase) - Q / x sin(phase), y likewise, in w = (8 / x)^2
P0_FAR = (
    1.0, -0.0010986328124987458, 2.7380883620060993e-05, -2.1839178876551594e-06,
    3.6201997728057504e-07, -1.0230311671096991e-07, 4.34227969135307e-08, -2.4254959952447294e-08,
    1.495392574597224e-08, -8.4245531125012e-09, 3.6629024015069136e-09, -1.0306604474712212e-09,
    1.3678396453154035e-10,
)  # fmt: skip
Q0_FAR = (
    -0.125, 0.0011444091796873365, -5.5446289465147684e-05, 6.590756860600262e-06,
    -1.4531829814761267e-06, 5.133570906433617e-07, -2.6478922263568564e-07, 1.843538090349326e-07,
    -1.5677304730654444e-07, 1.4288894650872777e-07, -1.2241061414683382e-07,
    8.857628756685947e-08, -4.963784611983632e-08, 1.9720271353980006e-08, -4.8818168031404315e-09,
    5.622734409772158e-10,
)  # fmt: skip
P1_FAR = (
    1.0, 0.0018310546874986734, -3.5203993242596556e-05, 2.5809940810959866e-06,
    -4.102909207541017e-07, 1.130795637698509e-07, -4.722297272919564e-08, 2.6103445624454773e-08,
    -1.5993920591911708e-08, 8.979116578314727e-09, -3.8963577460319895e-09,
    1.0950749104743827e-09, -1.4522620914321922e-10,
)  # fmt: skip
Q1_FAR = (
    0.375, -0.001602172851561833, 6.776768708959734e-05, -7.60471841885687e-06,
    1.6241295434990675e-06, -5.620973689356004e-07, 2.850541244091015e-07, -1.9324206387240833e-07,
    1.5502633969031966e-07, -1.2689770853949996e-07, 9.23831385054528e-08, -5.35072303069527e-08,
    2.223913580170946e-08, -5.785020086903281e-09, 7.00517879348399e-10,
)  # fmt: skip
# Ai on [-4, 2] in t = (x + 1) / 3; to the right in 2 r - 1, r = (2 / x)^(3 / 2); to the left as
# P(w) sin(phase) - Q(w) / zeta cos(phase), w = (4 / |x|)^3
AI_MIDDLE = (
    0.5355608832923521, -0.030481701349935626, -2.4100239748155845, 2.455746526840487,
    1.738934153074326, -4.358618303079226, 1.6884916282343785, 2.0518758776353496,
    -2.3728414078121514, 0.37669987589555093, 0.8528469041153786, -0.6132456082377535,
    0.01890359448929538, 0.18298767302715685, -0.09191078854232448, -0.0054118696981465516,
    0.02403276302266418, -0.008944418640254297, -0.001184352339191269, 0.002132680541395894,
    -0.000607494333250199, -0.00012179860438674328, 0.00013649715102700242, -3.029878356834699e-05,
    -8.205752997713773e-06, 6.643002448019765e-06, -1.1317719509106102e-06, -4.312697633089946e-07,
    2.46564165796707e-07, -1.9333978166435564e-08, -1.583914458741765e-08, 3.7409051787431165e-09,
)  # fmt: skip
AI_RIGHT = (
    0.983679282828043, -0.014613458724023217, 0.0014132014717029575, -0.0002278522136910503,
    4.846334053382966e-05, -1.2354390686945676e-05, 3.5878329689095155e-06,
    -1.1510261131203217e-06, 3.9970880001578955e-07, -1.4812065561005197e-07,
    5.8020341371436036e-08, -2.3820808462967335e-08, 9.984700470064157e-09, -4.334633626191562e-09,
    2.417112863971864e-09, -1.2787487327828507e-09, -7.598201853112061e-11, 2.0119706569032908e-10,
    6.200741512453467e-10, -4.349436323146175e-10, -2.499121453926284e-10, 1.8009401491463617e-10,
    8.420330221634052e-11, -5.4400006009749504e-11,
)  # fmt: skip
AI_LEFT_P = (
    1.0, -0.0013054741753454363, 7.125220352112208e-05, -1.2670157596645412e-05,
    4.7039426959006725e-06, -2.983568547952283e-06, 2.8561940875551968e-06, -3.676286485915798e-06,
    5.534430080113964e-06, -8.461174864540336e-06, 1.1779567895811718e-05, -1.3889553093944099e-05,
    1.3198930788938732e-05, -9.697663824457208e-06, 5.262225792411424e-06, -1.9755813037055922e-06,
    4.5677893126745243e-07, -4.8903222297295325e-08,
)  # fmt: skip
AI_LEFT_Q = (
    0.06944444444444445, -0.0013356934849613788, 0.00014349402133154705, -3.8136193071149646e-05,
    1.8852850397392938e-05, -1.495118679712605e-05, 1.732464515718583e-05, -2.7157026587001123e-05,
    5.2571785768274905e-05, -0.00011244854386098736, 0.00023905672672769598,
    -0.00046694373913157495, 0.0007964800875809984, -0.001148534764244183, 0.0013683146082107502,
    -0.001320358783032694, 0.0010103031865037056, -0.0005967232879817549, 0.00026174389381888554,
    -8.014491758127615e-05, 1.526984772307364e-05, -1.3615625486797254e-06,
)  # fmt: skip

Pair = tuple[Value, Value]


def series(b: Builder, x: Value, coefficients: tuple[float, ...]) -> Value:
    """The polynomial in x^2 / 32 - 1 for 0 <= x <= 8."""
    bounded = at_most(b, x, FAR)
    return horner(b, b.fma(bounded * bounded, 1 / 32, -1.0), coefficients)


def far(b: Builder, x: Value, p: tuple[float, ...], q: tuple[float, ...]) -> tuple[Value, ...]:
    """(P / sqrt(pi x), Q / (x sqrt(pi x)), sin x + cos x, sin x - cos x) for x >= 8."""
    safe = b.select(x < FAR, FAR, x)
    w = eighth_square(b, safe)
    size = 1.0 / b.sqrt(safe * math.pi)
    sine, cosine = sin(b, safe), cos(b, safe)
    return (
        horner(b, w, p) * size,
        horner(b, w, q) * size / safe,
        sine + cosine,
        sine - cosine,
    )


def j0_positive(b: Builder, x: Value) -> Value:
    """j0 of x >= 0."""
    p, q, plus, minus = far(b, x, P0_FAR, Q0_FAR)
    y = b.select(x > FAR, b.fma(p, plus, -(q * minus)), series(b, x, J0_NEAR))
    return b.select(x.eq(INFINITY), 0.0, y)


def j1_positive(b: Builder, x: Value) -> Value:
    """j1 of x >= 0."""
    p, q, plus, minus = far(b, x, P1_FAR, Q1_FAR)
    y = b.select(x > FAR, b.fma(p, minus, q * plus), x * series(b, x, J1_NEAR))
    return b.select(x.eq(INFINITY), 0.0, y)


@in_double
def j0(b: Builder, x: Value) -> Value:
    """The Bessel function of the first kind of order 0."""
    return j0_positive(b, b.abs(x))


@in_double
def j1(b: Builder, x: Value) -> Value:
    """The Bessel function of the first kind of order 1."""
    y = j1_positive(b, b.abs(x))
    return b.select(x < 0.0, -y, y)


def _second(b: Builder, x: Value, near: Value, away: Value) -> Value:
    y = b.select(x > FAR, away, near)
    y = b.select(x.eq(INFINITY), 0.0, y)
    return b.select(x.eq(0.0), -INFINITY, b.select(x < 0.0, NAN, y))


@in_double
def y0(b: Builder, x: Value) -> Value:
    """The Bessel function of the second kind of order 0; -inf at 0, nan below."""
    p, q, plus, minus = far(b, x, P0_FAR, Q0_FAR)
    logarithm = log(b, x) * TWO_OVER_PI
    near = b.fma(logarithm, series(b, x, J0_NEAR), series(b, x, Y0_NEAR))
    return _second(b, x, near, b.fma(p, minus, q * plus))


@in_double
def y1(b: Builder, x: Value) -> Value:
    """The Bessel function of the second kind of order 1; -inf at 0, nan below."""
    p, q, plus, minus = far(b, x, P1_FAR, Q1_FAR)
    logarithm = log(b, x) * TWO_OVER_PI
    near = x * b.fma(logarithm, series(b, x, J1_NEAR), series(b, x, Y1_NEAR))
    return _second(b, x, near - TWO_OVER_PI / x, b.fma(q, minus, -(p * plus)))


@in_double
def airy_ai(b: Builder, x: Value) -> Value:
    """Airy's function Ai."""
    size = at_least(b, b.abs(x), 2.0)
    root = b.sqrt(size)
    zeta = size * root * (2 / 3)
    scale = 1.0 / b.sqrt(root * math.pi)
    reach = 2.0 / size
    right = horner(b, reach * b.sqrt(reach) * 2.0 - 1.0, AI_RIGHT)
    right = right * exp(b, -zeta) * scale * 0.5
    distant = 4.0 / at_least(b, size, 4.0)
    w = distant * distant * distant
    phase = zeta + math.pi / 4
    swing = horner(b, w, AI_LEFT_P) * sin(b, phase)
    left = (swing - horner(b, w, AI_LEFT_Q) / zeta * cos(b, phase)) * scale
    bounded = at_least(b, at_most(b, x, 2.0), -4.0)
    middle = horner(b, (bounded + 1.0) * (1 / 3), AI_MIDDLE)
    y = b.select(x > 2.0, right, b.select(x < -4.0, left, middle))
    return b.select(b.abs(x).eq(INFINITY), b.const(0.0, float64), y)
