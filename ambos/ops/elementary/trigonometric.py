"""sin, cos and tan.

x = n pi/2 + r with |r| <= pi/4; the low bits of n choose sine or cosine and the sign. pi/2 is cut
into parts (Cody and Waite 1980) and subtracted by fma (float32) or in parts so short that
n * part is exact (float64), which keeps r accurate next to the multiples of pi too. Past the range
of that, float32 arguments are multiplied by as many bits of 2/pi as matter (Payne and Hanek 1983),
where there are any; of float64 beyond 1e8 the result still lies in [-1, 1] but means nothing.
"""

from __future__ import annotations

from itertools import pairwise

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float32, float64, int32, uint32, uint64
from ambos.ops.elementary.formats import (
    DOUBLE,
    HALF_PI,
    HALF_PI_LOW,
    at_least,
    at_most,
    format_of,
    horner,
)

TWO_OVER_PI = 0.6366197723675814
FAR = 2.0**16  # from where on the parts of pi/2 are too short, in float32
TWO_OVER_PI_BITS = (  # behind nine zeros: from the place of 2^9 on
    0x00517CC1, 0xB727220A, 0x94FE13AB, 0xE8FA9A6E, 0xE06DB14A,
    0xCC9E21C8, 0x20FF28B1,
)  # fmt: skip
# Parts above 0, so that n = 0 keeps the sign of -0.
PARTS_SINGLE = (1.570796251296997, 7.549789415861596e-08, 5.390302529957765e-15)
PARTS_DOUBLE = (  # 27 bits each, the rest
    1.570796325802803, 9.920935184482005e-10, 6.123233932053594e-17, 6.36831716351095e-25,
)  # fmt: skip
# sin(r) = r + r z S(z), cos(r) = 1 - z/2 + z^2 C(z), tan(r) = r + r z T(z), z = r^2
S_SINGLE = (-0.16666655, 0.008332176, -0.00019516978)
C_SINGLE = (0.041666646, -0.0013887364, 2.4438092e-05)
S_DOUBLE = (
    -0.16666666666666666, 0.008333333333333323, -0.00019841269841255064, 2.7557319214187974e-06,
    -2.5052104910920075e-08, 1.6058366539690177e-10, -7.578693406715423e-13,
)  # fmt: skip
C_DOUBLE = (
    0.0416666666666666, -0.0013888888888874066, 2.480158728944382e-05, -2.7557314340756244e-07,
    2.0875721636562456e-09, -1.1359559976562905e-11,
)  # fmt: skip
T_SHORT = (
    0.33333349891158975, 0.13332658409156475, 0.05406049622039957, 0.021279094240099595,
    0.010844075280491115, 7.876371270975976e-05, 0.004381731384043373,
)  # fmt: skip


def sin(b: Builder, x: Value) -> Value:
    """Sine of x radians; of an infinity nan."""
    if x.dtype is float32:
        return sine_or_cosine(b, *reduce_single(b, x))
    high, low, bits = reduce_double(b, x)
    return sine_or_cosine_double(b, high, low, bits)


def cos(b: Builder, x: Value) -> Value:
    """Cosine of x radians; of an infinity nan."""
    if x.dtype is float32:
        r, quadrant = reduce_single(b, x)
        return sine_or_cosine(b, r, quadrant + 1)
    high, low, bits = reduce_double(b, x)
    return sine_or_cosine_double(b, high, low, bits + 1)


def tan(b: Builder, x: Value) -> Value:
    """Tangent of x radians; of an infinity nan. float32 is computed in float64."""
    if x.dtype is not float32:
        high, low, bits = reduce_double(b, x)
        sine = sine_or_cosine_double(b, high, low, bits)
        return sine / sine_or_cosine_double(b, high, low, bits + 1)
    r, quadrant = reduce_wide(b, x)
    r = bounded(b, r)
    z = r * r
    y = b.copysign(b.fma(r * z, horner(b, z, T_SHORT), r), r)
    odd = (quadrant & 1).ne(0)
    one = b.const(1.0, float64)
    y = b.select(odd, -one, y) / b.select(odd, y, one)
    return b.convert(y, float32)


# --- reduction -----------------------------------------------------------------------------------


def bounded(b: Builder, r: Value, bound: float = 0.7861) -> Value:
    """Keeps a meaningless remainder of a huge argument in range; nan stays."""
    return at_least(b, at_most(b, r, bound), -bound)


def reduce_single(b: Builder, x: Value) -> tuple[Value, Value]:
    """(r, n modulo 4 in the low bits) of a float32 x. The first step is exact, and by fma each
    other one rounds once, relative to what is left."""
    shifted = b.fma(x, TWO_OVER_PI, 1.5 * 2.0**23)
    n = shifted - 1.5 * 2.0**23
    r = b.fma(n, -PARTS_SINGLE[0], x)
    r = b.fma(n, -PARTS_SINGLE[1], r)
    r = b.fma(n, -PARTS_SINGLE[2], r)

    def turn(_: Value, __: Value) -> tuple[Value, Value, Value]:
        far, quadrant = reduce_far(b, x)
        return x.ne(x), b.convert(far, float32), quadrant

    return tuple(b.repeat(1, turn, r, b.bitcast(shifted, uint32), only=is_far(b, x)))


def reduce_wide(b: Builder, x: Value) -> tuple[Value, Value]:
    """(r as float64, n modulo 2^32) of a float32 x."""
    wide = b.convert(x, float64)
    shifted = b.fma(wide, TWO_OVER_PI, 1.5 * 2.0**52)
    n = shifted - 1.5 * 2.0**52
    r = b.fma(n, -HALF_PI_LOW, b.fma(n, -HALF_PI, wide))

    def turn(_: Value, __: Value) -> tuple[Value, Value, Value]:
        return x.ne(x), *reduce_far(b, x)

    quadrant = b.convert(b.bitcast(shifted, uint64), uint32)
    return tuple(b.repeat(1, turn, r, quadrant, only=is_far(b, x)))


def is_far(b: Builder, x: Value) -> Value:
    """Is a float32 too large for the parts of pi/2? Infinities are not: they give nan there."""
    size = b.abs(x)
    return (size >= FAR) & (size < float("inf"))


def reduce_far(b: Builder, x: Value) -> tuple[Value, Value]:
    """(r as float64, n modulo 4) of a float32 x from 2^16 on: |x| is m 2^e for a whole m, and of
    2/pi only 96 bits from the place 2^(1 - e) on matter to m 2^e 2/pi modulo 4."""
    word = b.bitcast(x, uint32)
    place = ((word >> 23) & 0xFF) - 143
    m = (word & 0x7FFFFF) | 0x800000
    first, shift = place >> 5, place & 31
    words = []
    for start in range(4):
        found = b.const(TWO_OVER_PI_BITS[start + 3], uint32)
        for skipped in (2, 1, 0):
            other = b.const(TWO_OVER_PI_BITS[start + skipped], uint32)
            found = b.select(first.eq(skipped), other, found)
        words.append(found)
    high, middle, low = [(one << shift) | ((other >> 1) >> (31 - shift))
                         for one, other in pairwise(words)]  # fmt: skip
    # The upper 64 of 96 bits of m times these: n, of two bits, and r in units of 2^-62 quarters.
    carried = b.mul_high(m, low)
    under = m * middle + carried
    over = m * high + b.mul_high(m, middle) + b.select(under < carried, b.const(1, uint32), 0)
    quadrant = (over + (1 << 29)) >> 30
    whole = b.convert(b.bitcast((over << 2) | (under >> 30), int32), float64)
    r = b.fma(b.convert(under << 2, float64), 2.0**-32, whole) * (HALF_PI * 2.0**-32)
    below = x < 0.0
    return b.select(below, -r, r), b.select(below, 4 - quadrant, quadrant)


def reduce_double(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """(high, low, n in the low bits) of a float64 x; r = high + low."""
    shifted = x * TWO_OVER_PI + 1.5 * 2.0**52
    n = shifted - 1.5 * 2.0**52
    first = x - n * PARTS_DOUBLE[0]
    product = n * PARTS_DOUBLE[1]
    second = first - product
    low = (first - second) - product
    product = n * PARTS_DOUBLE[2]
    third = second - product
    low = (low + ((second - third) - product)) - n * PARTS_DOUBLE[3]
    high = b.select(n.eq(0.0), x, bounded(b, third + low))  # keeps the sign of zero
    low = bounded(b, (third - high) + low, 1e-15)
    return high, low, b.bitcast(shifted, uint64)


# --- kernels on [-pi/4, pi/4] --------------------------------------------------------------------


def sine_and_cosine(b: Builder, r: Value) -> tuple[Value, Value]:
    """Both, for a reduced float32 r."""
    z = r * r
    sine = b.copysign(b.fma(r * z, horner(b, z, S_SINGLE), r), r)
    cosine = b.fma(z * z, horner(b, z, C_SINGLE), b.fma(z, -0.5, 1.0))
    return sine, cosine


def sine_and_cosine_double(b: Builder, r: Value, low: Value) -> tuple[Value, Value]:
    """Both, for a reduced float64 r + low."""
    z = r * r
    half = z * 0.5
    cube = r * z
    sine = r + (cube * horner(b, z, S_DOUBLE) + (low - low * half))
    head = 1.0 - half
    cosine = head + (((1.0 - head) - half) + (z * z * horner(b, z, C_DOUBLE) - r * low))
    return b.copysign(sine, r), cosine


def pick(b: Builder, sine: Value, cosine: Value, quadrant: Value) -> Value:
    """sin(r + quadrant pi/2) from sin(r) and cos(r); quadrant is as wide as the results."""
    form = format_of(sine)
    magnitude = b.select((quadrant & 1).eq(0), sine, cosine)
    sign = (quadrant & 2) << (form.dtype.bits - 2)
    return b.bitcast(b.bitcast(magnitude, form.unsigned) ^ sign, form.dtype)


def sine_or_cosine(b: Builder, r: Value, quadrant: Value) -> Value:
    """sin(r + quadrant pi/2) in float32."""
    return pick(b, *sine_and_cosine(b, r), quadrant)


def sine_or_cosine_double(b: Builder, r: Value, low: Value, quadrant: Value) -> Value:
    """sin(r + low + quadrant pi/2) in float64."""
    return pick(b, *sine_and_cosine_double(b, r, low), quadrant)


def cosine_and_sine_of_turn(b: Builder, bits: Value) -> tuple[Value, Value]:
    """cos and sin of 2 pi bits / 2^width for uint32 (float32) or uint64 (float64) `bits`.

    The reduction is integer arithmetic, hence exact: the bits below the quadrant's two, read as
    a signed number, are the distance to the nearest quarter of a turn.
    """
    width = bits.dtype.bits
    quadrant = (bits + (1 << (width - 3))) >> (width - 2)
    if bits.dtype is uint32:
        part = b.convert(b.bitcast(bits << 2, int32), float32) * 2.0**-32
        sine, cosine = sine_and_cosine(b, part * HALF_PI)
    else:
        fraction = ((bits << 2) + (1 << 63)) >> (64 - DOUBLE.fraction)
        part = b.bitcast(fraction | DOUBLE.one_bits, float64) - 1.5
        sine, cosine = sine_and_cosine_double(b, part * HALF_PI, b.const(0.0, float64))
    return pick(b, sine, cosine, quadrant + 1), pick(b, sine, cosine, quadrant)
