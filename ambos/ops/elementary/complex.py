"""Functions of complex numbers x + iy as scalar code: `f(b, x, y)` gives both parts.

float32 parts are computed in float64 and rounded once. Zeros keep their signs, so that each side
of a branch cut has its own values, and infinities give what C99's Annex G says.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float64
from ambos.ops.elementary import exponential, hyperbolic, inverse_hyperbolic, logarithm
from ambos.ops.elementary.distance import by_size, is_finite, is_infinite, number, size
from ambos.ops.elementary.inverse_trigonometric import atan2
from ambos.ops.elementary.trigonometric import cos as real_cos
from ambos.ops.elementary.trigonometric import sin as real_sin
from ambos.ops.elementary.trigonometric import tan as real_tan

Parts = tuple[Value, Value]
Rule = Callable[..., Parts]
INF, NAN = math.inf, math.nan
FAR, STEP = 700.0, math.exp(700.0)  # beyond FAR e**x is e**(x - FAR) * STEP


def in_float64(rule: Rule) -> Rule:
    """`rule`, for float32 in float64."""

    def widened(b: Builder, *parts: Value) -> Parts:
        own = parts[0].dtype
        u, v = rule(b, *(b.convert(part, float64) for part in parts))
        return b.convert(u, own), b.convert(v, own)

    widened.__name__, widened.__doc__ = rule.__name__, rule.__doc__
    return widened


# --- helpers, all in float64 ---------------------------------------------------------------------


def circle(b: Builder, y: Value) -> Parts:
    """(cos y, sin y); NaN for an infinite angle."""
    y = b.select(is_finite(b, y), y, number(b, NAN))
    return real_cos(b, y), real_sin(b, y)


# --- arithmetic ----------------------------------------------------------------------------------


def divide(b: Builder, x: Value, y: Value, u: Value, v: Value) -> Parts:
    """(x + iy) / (u + iv): Smith's, with the larger part of the divisor taken out."""
    wide = b.abs(u) >= b.abs(v)
    large, small = b.select(wide, u, v), b.select(wide, v, u)
    first, second = b.select(wide, x, y), b.select(wide, y, x)
    nothing = large.eq(0.0)
    ratio = b.select(nothing, number(b, 0.0), small / large)
    divisor = b.select(nothing, b.abs(large), b.fma(small, ratio, large))
    real = b.select(nothing, first, b.fma(second, ratio, first)) / divisor
    imag = b.select(nothing, second, b.fma(-first, ratio, second)) / divisor
    return real, b.select(wide, imag, -imag)


def sign(b: Builder, x: Value, y: Value) -> Parts:
    """z / |z|, and 0 at 0; an infinite part leaves no room for a finite one."""
    endless = is_infinite(b, x) | is_infinite(b, y)
    x, y = (
        b.select(endless, b.copysign(b.select(is_infinite(b, part), one, 0.0), part), part)
        for one in (number(b, 1.0),) for part in (x, y)
    )  # fmt: skip
    high, _ = by_size(b, x, y)
    nothing = x.eq(0.0) & y.eq(0.0)
    high = b.select(nothing, number(b, 1.0), high)
    x, y = x / high, y / high
    length = b.select(nothing, number(b, 1.0), b.sqrt(b.fma(x, x, y * y)))
    zero = number(b, 0.0)
    return b.select(nothing, zero, x / length), b.select(nothing, zero, y / length)


def sqrt(b: Builder, x: Value, y: Value) -> Parts:
    """The square root with a real part >= 0; the cut is the negative real axis."""
    high, _ = by_size(b, x, y)
    huge, tiny = high > 2.0**1000, high < 2.0**-1000
    one = number(b, 1.0)
    scale = b.select(huge, number(b, 2.0**-4), b.select(tiny, number(b, 2.0**60), one))
    root = b.select(huge, number(b, 2.0**2), b.select(tiny, number(b, 2.0**-30), one))
    a, c = x * scale, y * scale
    large = b.sqrt((b.abs(a) + size(b, a, c)) * 0.5)
    small = b.select(large.eq(0.0), number(b, 0.0), b.abs(c) / (large * 2.0))
    large, small = large * root, small * root
    behind = x < 0.0
    real, imag = b.select(behind, small, large), b.select(behind, large, small)
    endless = is_infinite(b, y)
    real = b.select(endless, number(b, INF), real)
    return real, b.copysign(b.select(endless, number(b, INF), imag), y)


# --- exponentials --------------------------------------------------------------------------------


def _powers(b: Builder, x: Value) -> tuple[Value, Value]:
    """e**x as a product of two: neither overflows before the result of a factor < 1 would."""
    far = x > FAR
    return (
        exponential.exp(b, b.select(far, x - FAR, x)),
        b.select(far, number(b, STEP), number(b, 1.0)),
    )


def exp(b: Builder, x: Value, y: Value) -> Parts:
    """e**z."""
    power, more = _powers(b, x)
    cosine, sine = circle(b, y)
    real, imag = power * cosine * more, power * sine * more
    imag = b.select(y.eq(0.0), y, imag)
    real = b.select(y.eq(0.0), power * more, real)
    lost = ~is_finite(b, y)
    real = b.select(lost & x.eq(INF), number(b, INF), real)
    gone = lost & x.eq(-INF)
    zero = number(b, 0.0)
    return b.select(gone, zero, real), b.select(gone, zero, imag)


def expm1(b: Builder, x: Value, y: Value) -> Parts:
    """e**z - 1 without cancellation near 0; at 0 the real part is 0, never -0."""
    cosine, sine = circle(b, y)
    _, half = circle(b, y * 0.5)
    real = (exponential.expm1(b, x) * cosine + 0.0) - half * half * 2.0
    imag = b.select(y.eq(0.0), y, exponential.exp(b, x) * sine)
    lost = ~is_finite(b, y)
    real = b.select(lost & x.eq(INF), number(b, INF), real)
    gone = lost & x.eq(-INF)
    return b.select(gone, number(b, -1.0), real), b.select(gone, number(b, 0.0), imag)


def _logarithm(b: Builder, x: Value, y: Value, excess: Value, near: Value) -> Value:
    """log |x + iy|; where `near`, of a number whose square is 1 + excess."""
    high, low = by_size(b, x, y)
    nothing = x.eq(0.0) & y.eq(0.0)
    ratio = b.select(nothing, number(b, 0.0), low / high)
    rest = logarithm.log1p(b, b.select(near, excess, ratio * ratio)) * 0.5
    found = b.select(near, rest, logarithm.log(b, high) + rest)
    endless = is_infinite(b, x) | is_infinite(b, y)
    return b.select(endless, number(b, INF), found)


def log(b: Builder, x: Value, y: Value) -> Parts:
    """Natural logarithm; the cut is the negative real axis."""
    high, low = by_size(b, x, y)
    near = (high > 0.5) & (high < 2.0)
    excess = b.fma(low, low, (high - 1.0) * (high + 1.0))
    return _logarithm(b, x, y, excess, near), atan2(b, y, x)


def log1p(b: Builder, x: Value, y: Value) -> Parts:
    """log(1 + z) without cancellation near 0."""
    moved = x + 1.0
    high, low = by_size(b, moved, y)
    close = (b.abs(x) < 0.5) & (b.abs(y) < 0.5)
    near = close | ((high > 0.5) & (high < 2.0))
    far_excess = b.fma(low, low, (high - 1.0) * (high + 1.0))
    excess = b.select(close, b.fma(y, y, x * (x + 2.0)), far_excess)
    return _logarithm(b, moved, y, excess, near), atan2(b, y, moved)


def power(b: Builder, x: Value, y: Value, u: Value, v: Value) -> Parts:
    """z**w = e**(w log z); z**0 is 1, z**1 is z, z**2 is z * z, and 0**w is 0 for real w > 0."""
    size_log, angle = log(b, x, y)
    straight = v.eq(0.0)
    real = b.select(straight, u * size_log, u * size_log - v * angle)
    imag = b.select(straight, u * angle, u * angle + v * size_log)
    p, q = exp(b, real, imag)
    zero, one, nan = number(b, 0.0), number(b, 1.0), number(b, NAN)
    nothing = x.eq(0.0) & y.eq(0.0)
    of_zero = b.select(straight & (u > 0.0), zero, nan)
    p, q = b.select(nothing, of_zero, p), b.select(nothing, of_zero, q)
    for exponent, (real, imag) in (
        (2.0, (x * x - y * y, x * y + y * x)), (1.0, (x, y)), (0.0, (one, zero))
    ):  # fmt: skip
        hit = straight & u.eq(exponent)
        p, q = b.select(hit, real, p), b.select(hit, imag, q)
    return p, q


# --- hyperbolic and trigonometric functions ------------------------------------------------------


def _hyperbolic_pair(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """sinh x and cosh x, and a factor that both still want."""
    a = b.abs(x)
    far = a > FAR
    half = exponential.exp(b, a - FAR) * 0.5
    sine = b.select(far, b.copysign(half, x), hyperbolic.sinh(b, x))
    more = b.select(far, number(b, STEP), number(b, 1.0))
    return sine, b.select(far, half, hyperbolic.cosh(b, x)), more


def sinh(b: Builder, x: Value, y: Value) -> Parts:
    """Hyperbolic sine."""
    odd, even, more = _hyperbolic_pair(b, x)
    cosine, sine = circle(b, y)
    lost = ~is_finite(b, y)
    real = b.select(y.eq(0.0), odd * more, odd * cosine * more)
    real = b.select(lost & (x.eq(0.0) | is_infinite(b, x)), x, real)
    return real, b.select(y.eq(0.0), y, even * sine * more)


def cosh(b: Builder, x: Value, y: Value) -> Parts:
    """Hyperbolic cosine."""
    odd, even, more = _hyperbolic_pair(b, x)
    cosine, sine = circle(b, y)
    lost = ~is_finite(b, y)
    real = b.select(y.eq(0.0), even * more, even * cosine * more)
    real = b.select(lost & is_infinite(b, x), number(b, INF), real)
    zero = b.copysign(number(b, 0.0), x) * b.copysign(number(b, 1.0), y)
    on_axis = x.eq(0.0) & (lost | y.eq(0.0)) | y.eq(0.0)
    return real, b.select(on_axis, zero, odd * sine * more)


def tanh(b: Builder, x: Value, y: Value) -> Parts:
    """Hyperbolic tangent. At infinity the imaginary zero has the sign of y (Array API), where C99
    lets the angle choose.

    Source: Kahan, "Branch cuts for complex elementary functions" (1987)."""
    finite = is_finite(b, y)
    slope = real_tan(b, b.select(finite, y, number(b, NAN)))
    cosine, sine = circle(b, y)
    a = b.abs(x)
    far = a > 20.0
    odd = hyperbolic.sinh(b, b.select(far, number(b, 0.0), x))
    beta = b.fma(slope, slope, 1.0)
    divisor = b.fma(beta * odd, odd, 1.0)
    real = beta * b.sqrt(b.fma(odd, odd, 1.0)) * odd / divisor
    decay = sine * cosine * 4.0 * exponential.exp(b, a * -2.0)
    decay = b.select(a.eq(INF), b.copysign(number(b, 0.0), y), decay)
    real = b.select(far, b.copysign(number(b, 1.0), x), real)
    real = b.select(~finite & (a < INF), number(b, NAN), real)
    real = b.select(x.eq(0.0), x, real)
    imag = b.select(far, decay, slope / divisor)
    return real, b.select(y.eq(0.0), y, imag)


# --- their inverses ------------------------------------------------------------------------------

LARGE = 2.0**1020


def _is_large(b: Builder, x: Value, y: Value) -> Value:
    return (b.abs(x) > LARGE) | (b.abs(y) > LARGE)


def _log_of_double(b: Builder, x: Value, y: Value) -> Value:
    """log |2z| of a large z."""
    return logarithm.log(b, size(b, x * 0.5, y * 0.5)) + 2.0 * math.log(2.0)


def acos(b: Builder, x: Value, y: Value) -> Parts:
    """Arc cosine; cuts beyond -1 and 1 on the real axis.

    Source: Kahan, "Branch cuts for complex elementary functions" (1987)."""
    p, q = sqrt(b, 1.0 - x, -y)
    u, v = sqrt(b, x + 1.0, y)
    large = _is_large(b, x, y)
    real = b.select(large, atan2(b, b.abs(y), x), atan2(b, p, u) * 2.0)
    real = b.select(x.eq(0.0) & y.ne(y), number(b, math.pi / 2), real)
    far = b.copysign(_log_of_double(b, x, y), -y)
    return real, b.select(large, far, inverse_hyperbolic.asinh(b, u * q - v * p))


def acosh(b: Builder, x: Value, y: Value) -> Parts:
    """Inverse hyperbolic cosine; the cut is the real axis below 1."""
    p, q = sqrt(b, x - 1.0, y)
    u, v = sqrt(b, x + 1.0, y)
    large = _is_large(b, x, y)
    real = b.select(large, _log_of_double(b, x, y), inverse_hyperbolic.asinh(b, p * u + q * v))
    imag = b.select(large, atan2(b, y, x), atan2(b, q, u) * 2.0)
    return real, b.select(x.eq(0.0) & y.ne(y), number(b, math.pi / 2), imag)


def asinh(b: Builder, x: Value, y: Value) -> Parts:
    """Inverse hyperbolic sine; cuts beyond -i and i on the imaginary axis."""
    p, q = sqrt(b, y + 1.0, -x)
    u, v = sqrt(b, 1.0 - y, x)
    large = _is_large(b, x, y)
    far = b.copysign(_log_of_double(b, x, y), x)
    real = b.select(large, far, inverse_hyperbolic.asinh(b, p * v - u * q))
    near = atan2(b, y, p * u - q * v)
    return real, b.select(y.eq(0.0), y, b.select(large, atan2(b, y, b.abs(x)), near))


def atanh(b: Builder, x: Value, y: Value) -> Parts:
    """Inverse hyperbolic tangent; cuts beyond -1 and 1 on the real axis."""
    behind = b.copysign(number(b, 1.0), x) < 0.0
    a, c = b.abs(x), b.select(behind, -y, y)
    tall = b.abs(c)
    large = (a > 2.0**510) | (tall > 2.0**510)
    half = size(b, a * 0.5, tall * 0.5)
    far = b.select(half.eq(INF), number(b, 0.0), a * 0.25 / half / half)
    rest = 1.0 - a
    close = a.eq(1.0) & (tall < 2.0**-511)
    gap = b.fma(rest, rest, tall * tall)
    real = logarithm.log1p(b, a * 4.0 / gap) * 0.25
    edge = logarithm.log(b, b.sqrt(size(b, tall, number(b, 2.0))) / b.sqrt(tall))
    real = b.select(large, far, b.select(close, edge, real))
    angle = atan2(b, c * 2.0, rest * (a + 1.0) - tall * tall) * 0.5
    angle = b.select(large, b.copysign(number(b, math.pi / 2), c), angle)
    angle = b.select(a.eq(1.0) & tall.eq(0.0), c, angle)
    angle = b.select(c.ne(c) | (a.ne(a) & (tall < INF)), number(b, NAN), angle)
    real = b.select(a.eq(0.0), a, real)
    return b.select(behind, -real, real), b.select(behind, -angle, angle)


def turned(rule: Rule) -> Rule:
    """-i f(iz): sin, tan, asin and atan of their hyperbolic sisters."""

    def function(b: Builder, x: Value, y: Value) -> Parts:
        u, v = rule(b, -y, x)
        return v, -u

    return function


def cos(b: Builder, x: Value, y: Value) -> Parts:
    """Cosine."""
    return cosh(b, -y, x)


def rsqrt(b: Builder, x: Value, y: Value) -> Parts:
    """1 / sqrt(z)."""
    return divide(b, number(b, 1.0), number(b, 0.0), *sqrt(b, x, y))


RULES: dict[str, Rule] = {
    "acos": acos, "acosh": acosh, "asin": turned(asinh), "asinh": asinh, "atan": turned(atanh),
    "atanh": atanh, "cos": cos, "cosh": cosh, "divide": divide, "exp": exp, "expm1": expm1,
    "log": log, "log1p": log1p, "power": power, "rsqrt": rsqrt, "sign": sign,
    "sin": turned(sinh), "sinh": sinh, "sqrt": sqrt, "tan": turned(tanh), "tanh": tanh,
}  # fmt: skip
