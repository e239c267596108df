"""2**x where softmax needs it: of numbers that are not positive, by fused multiply-adds."""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import float32
from ambos.ops.elementary.formats import at_least, format_of

# 2**r = 1 + r Q(r) for |r| <= 1/2, minimax; relative error 2^-28 (float32) and 2^-55 (float64).
Q_SINGLE = (
    0.6931472420692444, 0.24022652208805084, 0.055503103882074356, 0.009617692790925503,
    0.0013406643411144614, 0.00015594676369801164,
)  # fmt: skip
Q_DOUBLE = (
    0.6931471805599457, 0.24022650695910097, 0.05550410866479039, 0.009618129107607003,
    0.001333355815343997, 0.0001540353044157185, 1.5252727385189775e-05, 1.3215442675452854e-06,
    1.0180647660573069e-07, 7.072570394540799e-09, 4.0780717860928705e-10,
)  # fmt: skip


def exp2_flushed(b: Any, x: Any) -> Any:
    """2**x for x < 1, 0 where x < -126.5 (float64: -1022.5); 2**0 is exactly 1, NaN stays.

    `b` is a Builder that also has `fma`.
    """
    form = format_of(x)
    x = at_least(b, x, -float(form.bias))
    magic = 1.5 * 2.0**form.fraction + form.bias  # the sum's low bits are the biased exponent
    shifted = x + magic
    r = x - (shifted - magic)
    coefficients = Q_SINGLE if x.dtype is float32 else Q_DOUBLE
    y = b.const(coefficients[-1], x.dtype)
    for coefficient in (*coefficients[-2::-1], 1.0):
        y = b.fma(y, r, b.const(coefficient, x.dtype))
    return y * b.bitcast(b.bitcast(shifted, form.unsigned) << form.fraction, form.dtype)
