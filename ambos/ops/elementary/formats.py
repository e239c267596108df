"""What the algorithms need to know of a floating format, and the small exact steps they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps

from ambos.core.builder import Builder, Value
from ambos.core.dtype import DType, float32, float64, uint32, uint64
from ambos.core.errors import DTypeError

PI = 3.141592653589793
HALF_PI = 1.5707963267948966
HALF_PI_LOW = 6.123233995736766e-17  # pi/2 - HALF_PI
QUARTER_PI = 0.7853981633974483


@dataclass(frozen=True, slots=True)
class Format:
    """An IEEE binary format.

    `magic` added to a number rounds it to an integer n that then stands in the low bits of the
    sum; `magic - n` is exact again. It is offset by twice the exponent bias, so that shifting
    those bits up gives powers of two without any further addition (`scale_by_power`).
    """

    dtype: DType
    unsigned: DType
    fraction: int  # stored fraction bits
    bias: int
    ln2_high: float  # ln 2 with enough trailing zeros that n * ln2_high is exact
    ln2_low: float

    @property
    def magic(self) -> float:
        return 1.5 * 2.0**self.fraction + 2 * self.bias

    @property
    def one_bits(self) -> int:
        return self.bias << self.fraction

    @property
    def fraction_mask(self) -> int:
        return (1 << self.fraction) - 1

    @property
    def min_normal(self) -> float:
        return 2.0 ** (1 - self.bias)


SINGLE = Format(float32, uint32, 23, 127, 0.693145751953125, 1.4286068203094172e-06)
DOUBLE = Format(float64, uint64, 52, 1023, 0.6931471803691238, 1.9082149292705877e-10)


def format_of(x: Value) -> Format:
    """The format of `x`.

    Errors: DTypeError for anything but float32 and float64 (halves are computed in float32).
    """
    if x.dtype is float32:
        return SINGLE
    if x.dtype is float64:
        return DOUBLE
    raise DTypeError(f"elementary function: got {x.dtype}; need float32 or float64; cast first")


def in_double(rule: Callable[..., Value]) -> Callable[..., Value]:
    """A rule written for float64; float32 is computed in float64 and rounded once."""

    @wraps(rule)
    def either(b: Builder, *values: Value) -> Value:
        dtype = format_of(values[0]).dtype
        return b.convert(rule(b, *[b.convert(value, float64) for value in values]), dtype)

    return either


def horner(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """c[0] + c[1] x + c[2] x^2 + ..., from the highest power down."""
    total = b.fma(x, coefficients[-1], coefficients[-2])
    for coefficient in reversed(coefficients[:-2]):
        total = b.fma(total, x, coefficient)
    return total


def at_most(b: Builder, x: Value, bound: float) -> Value:
    """min(x, bound); NaN stays. Written so that it becomes one machine instruction."""
    return b.select(x > bound, bound, x)


def at_least(b: Builder, x: Value, bound: float) -> Value:
    """max(x, bound); NaN stays."""
    return b.select(x < bound, bound, x)


def power_of_two(b: Builder, form: Format, shifted: Value) -> Value:
    """2**n for `shifted` = n + magic; n must give a normal number."""
    bits = b.bitcast(shifted, form.unsigned) - form.bias
    return b.bitcast(bits << form.fraction, form.dtype)


def scale_by_power(b: Builder, form: Format, t: Value, shifted: Value, less: int = 0) -> Value:
    """(1 + t) * 2**(n - less) in two steps: overflow and gradual underflow come out."""
    bits = b.bitcast(shifted, form.unsigned)
    if less:
        bits = bits - less
    half = bits >> 1
    first = b.bitcast(half << form.fraction, form.dtype)
    second = b.bitcast((bits - half) << form.fraction, form.dtype)
    return b.fma(t, first, first) * second


def two_product(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """x * y as a rounded product and what the rounding lost."""
    product = x * y
    return product, b.fma(x, y, -product)
