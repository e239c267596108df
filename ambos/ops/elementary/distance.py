"""Distances: what would overflow is scaled by powers of two, which rounds nothing."""

from __future__ import annotations

import math

from ambos.core.builder import Builder, Value
from ambos.core.dtype import float64


def number(b: Builder, value: float) -> Value:
    return b.const(value, float64)


def is_finite(b: Builder, x: Value) -> Value:
    return b.abs(x) < math.inf


def is_infinite(b: Builder, x: Value) -> Value:
    return b.abs(x).eq(math.inf)


def by_size(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """The larger and the smaller of both magnitudes."""
    tall, wide = b.abs(x), b.abs(y)
    first = tall > wide
    return b.select(first, tall, wide), b.select(first, wide, tall)


def size(b: Builder, x: Value, y: Value) -> Value:
    """sqrt(x * x + y * y) in float64; infinite if either is."""
    high, _ = by_size(b, x, y)
    huge, tiny = high > 2.0**500, high < 2.0**-500
    one = number(b, 1.0)
    down = b.select(huge, number(b, 2.0**-600), b.select(tiny, number(b, 2.0**600), one))
    up = b.select(huge, number(b, 2.0**600), b.select(tiny, number(b, 2.0**-600), one))
    x, y = x * down, y * down
    found = b.sqrt(b.fma(x, x, y * y)) * up
    return b.select(is_infinite(b, x) | is_infinite(b, y), number(b, math.inf), found)


def hypot(b: Builder, x: Value, y: Value) -> Value:
    """sqrt(x * x + y * y); float32 is computed in float64, where nothing overflows."""
    return b.convert(size(b, b.convert(x, float64), b.convert(y, float64)), x.dtype)
