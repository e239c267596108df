"""Rows of arrays on their way into a batch: copied, and looked at for NaN in the same pass."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.runtime.native_rows import Column
from ambos.runtime.pool import pool

NUM_FIELDS = len(Column._fields_)
# By dtype: bits of a number, and the place of its exponent's last bit.
EXPONENTS = {"float16": (16, 10), "bfloat16": (16, 7), "float32": (32, 23), "float64": (64, 52)}

_Take = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)
_Look = ctypes.CFUNCTYPE(
    ctypes.c_uint64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint64
)


@cache
def _masks(dtype: str, within: str | None = None) -> tuple[int, int, int]:
    """The last fields of native_rows.Column, for words of these numbers. Those that the dtype
    `within` would round to infinity are taken for infinite."""
    if dtype not in EXPONENTS:
        return 0, 0, 0
    bits, place = EXPONENTS[dtype]
    sign = 1 << (bits - 1)
    limit = sign - (1 << place)  # infinity, as an integer: its order is that of the numbers
    if within is not None:
        limit = min(limit, _rounded_to_infinity(within, bits, place))
    every = sum(1 << n for n in range(0, 64, bits))
    return ~(every * sign) & (1 << 64) - 1, every * (sign - limit), every * sign


def _rounded_to_infinity(dtype: str, bits: int, place: int) -> int:
    """The least number for which `dtype` has infinity, as one of another dtype: it lies half of a
    last place beyond the largest one."""
    narrow_bits, narrow_place = EXPONENTS[dtype]
    bias = (1 << bits - 2 - place) - 1
    largest = (1 << narrow_bits - 2 - narrow_place) - 1  # exponent
    half = place - narrow_place - 1
    return (bias + largest + 1 << place) - (1 << half if half >= 0 else 0)


@cache
def _name(dtype: np.dtype[Any]) -> str:  # NumPy takes microseconds to say it
    return dtype.name


def in_pieces(array: NDArray[Any]) -> NDArray[Any]:
    """`array`, or where the numbers of a row lie apart (Fortran's order, as tables have it), a copy
    in which they do not: to collect them row by row would fetch a line for each.

    Example:
        >>> array = np.zeros((2, 3)).T
        >>> in_pieces(array[:, :1]).flags.owndata, in_pieces(array).flags.owndata
        (False, True)
    """
    step = array.itemsize
    for extent, stride in zip(array.shape[:0:-1], array.strides[:0:-1], strict=True):
        if extent != 1 and stride != step:
            return np.ascontiguousarray(array)
        step *= extent
    return array


class Taking:
    """Copies rows of `columns`, each of which lies in one piece, to the addresses `targets`. What
    the dtype `within` would round to infinity is infinite.

    Example:
        >>> rows, taken = np.arange(6.0).reshape(3, 2), np.zeros((2, 2))
        >>> take = Taking([rows], [taken.ctypes.data])
        >>> take(1, 2), taken.tolist()
        (0, [[2.0, 3.0], [4.0, 5.0]])
    """

    def __init__(
        self, columns: Sequence[NDArray[Any]], targets: Sequence[int], takes_nan: bool = False,
        within: str | None = None,
    ) -> None:  # fmt: skip
        self.columns = columns  # which keeps them
        words: list[int] = []
        for column, target in zip(columns, targets, strict=True):
            masks = (0, 0, 0) if takes_nan else _masks(_name(column.dtype), within)
            nbytes = column.itemsize * math.prod(column.shape[1:])
            source = column.__array_interface__["data"][0]
            words += (target, source, column.strides[0], nbytes, *masks)
        self.table = (ctypes.c_int64 * len(words))(*words)
        self._table = ctypes.c_void_p(ctypes.addressof(self.table))
        self._count = ctypes.c_int64(len(columns))
        self._take = _entry("take_rows", _Take)

    def aim(self, targets: Sequence[int]) -> None:
        """Copy to these addresses from now on."""
        table = self.table
        for place, target in enumerate(targets):
            table[place * NUM_FIELDS] = target

    def __call__(self, first: int, count: int, order: int | None = None) -> int:
        """Rows `first` to `first + count`, or those whose numbers (int64, which must exist) lie
        there in a list at the address `order`.

        Returns the number, counted from 1, of the first column with NaN or infinity in these rows,
        0 where all is finite.
        """
        found: int = self._take(self._table, self._count, order, first, count)
        return found


def is_finite(array: NDArray[Any]) -> bool:
    """Are all numbers of an array without gaps finite?

    Example:
        >>> is_finite(np.ones(3)), is_finite(np.array([1.0, np.inf]))
        (True, False)
    """
    name = _name(array.dtype)
    if name not in EXPONENTS:
        return array.dtype.kind != "f" or bool(np.isfinite(array).all())
    return is_finite_at(array.__array_interface__["data"][0], array.nbytes, name)


def is_finite_at(address: int, nbytes: int, dtype: str, within: str | None = None) -> bool:
    """The same of memory that holds numbers of a floating `dtype`, also once they are rounded to
    the dtype `within`."""
    keep, step, sign = _masks(dtype, within)
    seen: int = _entry("look_at", _Look)(address, nbytes, keep, step)
    return not seen & sign


@cache
def _entry(name: str, kind: Any) -> Any:
    with pool.lock:
        return kind(pool.entry(name))
