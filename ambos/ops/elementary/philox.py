"""Counter-based random bits and the distributions made of them.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011
(Philox4x32-10); Box and Muller, Ann. Math. Statist. 29 (1958).
"""

from __future__ import annotations

from ambos.core.builder import Builder, Value
from ambos.core.dtype import DType, float32, float64, int32, uint32, uint64
from ambos.ops.elementary.logarithm import log
from ambos.ops.elementary.trigonometric import cosine_and_sine_of_turn

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

Words = tuple[Value, Value, Value, Value]


def philox(
    b: Builder,
    key0: Value,
    key1: Value,
    counter_lo: Value,
    counter_hi: Value,
    stream_lo: Value | None = None,
    stream_hi: Value | None = None,
) -> Words:
    """128 random bits for a 64-bit key, a 64-bit counter and a 64-bit stream number (0).

    Dtypes: all uint32.
    """
    zero = b.const(0, uint32)
    x0, x1 = counter_lo, counter_hi
    x2, x3 = stream_lo or zero, stream_hi or zero
    for _ in range(ROUNDS):
        high0, low0 = b.mul_high(x0, b.const(MULTIPLIERS[0], uint32)), x0 * MULTIPLIERS[0]
        high1, low1 = b.mul_high(x2, b.const(MULTIPLIERS[1], uint32)), x2 * MULTIPLIERS[1]
        x0, x1, x2, x3 = high1 ^ x1 ^ key0, low1, high0 ^ x3 ^ key1, low0
        key0, key1 = key0 + KEY_STEPS[0], key1 + KEY_STEPS[1]
    return x0, x1, x2, x3


def uniform_float32(b: Builder, bits: Value) -> Value:
    """The upper 24 of 32 random bits as a multiple of 2^-24 in [0, 1)."""
    return b.convert(b.bitcast(bits >> 8, int32), float32) * 2.0**-24


def uniform_float64(b: Builder, hi: Value, lo: Value) -> Value:
    """The upper 53 of 64 random bits as a multiple of 2^-53 in [0, 1)."""
    return _whole(b, hi) * 2.0**-32 + _whole(b, lo >> 11) * 2.0**-53


def normal_pair(b: Builder, bits0: Value, bits1: Value, dtype: DType) -> tuple[Value, Value]:
    """Two independent standard normal numbers from 64 random bits; never inf or nan.

    The radius is that of the uniform number (bits0 + 1/2) 2^-32, which keeps all its bits where
    it is small: the tails reach 6.76. The angle is (bits1 + 1/2) 2^-32 of a turn (float64), bits1
    2^-32 (float32).

    Dtypes: uint32 bits; `dtype` float32 or float64.
    """
    if dtype is float32:
        uniform, turn = _upper_and_lower(b, bits0) * 2.0**-32, bits1
    else:
        uniform = (_whole(b, bits0) + 0.5) * 2.0**-32
        turn = (b.convert(bits1, uint64) << 32) | (1 << 31)
    radius = b.sqrt(b.abs(log(b, uniform) * 2.0))
    cosine, sine = cosine_and_sine_of_turn(b, turn)
    return radius * cosine, radius * sine


def normal(b: Builder, bits0: Value, bits1: Value, dtype: DType) -> Value:
    """The first of `normal_pair`."""
    return normal_pair(b, bits0, bits1, dtype)[0]


def _whole(b: Builder, word: Value) -> Value:
    """A uint32 as float64, set as the low bits of 2^52 (AVX2 converts signed integers only)."""
    return b.bitcast(b.convert(word, uint64) | (1075 << 52), float64) - 2.0**52


def _upper_and_lower(b: Builder, word: Value) -> Value:
    """A uint32 plus 1/2 as float32, rounded once."""
    upper = b.convert(b.bitcast(word >> 16, int32), float32)
    lower = b.convert(b.bitcast(word & 0xFFFF, int32), float32)
    return upper * 65536.0 + (lower + 0.5)
