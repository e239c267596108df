"""Constants, and the limits of dtypes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ambos.core.dtype import DType, as_dtype
from ambos.core.errors import DTypeError
from ambos.tensor.names import public

pi, e, inf, nan, newaxis = math.pi, math.e, math.inf, math.nan, None
DIGITS = {"float16": (10, 15), "bfloat16": (7, 127), "float32": (23, 127), "float64": (52, 1023)}


@dataclass(frozen=True, slots=True)
class FloatLimits:
    """Of a floating dtype: machine epsilon, largest and smallest finite, smallest normal."""

    dtype: DType
    bits: int
    eps: float
    max: float
    min: float
    tiny: float
    smallest_normal: float
    smallest_subnormal: float


@dataclass(frozen=True, slots=True)
class IntegerLimits:
    """Of an integer dtype: the lowest and the highest value."""

    dtype: DType
    bits: int
    min: int
    max: int


@public
def finfo(dtype: Any) -> FloatLimits:
    """Limits of a floating dtype (or of a tensor's); of a complex one those of its parts.

    Example:
        >>> import ambos as am
        >>> am.finfo(am.float32).eps
        1.1920928955078125e-07
    """
    found = as_dtype(getattr(dtype, "dtype", dtype)).part
    if found.name not in DIGITS:
        raise DTypeError(f"finfo: got {found.name}; need a floating dtype: use iinfo")
    fraction, exponent = DIGITS[found.name]
    eps, tiny = 2.0**-fraction, 2.0 ** (1 - exponent)
    largest = (2.0 - eps) * 2.0**exponent
    return FloatLimits(found, found.bits, eps, largest, -largest, tiny, tiny, tiny * eps)


@public
def iinfo(dtype: Any) -> IntegerLimits:
    """Limits of an integer dtype (or of a tensor's)."""
    found = as_dtype(getattr(dtype, "dtype", dtype))
    if not found.is_integer:
        raise DTypeError(f"iinfo: got {found.name}; need an integer dtype: use finfo")
    return IntegerLimits(found, found.bits, int(found.min), int(found.max))


__all__ = ["finfo", "iinfo"]
