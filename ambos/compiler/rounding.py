"""Half precisions and the exact remainder: what the hardware of some targets does not have.

Everything here is integer and float arithmetic that every target has, so that all give the same
bits. A conversion to half precision rounds once, whatever it comes from: float64 and wide integers
go through float32 by rounding to odd, which a second rounding to fewer bits cannot betray
(Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
"""

from __future__ import annotations

import math
import struct

from ambos.compiler.loops import LANES
from ambos.compiler.values import Value, Writer
from ambos.core.dtype import (
    DType,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int64,
    uint16,
    uint32,
    uint64,
)

# --- numbers known when the code is generated ----------------------------------------------------


def _pack(code: str, number: float) -> bytes:
    try:
        return struct.pack(code, number)
    except OverflowError:
        return struct.pack(code, math.copysign(math.inf, number))


def _bfloat16_bits(number: float) -> int:
    """Bits of the nearest bfloat16: exact, because a float64 keeps the sticky bits."""
    if math.isnan(number):
        return 0x7FC0
    single = struct.unpack("<f", _pack("<f", number))[0]
    bits = int(struct.unpack("<I", struct.pack("<f", single))[0])
    if single != number and not bits & 1 and not math.isinf(single):  # round to odd instead
        bits += -1 if abs(single) > abs(number) else 1
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


def round_to(number: float, dtype: DType) -> float:
    """The nearest number of floating `dtype` (ties to even)."""
    if dtype is float64:
        return number
    if dtype is bfloat16:
        return float(struct.unpack("<f", struct.pack("<I", _bfloat16_bits(number) << 16))[0])
    code = "<f" if dtype is float32 else "<e"
    return float(struct.unpack(code, _pack(code, number))[0])


def stored_literal(number: float, dtype: DType) -> str:
    """The 16 bits of a half precision number, as an i16 literal."""
    if dtype is bfloat16:
        bits = _bfloat16_bits(number)
    else:
        bits = struct.unpack("<H", _pack("<e", number))[0]
    return str(bits - (1 << 16) if bits >> 15 else bits)


# --- half precision values -----------------------------------------------------------------------


def decode(b: Writer, bits: str, dtype: DType, vector: bool, depth: int) -> Value:
    """The half precision Value whose 16 bits are in the i16 register `bits`."""
    raw = b.value(bits, uint16, vector, depth)
    if dtype is bfloat16:
        single = b.bitcast(b.convert(raw, uint32) << 16, float32)
    else:
        kind = f"<{LANES} x " if vector else ""
        end = ">" if vector else ""
        half = b.pure(f"bitcast {kind}i16{end} {bits} to {kind}half{end}", depth)
        text = f"fpext {kind}half{end} {half} to {kind}float{end}"
        single = b.emit(text, float32, vector, depth)
    return b.value(single.text, dtype, vector, depth, stored=bits)


def encode(b: Writer, x: Value, dtype: DType) -> str:
    """The i16 register with float32 `x` rounded to `dtype`. NaN stays NaN."""
    if dtype is float16 and x.vector:
        half = b.pure(f"fptrunc <{LANES} x float> {x.text} to <{LANES} x half>", x.depth)
        return b.pure(f"bitcast <{LANES} x half> {half} to <{LANES} x i16>", x.depth)
    if dtype is float16:
        return _encode_half(b, x)
    bits = b.bitcast(x, uint32)
    rounded = bits + ((bits >> 16) & 1) + 0x7FFF
    quiet = bits | 0x400000
    return b.convert(b.select(x.ne(x), quiet, rounded) >> 16, uint16).text


def _encode_half(b: Writer, x: Value) -> str:
    """One float32 rounded to float16 by integers: of a scalar that came from float64, LLVM would
    make a single rounding, in a library function that a JIT does not have."""
    bits = b.bitcast(x, uint32)
    sign, size = bits & 0x80000000, bits & 0x7FFFFFFF
    normal = (size + (0xC8000FFF + ((size >> 13) & 1))) >> 13  # exponent bias 127 -> 15, to even
    # Adding 1/2 moves the last place of a float16 subnormal to that of a float32, which rounds.
    subnormal = b.bitcast(b.bitcast(size, float32) + 0.5, uint32) - 0x3F000000
    huge = b.select(size > 0x7F800000, b.const(0x7E00, uint32), b.const(0x7C00, uint32))
    half = b.select(size < 0x38800000, subnormal, normal)
    half = b.select(size >= 0x47800000, huge, half)
    return b.convert(half | (sign >> 16), uint16).text


def narrow(b: Writer, x: Value, dtype: DType) -> Value:
    """`x` (not itself half precision) rounded once to half precision `dtype`."""
    if x.dtype is bool_ or (x.dtype.is_integer and x.dtype.bits <= 16):
        x = b.convert(x, float32)
    elif x.dtype.is_integer:
        x = b.convert(_jam(b, x) if x.dtype.bits == 64 else x, float64)
    if x.dtype is float64:
        x = _round_to_odd(b, x)
    bits = encode(b, x, dtype)
    return decode(b, bits, dtype, x.vector, x.depth)


def _round_to_odd(b: Writer, x: Value) -> Value:
    """float64 to float32, where an inexact result is the neighbour whose last bit is 1."""
    near = b.convert(x, float32)
    back = b.convert(near, float64)
    bits = b.bitcast(near, uint32)
    beyond = b.abs(back) > b.abs(x)
    odd = b.select(beyond, bits - 1, bits + 1)
    wrong = b.fcmp("one", back, x) & (bits & 1).eq(0)
    return b.bitcast(b.select(wrong, odd, bits), float32)


def _jam(b: Writer, x: Value) -> Value:
    """A 64-bit integer with 16 low bits folded into one where float64 could not hold it."""
    low = (x & 0xFFFF).ne(0)
    jammed = (x & ~0xFFFF) | (b.convert(low, x.dtype) << 16)
    size = b.abs(x)
    large = b.icmp("ugt", size, b.const(1 << 40, x.dtype))
    return b.select(large, jammed, x)


def stored_bits(b: Writer, x: Value) -> str:
    """The i16 register with the bits of half precision `x`."""
    if x.stored is None:  # a constant or a float32 that is known to be representable
        x.stored = encode(b, b.widen(x), x.dtype)
    return x.stored


# --- remainder -----------------------------------------------------------------------------------

STEP = 50  # bits of the quotient that one turn may find; a float64 quotient must stay exact


def remainder(b: Writer, x: Value, y: Value) -> Value:
    """fmod in float64, exactly: long division, 50 bits of the quotient at a time.

    Each turn subtracts q * s with s = |y| * 2**k chosen such that q fits a float64; the fused
    multiply-add is exact because the result is a multiple of s's last place and below s.
    """
    size, divisor = b.abs(x), b.abs(y)
    base = _exponent(b, divisor)
    distance = _exponent(b, size) - base
    turns = b.largest(b.select(distance > 0, distance, 0)) / STEP + 2
    carried = [(size.type, size.text)]
    with b.loop("0", turns.text, 1, carried) as loop:
        rest = b.value(loop.inner[0], float64, x.vector, b.depth)
        excess = _exponent(b, rest) - base - STEP
        scaled = _scale(b, divisor, b.select(excess > 0, excess, 0))
        quotient = b.trunc(rest / scaled)
        rest = b.fma(-quotient, scaled, rest)
        rest = b.select(rest < 0.0, rest + scaled, rest)
        loop.next = [rest.text]
    rest = b.value(loop.outer[0], float64, x.vector, b.depth)
    infinity = b.const(math.inf, float64)
    rest = b.select(divisor.eq(infinity), size, rest)
    valid = (size < infinity) & (divisor > 0.0)  # false for NaN as well
    return b.copysign(b.select(valid, rest, b.const(math.nan, float64)), x)


def _exponent(b: Writer, x: Value) -> Value:
    """Exponent of a non-negative float64, subnormal numbers included, as int64."""
    tiny = x < 2.0**-1000
    bits = b.bitcast(b.select(tiny, x * 2.0**54, x), uint64)
    field = b.bitcast(bits >> 52, int64)
    return b.select(tiny, field - 54, field)


def _scale(b: Writer, x: Value, power: Value) -> Value:
    """x * 2**power for 0 <= power < 2100, in three exact steps (2**1023 is the largest factor)."""
    third = power / 3
    for part in (third, third, power - third * 2):
        x = x * b.bitcast((part + 1023) << 52, float64)
    return x
