"""a * b + c rounded once, by operations of NumPy (an argument), which has no such operation."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

Array = Any  # NumPy's


def fused_multiply_add(np: Any, a: Array, b: Array, c: Array) -> Array:
    """a * b + c, rounded once.

    float32 goes through float64, where the product is exact and the sum is rounded to odd, so that
    rounding it again is correct. float64 does the same with pairs of float64 (Boldo and
    Melquiond, IEEE Trans. Computers 57, 2008), and goes through exact fractions where a part of
    these might overflow or vanish.

    Example:
        >>> import numpy as np
        >>> x = np.float32(1 + 2**-12)
        >>> fused_multiply_add(np, x, x, np.float32(-1)) == np.float32(2**-11 + 2**-24)
        np.True_
    """
    a, b, c = np.broadcast_arrays(a, b, c)
    with np.errstate(all="ignore"):
        if a.dtype == np.float32:
            product, addend = a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)
            return _odd_sum(np, product, addend).astype(np.float32)
        if a.dtype == np.float64:
            return _double(np, a, b, c)
        return np.asarray(a * b + c)


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum and what the rounding lost (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded product and what the rounding lost (Dekker)."""
    product = a * b
    scaled_a, scaled_b = a * 134217729.0, b * 134217729.0
    high_a, high_b = scaled_a - (scaled_a - a), scaled_b - (scaled_b - b)
    low_a, low_b = a - high_a, b - high_b
    lost = ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b
    return product, lost


def _odd_sum(np: Any, a: Array, b: Array) -> Array:
    """a + b rounded to odd: an inexact result gets an odd last bit."""
    total, error = _two_sum(a, b)
    bits = total.view(np.int64)
    inexact = np.isfinite(total) & (error != 0) & ((bits & 1) == 0)
    # Both neighbours are odd; the exact sum lies on the side of the error.
    step = np.where((error > 0) == (total > 0), 1, -1)
    return np.asarray(bits + inexact * step).view(np.float64)


def _double(np: Any, a: Array, b: Array, c: Array) -> Array:
    high, low = _two_product(a, b)
    first, rest = _two_sum(c, low)
    total, more = _two_sum(high, first)
    result = np.asarray(total + _odd_sum(np, rest, more))
    # Nothing can overflow or vanish on the way where all three sizes are moderate.
    size, product = np.abs(c), np.abs(high)
    safe = (product > 2.0**-400) & (product < 2.0**400) & (size < 2.0**400)
    safe &= (np.maximum(np.abs(a), np.abs(b)) < 2.0**400) & ((size > 2.0**-400) | (c == 0))
    if not safe.all():
        rest = ~safe
        result[rest] = _extreme(np, a[rest], b[rest], c[rest])
    return result


def _extreme(np: Any, a: Array, b: Array, c: Array) -> Array:
    """Where a number is zero, not finite, very large or very small."""
    size, product = np.abs(c), np.abs(a * b)
    finite = np.isfinite(a) & np.isfinite(b)
    trivial = (a == 0) | (b == 0) | ~finite | ~np.isfinite(c)
    # An infinite or much larger c is the result, even if the product alone would overflow.
    alone = finite & np.isinf(c) | (product < size * 2.0**-80) & (size > 2.0**-880)
    result = np.where(alone, c, a * b + c)
    hard = ~(trivial | alone)
    if hard.any():
        result[hard] = np.frompyfunc(_exact, 3, 1)(a[hard], b[hard], c[hard])
    return result


def _exact(a: float, b: float, c: float) -> float:
    total = Fraction(a) * Fraction(b) + Fraction(c)
    if total == 0:
        return a * b + c if c == 0 else 0.0  # the sign of zero
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf
