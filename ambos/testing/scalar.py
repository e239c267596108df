"""The oracle of scalar code: a Builder that computes with NumPy, lane by lane, bit for bit.

Whatever the compiler makes of a `lower` rule has to give these bits. bfloat16 values are held as
their uint16 bits. Half precisions are computed in float32 and rounded after each operation. On
bool `+` is or, `*` is and, `-` is exclusive or.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ambos.core.dtype import (
    DType,
    as_dtype,
    bfloat16,
    bool_,
    float32,
    float64,
    int64,
    uint32,
    uint64,
)
from ambos.core.errors import DTypeError
from ambos.ops.fused import fused_multiply_add

Array = npt.NDArray[Any]
Function = Callable[..., Any]

PART = 1 << 13  # lanes


@cache
def storage(dtype: DType) -> np.dtype[Any]:
    """The NumPy type that holds `dtype`."""
    return np.dtype("uint16" if dtype is bfloat16 else dtype.name)


@dataclass(frozen=True, slots=True, eq=False)
class NumpyValue:
    """One array of lanes and its element type; see `core.builder.Value`."""

    data: Array
    dtype: DType

    def _binary(self, other: Any, function: Function) -> NumpyValue:
        return _apply(function, self.dtype, self.data, _same(self, other))

    def _reversed(self, other: Any, function: Function) -> NumpyValue:
        return _apply(function, self.dtype, _same(self, other), self.data)

    def __add__(self, other: Any) -> NumpyValue:
        return self._binary(other, np.add)

    def __radd__(self, other: Any) -> NumpyValue:
        return self._reversed(other, np.add)

    def __sub__(self, other: Any) -> NumpyValue:
        return self._binary(other, _subtract)

    def __rsub__(self, other: Any) -> NumpyValue:
        return self._reversed(other, _subtract)

    def __mul__(self, other: Any) -> NumpyValue:
        return self._binary(other, np.multiply)

    def __rmul__(self, other: Any) -> NumpyValue:
        return self._reversed(other, np.multiply)

    def __truediv__(self, other: Any) -> NumpyValue:
        return self._binary(other, _divide)

    def __rtruediv__(self, other: Any) -> NumpyValue:
        return self._reversed(other, _divide)

    def __mod__(self, other: Any) -> NumpyValue:
        return self._binary(other, np.fmod)

    def __neg__(self) -> NumpyValue:
        return _apply(np.negative, self.dtype, self.data)

    def __invert__(self) -> NumpyValue:
        return _apply(np.invert, self.dtype, self.data)

    def __and__(self, other: Any) -> NumpyValue:
        return self._binary(other, np.bitwise_and)

    def __or__(self, other: Any) -> NumpyValue:
        return self._binary(other, np.bitwise_or)

    def __xor__(self, other: Any) -> NumpyValue:
        return self._binary(other, np.bitwise_xor)

    def __lshift__(self, other: Any) -> NumpyValue:
        return self._binary(other, np.left_shift)

    def __rshift__(self, other: Any) -> NumpyValue:
        return self._binary(other, np.right_shift)

    def __lt__(self, other: Any) -> NumpyValue:
        return self._binary(other, np.less)

    def __le__(self, other: Any) -> NumpyValue:
        return self._binary(other, np.less_equal)

    def __gt__(self, other: Any) -> NumpyValue:
        return self._binary(other, np.greater)

    def __ge__(self, other: Any) -> NumpyValue:
        return self._binary(other, np.greater_equal)

    def eq(self, other: Any) -> NumpyValue:
        return self._binary(other, np.equal)

    def ne(self, other: Any) -> NumpyValue:
        return self._binary(other, np.not_equal)


@cache
def _dtype_of(found: np.dtype[Any]) -> DType:
    """NumPy takes longer to say a type's name than to compute with a few numbers of it."""
    return as_dtype(found)


class NumpyBuilder:
    """`core.builder.Builder` on NumPy arrays.

    Example:
        >>> b = NumpyBuilder()
        >>> x = b.value(np.array([1.0, 2.0], np.float32))
        >>> (b.sqrt(x) * 3).data
        array([3.       , 4.2426405], dtype=float32)
    """

    def value(self, data: npt.ArrayLike, dtype: DType | None = None) -> NumpyValue:
        """The lanes of `data`; `dtype` is needed only for bfloat16, given as uint16 bits."""
        array = np.asarray(data)
        found = _dtype_of(array.dtype) if dtype is None else dtype
        if found is bfloat16 and array.dtype.kind == "V":  # ml_dtypes
            array = array.view(np.uint16)
        if array.dtype != storage(found):
            raise DTypeError(f"value: array of {array.dtype} as {found}; need {storage(found)}")
        return NumpyValue(array, found)

    def run(self, function: Callable[..., Any], *arrays: npt.ArrayLike) -> Any:
        """`function(self, *values)` on arrays, as arrays, without NumPy's warnings."""
        lanes = [np.asarray(array) for array in arrays]
        with np.errstate(all="ignore"):
            found = [function(self, *map(self.value, part)) for part in _parts(lanes)]
        if isinstance(found[0], tuple):
            return tuple(_joined(values, lanes) for values in zip(*found, strict=True))
        return _joined(found, lanes)

    def const(self, value: bool | int | float, dtype: DType) -> NumpyValue:
        return NumpyValue(_constant(value, dtype), dtype)

    def select(self, condition: NumpyValue, a: Any, b: Any) -> NumpyValue:
        if condition.dtype is not bool_:
            raise DTypeError(f"select: condition of {condition.dtype}; need bool")
        model = a if isinstance(a, NumpyValue) else b
        chosen = np.where(condition.data, _same(model, a), _same(model, b))
        return NumpyValue(np.asarray(chosen), model.dtype)

    def convert(self, x: NumpyValue, dtype: DType) -> NumpyValue:
        if x.dtype is dtype:
            return x
        with np.errstate(all="ignore"):
            return NumpyValue(_convert(x.data, x.dtype, dtype), dtype)

    def bitcast(self, x: NumpyValue, dtype: DType) -> NumpyValue:
        if x.dtype.itemsize != dtype.itemsize:
            raise DTypeError(f"bitcast: {x.dtype} to {dtype}; need the same width")
        return NumpyValue(x.data.view(storage(dtype)), dtype)

    def sqrt(self, x: NumpyValue) -> NumpyValue:
        return _apply(np.sqrt, x.dtype, x.data)

    def abs(self, x: NumpyValue) -> NumpyValue:
        return _apply(np.abs, x.dtype, x.data)

    def floor(self, x: NumpyValue) -> NumpyValue:
        return _apply(np.floor, x.dtype, x.data)

    def ceil(self, x: NumpyValue) -> NumpyValue:
        return _apply(np.ceil, x.dtype, x.data)

    def trunc(self, x: NumpyValue) -> NumpyValue:
        return _apply(np.trunc, x.dtype, x.data)

    def round_even(self, x: NumpyValue) -> NumpyValue:
        return _apply(np.rint, x.dtype, x.data)

    def copysign(self, x: NumpyValue, sign: NumpyValue) -> NumpyValue:
        return _apply(np.copysign, x.dtype, x.data, _same(x, sign))

    def fma(self, a: NumpyValue, b: Any, c: Any) -> NumpyValue:
        return _apply(partial(fused_multiply_add, np), a.dtype, a.data, _same(a, b), _same(a, c))

    def mul_high(self, a: NumpyValue, b: NumpyValue) -> NumpyValue:
        if a.dtype is not uint32:
            raise DTypeError(f"mul_high: got {a.dtype}; need uint32")
        product = a.data.astype(np.uint64) * _same(a, b).astype(np.uint64)
        return NumpyValue((product >> np.uint64(32)).astype(np.uint32), uint32)

    def repeat(
        self, limit: int, turn: Callable[..., Sequence[NumpyValue]], *state: NumpyValue,
        only: NumpyValue | None = None,
    ) -> tuple[NumpyValue, ...]:  # fmt: skip
        active = np.asarray(True) if only is None else only.data
        for _ in range(limit if active.any() else 0):
            more, *following = turn(*state)
            state = tuple(
                NumpyValue(np.asarray(np.where(active, new.data, old.data)), old.dtype)
                for new, old in zip(following, state, strict=True)
            )
            active = active & more.data
            if not active.any():
                break
        return state


# --- parts ---------------------------------------------------------------------------------------


def _parts(lanes: Sequence[Array]) -> Iterator[Sequence[Array]]:
    """Large arrays of one shape part by part: what a rule computes on the way stays in the cache,
    which is several times as fast."""
    size = lanes[0].size if lanes else 0
    if size <= PART or any(array.shape != lanes[0].shape for array in lanes):
        yield lanes
        return
    flat = [array.reshape(-1) for array in lanes]
    for start in range(0, size, PART):
        yield [array[start : start + PART] for array in flat]


def _joined(parts: Sequence[NumpyValue], lanes: Sequence[Array]) -> Array:
    """The results for `_parts` as one; of a rule that ignores its lanes each is a single number."""
    first = parts[0].data
    if len(parts) == 1 or first.ndim == 0:
        return first
    return np.concatenate([part.data for part in parts]).reshape(lanes[0].shape)


def _apply(function: Function, dtype: DType, *operands: Array) -> NumpyValue:
    """`function` on operands of one dtype; a comparison gives bool, all else `dtype`."""
    compute = dtype.compute
    with np.errstate(all="ignore"):
        wide = [_convert(operand, dtype, compute) for operand in operands]
        result = np.asarray(function(*wide))
        if result.dtype == bool:
            return NumpyValue(result, bool_)
        if result.dtype != storage(compute):
            raise DTypeError(f"scalar code: {dtype} operands gave {result.dtype}; need {compute}")
        return NumpyValue(_convert(result, compute, dtype), dtype)


def _subtract(a: Array, b: Array) -> Array:
    return np.asarray(a ^ b if a.dtype == bool else a - b)


def _constant(value: bool | int | float, dtype: DType) -> Array:
    if dtype.is_floating:
        number = float(value)
        return _number(number, math.copysign(1.0, number), dtype)
    if dtype.is_integer:
        bits = int(value) & ((1 << dtype.bits) - 1)
        unsigned = np.asarray(bits, dtype=f"uint{dtype.bits}")
        return unsigned.view(storage(dtype))
    return np.asarray(bool(value))


@lru_cache(maxsize=4096)
def _number(value: float, sign: float, dtype: DType) -> Array:
    """`value` rounded once; zeros of both signs are equal, so the sign is part of the key."""
    with np.errstate(all="ignore"):
        found = np.asarray(_convert(np.asarray(value), float64, dtype))
    found.flags.writeable = False
    return found


def _same(model: NumpyValue, other: Any) -> Array:
    """`other`'s lanes, in `model`'s dtype: a Value of that dtype or a Python number."""
    if not isinstance(other, NumpyValue):
        return _constant(other, model.dtype)
    if other.dtype is not model.dtype:
        raise DTypeError(f"scalar code: {model.dtype} with {other.dtype}; need one dtype")
    return other.data


def _divide(a: Array, b: Array) -> Array:
    """IEEE division, or integer division that truncates (by zero gives 0, MIN / -1 wraps)."""
    if a.dtype.kind == "f":
        return np.asarray(np.divide(a, b))
    quotient = np.floor_divide(a, b)
    inexact = (np.multiply(quotient, b) != a) & (b != 0)
    return np.asarray(quotient + (inexact & ((a < 0) != (b < 0))).astype(a.dtype))


def _convert(data: Array, source: DType, target: DType) -> Array:
    if source is target:
        return data
    if source is bfloat16:
        wide = (data.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return _convert(wide, float32, target)
    if target is bool_:
        return np.asarray(data != 0)
    if target is bfloat16:
        return _to_bfloat16(_to_float32_odd(data, source))
    if source.is_floating and target.is_integer:
        return _to_integer(data, target)
    return data.astype(storage(target))


def _to_integer(data: Array, target: DType) -> Array:
    """Truncate and saturate; NaN gives 0."""
    if data.dtype == np.float16:  # float16's own range is too narrow for the bounds
        data = data.astype(np.float32)
    low, high = float(target.min), float(target.max + 1)  # powers of two: exact
    whole = np.trunc(data)
    inside = (whole >= low) & (whole < high)
    result = np.where(inside, whole, 0).astype(storage(target))
    result = np.where(whole >= high, storage(target).type(target.max), result)
    return np.asarray(np.where(whole < low, storage(target).type(target.min), result))


def _to_float32_odd(data: Array, source: DType) -> Array:
    """To float32, rounded to odd, so that a second rounding to fewer bits is still correct."""
    if source in (int64, uint64):  # gather the low bits of large integers into one sticky bit
        magnitude = np.where(data < 0, np.negative(data), data).astype(np.uint64)
        step = np.uint64(1 << 24)
        sticky = (magnitude % step != 0).astype(np.uint64)
        short = (magnitude // step + np.uint64(0)) * step + sticky * np.uint64(1 << 20)
        magnitude = np.where(magnitude >= np.uint64(1 << 48), short, magnitude)
        data = np.copysign(magnitude.astype(np.float64), np.where(data < 0, -1.0, 1.0))
    exact = data.astype(np.float64)
    near = exact.astype(np.float32)
    even = (near.view(np.uint32) & np.uint32(1)) == 0
    inexact = np.isfinite(near) & (near.astype(np.float64) != exact) & even
    away = np.where(near.astype(np.float64) < exact, np.float32(np.inf), np.float32(-np.inf))
    return np.asarray(np.where(inexact, np.nextafter(near, away), near))


def _to_bfloat16(data: Array) -> Array:
    """Round float32 to nearest even by integer addition; a NaN stays one (made quiet)."""
    bits = data.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    quiet = bits | np.uint32(0x400000)
    return np.asarray((np.where(np.isnan(data), quiet, rounded) >> np.uint32(16)).astype("uint16"))
