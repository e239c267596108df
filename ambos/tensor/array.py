"""Array: realised data, the `value` of a node. Memory is shared and never written again."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ambos.core.dtype import DType, as_dtype, bfloat16
from ambos.core.errors import TracingError
from ambos.core.shape import Shape, row_major
from ambos.runtime.memory import Storage

# How a single number is read without NumPy, which takes ten times as long.
NUMBERS: dict[str, Any] = {
    "bool": ctypes.c_bool, "float32": ctypes.c_float, "float64": ctypes.c_double,
    "int8": ctypes.c_int8, "int16": ctypes.c_int16, "int32": ctypes.c_int32,
    "int64": ctypes.c_int64, "uint8": ctypes.c_uint8, "uint16": ctypes.c_uint16,
    "uint32": ctypes.c_uint32, "uint64": ctypes.c_uint64,
}  # fmt: skip
BLOCK = 32  # columns that a copy into another layout writes side by side: two cache lines


class Array:
    """`shape` elements of `dtype` at `offset` bytes into a Storage, `strides` in elements.

    `settled`: a value of something that is renewed again and again (a parameter), already in the
    layout that suits the kernel which renews it. `blank`: zeros for sure, since nobody has been
    told the address, by which it might be written in place. `facts`: see `signature`, which notes
    them here.
    """

    __slots__ = ("blank", "dtype", "facts", "offset", "settled", "shape", "storage", "strides")
    facts: Any

    def __init__(
        self, storage: Storage, offset: int, shape: Shape, strides: Shape, dtype: DType
    ) -> None:
        self.storage, self.offset = storage, offset
        self.shape, self.strides, self.dtype = shape, strides, dtype
        self.settled = self.blank = False
        self.facts = None

    @property
    def address(self) -> int:
        """Where the elements are, for those who read or write them from now on."""
        self.blank = False
        return self.storage.address + self.offset

    @staticmethod
    def from_numpy(array: npt.NDArray[Any], copy: bool = True) -> Array:
        """The data of a NumPy array, row-major; `copy=False` may share aligned memory."""
        storage = Storage.from_buffer(np.ascontiguousarray(array), copy=copy or None)
        shape = tuple(array.shape)
        return Array(storage, 0, shape, row_major(shape), as_dtype(array.dtype))

    @staticmethod
    def zeros(shape: Shape, dtype: DType) -> Array:
        """Row-major zeros."""
        storage = Storage.zeros(max(1, math.prod(shape)) * dtype.itemsize)
        array = Array(storage, 0, shape, row_major(shape), dtype)
        array.blank = True
        return array

    def seen_as(self, shape: Shape, strides: Shape, dtype: DType) -> Array:
        """The same memory with elements of `dtype`: numbers as parts of complex ones."""
        if dtype is self.dtype:
            return self
        return Array(self.storage, self.offset, shape, strides, dtype)

    def has_layouts(self) -> bool:
        """Could the elements lie in more than one order?"""
        return sum(extent > 1 for extent in self.shape) > 1

    def laid_out(self, strides: Shape) -> Array:
        """A copy with these strides, which must cover a block without gaps. Zeros stay where they
        are: in another order they are the same zeros."""
        if self.blank and self.has_layouts():
            same = Array(self.storage, self.offset, self.shape, strides, self.dtype)
            same.blank = True
            return same
        storage = Storage(max(1, math.prod(self.shape)) * self.dtype.itemsize)
        copy = Array(storage, 0, self.shape, strides, self.dtype)
        new, old = copy.raw(readonly=False), self.raw()
        if new.ndim and new.size:
            # Block by block of the innermost axis: NumPy would fetch a line for each element.
            inner = min(range(new.ndim), key=lambda axis: (new.shape[axis] == 1, strides[axis]))
            new, old = np.moveaxis(new, inner, 0), np.moveaxis(old, inner, 0)
            for start in range(0, len(new), BLOCK):
                new[start : start + BLOCK] = old[start : start + BLOCK]
        else:
            new[...] = old
        return copy

    def raw(self, readonly: bool = True) -> npt.NDArray[Any]:
        """A view of the memory (of bfloat16, which NumPy lacks, as uint16)."""
        kind = np.dtype("uint16" if self.dtype is bfloat16 else self.dtype.name)
        if 0 in self.shape:
            return np.empty(self.shape, kind)
        strides = tuple(s * kind.itemsize for s in self.strides)
        return self.storage.numpy(kind, self.shape, strides, self.offset, readonly)

    def looked_at(self) -> Array:
        """Itself, for whoever wants the values."""
        return self

    def numpy(self) -> npt.NDArray[Any]:
        """A read-only view (bfloat16, which NumPy lacks: a float32 copy)."""
        raw = self.raw()
        if self.dtype is bfloat16:
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw

    def item(self) -> Any:
        """The only element, as a Python number."""
        kind = NUMBERS.get(self.dtype.name)
        if kind is None:
            return self.numpy().reshape(-1)[0].item()
        return kind.from_address(self.storage.address + self.offset).value

    def is_true(self) -> bool:
        """Is the only element, a bool, true?"""
        return ctypes.c_uint8.from_address(self.address).value != 0


class Imagined(Array):
    """Zeros that lie nowhere, for what is planned and not run. Whoever has kept what was made of
    them meanwhile is told when it is looked at."""

    __slots__ = ()

    def looked_at(self) -> Array:
        kind = f"{self.dtype.name}{list(self.shape)}"
        raise TracingError(
            f"evaluate: {kind} was given to am.forecast as a shape and has no values; a tensor "
            "made of it was kept, in a list, an attribute or a global; need it among the results"
        )

    @property
    def address(self) -> int:
        return self.looked_at().address

    def __init__(self, shape: Shape, strides: Shape, dtype: DType) -> None:
        count = max(1, math.prod(shape))
        nowhere = Storage.from_address(0, count * dtype.itemsize, None, readonly=True)
        super().__init__(nowhere, 0, shape, strides, dtype)

    def laid_out(self, strides: Shape) -> Array:
        return Imagined(self.shape, strides, self.dtype)

    def raw(self, readonly: bool = True) -> npt.NDArray[Any]:
        kind = np.dtype("uint16" if self.dtype is bfloat16 else self.dtype.name)
        return np.broadcast_to(np.zeros((), kind), self.shape)


def is_dense(shape: Shape, strides: Shape) -> bool:
    """Do elements with these strides fill a block without gaps, in whatever order?

    Example:
        >>> is_dense((2, 3), (1, 2)), is_dense((2, 3), (4, 1))
        (True, False)
    """
    step = 1
    for stride, extent in sorted(zip(strides, shape, strict=True)):
        if extent != 1:
            if stride != step:
                return False
            step *= extent
    return True


def lie_alike(shape: Shape, strides: Shape, others: Shape) -> bool:
    """Do both strides lead to the same places? Those of an axis of extent 1 lead nowhere.

    Example:
        >>> lie_alike((1, 3), (3, 1), (7, 1)), lie_alike((2, 3), (3, 1), (1, 2))
        (True, False)
    """
    return strides == others or all(
        extent == 1 or stride == other
        for extent, stride, other in zip(shape, strides, others, strict=True)
    )
