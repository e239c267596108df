"""exp, expm1 and sigmoid.

x = n ln 2 + r with |r| <= ln(2)/2, exp(x) = 2**n (1 + r + r^2 Q(r)); Q is minimax.
"""

from __future__ import annotations

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float32
from ambos.ops.elementary.formats import (
    Format,
    at_least,
    at_most,
    format_of,
    horner,
    scale_by_power,
)

LOG2_E = 1.4426950408889634

# Q for float32 results (relative error 2^-28) and float64 (2^-61.7).
Q_SINGLE = (0.49999994, 0.1666652, 0.041668445, 0.0083687855, 0.0013809424)
Q_DOUBLE = (
    0.5, 0.16666666666666677, 0.041666666666666484, 0.008333333333321523, 0.0013888888888977209,
    0.00019841269886470186, 2.4801587140334814e-05, 2.7557243799280374e-06, 2.755743243276652e-07,
    2.5109200308478243e-08, 2.086546868980371e-09,
)  # fmt: skip
# For float64 arithmetic that serves a float32 result (2^-34).
Q_SHORT = (
    0.5000000066837851, 0.1666666581632121, 0.04166629610665293, 0.008333511639395663,
    0.0013944645915735538, 0.00019781300808605786,
)  # fmt: skip
# Q where 1 + is not there to hide its error (expm1).
Q_SINGLE_M1 = (0.5, 0.16666666, 0.04166636, 0.008333402, 0.0013940788, 0.00019837398)


def reduce(b: Builder, form: Format, x: Value) -> tuple[Value, Value, Value]:
    """(n + magic, n, x - n ln2_high), the last exact."""
    shifted = b.fma(x, LOG2_E, form.magic)
    n = shifted - form.magic
    return shifted, n, b.fma(n, -form.ln2_high, x)


def remainder(b: Builder, form: Format, x: Value) -> tuple[Value, Value]:
    """(n + magic, r)."""
    shifted, n, high = reduce(b, form, x)
    return shifted, b.fma(n, -form.ln2_low, high)


def growth(b: Builder, r: Value, coefficients: tuple[float, ...]) -> Value:
    """exp(r) - 1 for a reduced r, to an error relative to 1."""
    return b.fma(r * r, horner(b, r, coefficients), r)


def exp(b: Builder, x: Value) -> Value:
    """e**x. Overflows to infinity, underflows gradually; exp(-inf) = 0.

    Source: the method of Tang, ACM TOMS 15 (1989), without a table.
    """
    form = format_of(x)
    single = x.dtype is float32
    x = at_least(b, at_most(b, x, 89.0 if single else 710.0), -104.0 if single else -746.0)
    shifted, r = remainder(b, form, x)
    return scale_by_power(b, form, growth(b, r, Q_SINGLE if single else Q_DOUBLE), shifted)


def expm1(b: Builder, x: Value) -> Value:
    """e**x - 1 without cancellation near 0; the sign of zero is kept.

    2**n (1 + r + q) - 1 = (first - 1/second + first r + first q) second, with
    2**n = first second: no intermediate overflows, and what r lost in rounding is added to q.
    """
    form = format_of(x)
    single = x.dtype is float32
    clamped = at_least(b, at_most(b, x, 89.0 if single else 710.0), -18.0 if single else -38.0)
    shifted, n, high = reduce(b, form, clamped)
    r = b.fma(n, -form.ln2_low, high)
    lost = b.fma(n, -form.ln2_low, high - r)
    q = b.fma(r * r, horner(b, r, Q_SINGLE_M1 if single else Q_DOUBLE), lost)
    bits = b.bitcast(shifted, form.unsigned)
    half = bits >> 1
    rest = bits - half
    first = b.bitcast(half << form.fraction, form.dtype)
    second = b.bitcast(rest << form.fraction, form.dtype)
    inverse = b.bitcast((2 * form.bias - rest) << form.fraction, form.dtype)
    y = b.fma(first, q, b.fma(first, r, first - inverse))
    return b.copysign(y * second, x)


def sigmoid(b: Builder, x: Value) -> Value:
    """1 / (1 + e**-x) without overflow, its small values as exact as its large ones.

    t / (1 + t) or 1 / (1 + t) with t = e**-|x|, and what rounding took from 1 + t and from the
    quotient q given back: 1 / (1 + t) is 1 - q or q.
    """
    one = b.const(1.0, x.dtype)
    tail = exp(b, -b.abs(x))
    total = one + tail
    lost = tail - (total - one)
    below = x < 0.0
    top = b.select(below, tail, one)
    quotient = top / total
    rest = b.fma(-quotient, lost, b.fma(-quotient, total, top))
    return b.fma(rest, b.select(below, one - quotient, quotient), quotient)
