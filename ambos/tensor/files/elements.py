"""Elements of files as tensors: every dtype, any strides, checked against what is there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ambos.core.dtype import DType, as_dtype, bfloat16
from ambos.core.errors import FormatError
from ambos.core.shape import row_major
from ambos.runtime.memory import Storage
from ambos.tensor.array import Array
from ambos.tensor.given import leaf_of
from ambos.tensor.handle import Tensor

MOST = 1 << 59  # elements: their bytes are a number of 64 bits


def kind_of(dtype: DType) -> np.dtype[Any]:
    """How NumPy holds elements; bfloat16, which it lacks, as 16 bits.

    Example:
        >>> import ambos as am
        >>> kind_of(am.bfloat16), kind_of(am.float32)
        (dtype('uint16'), dtype('float32'))
    """
    return np.dtype(np.uint16 if dtype is bfloat16 else dtype.name)


def tensor_of(bits: np.ndarray, dtype: DType) -> Tensor:
    """A tensor of its own with the elements of `bits`, which `kind_of` tells how to hold.

    Example:
        >>> import ambos as am
        >>> tensor_of(np.array([0x3FC0], np.uint16), am.bfloat16)
        tensor([1.5], dtype=ambos.bfloat16)
    """
    shape = tuple(bits.shape)
    storage = Storage(bits.size * dtype.itemsize)
    storage.numpy(kind_of(dtype), shape)[...] = bits
    return tensor_in(storage, shape, dtype)


def tensor_in(storage: Storage, shape: tuple[int, ...], dtype: DType) -> Tensor:
    r"""A tensor whose elements lie in `storage`, row by row, as a file had them.

    Example:
        >>> import ambos as am
        >>> tensor_in(Storage.from_buffer(b"\x00\x02"), (2,), am.bool)
        tensor([False,  True])
    """
    if dtype.name == "bool":  # a byte of a file may be any
        held = storage.numpy("uint8", shape)
        np.not_equal(held, 0, out=storage.numpy("bool", shape))
    return Tensor(leaf_of(Array(storage, 0, shape, row_major(shape), dtype)))


def bits_of(tensor: Tensor) -> np.ndarray:
    """The elements in row-major order, held as `kind_of` tells: where they lie, if they are so.

    Example:
        >>> import ambos as am
        >>> bits_of(am.tensor([1.5], dtype="bfloat16"))
        array([16320], dtype=uint16)
    """
    return np.asarray(tensor._array().raw(), order="C")


def bounded(shape: Any, title: str) -> tuple[int, ...]:
    """`shape`, if a tensor can have it, whatever stands beside a size of 0.

    Errors: FormatError for what are no sizes, and for too many or too large ones.

    Example:
        >>> bounded([2, 0], "x")
        (2, 0)
    """
    if not _listed(shape) or not all(type(size) is int and size >= 0 for size in shape):
        raise FormatError(f"{title}: its shape is {shape}; need integers >= 0")
    if len(shape) > 64:
        raise FormatError(f"{title}: has {len(shape)} dimensions; need at most 64")
    if max(shape, default=0) >= MOST or math.prod(max(size, 1) for size in shape) >= MOST:
        raise FormatError(f"{title}: has a size that is too large; need fewer than {MOST} elements")
    return tuple(shape)


def strided(elements: np.ndarray, offset: Any, shape: Any, strides: Any, title: str) -> np.ndarray:
    """The view of `elements` that starts at `offset` and steps by `strides`, row by row.

    Errors: FormatError where it reaches outside of them.

    Example:
        >>> strided(np.arange(6), 1, (2, 2), (3, 1), "x").tolist()
        [[1, 2], [4, 5]]
    """
    numbers = (offset, *shape, *strides) if _listed(shape) and _listed(strides) else (None,)
    if not all(type(n) is int and n >= 0 for n in numbers) or len(shape) != len(strides):
        raise FormatError(f"{title}: offset {offset}, shape {shape}, strides {strides}; need "
                          "integers >= 0, as many strides as sizes")  # fmt: skip
    count = math.prod(bounded(shape, title))
    last = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    if count and last >= elements.size:
        raise FormatError(f"{title}: reaches element {last} of {elements.size} that are there")
    if not count:
        return np.zeros(shape, elements.dtype)
    width = elements.itemsize
    return np.lib.stride_tricks.as_strided(
        elements[offset:],
        shape,
        [step * width if size > 1 else 0 for size, step in zip(shape, strides, strict=True)],
        writeable=False,
    )


def _listed(value: Any) -> bool:
    return isinstance(value, (tuple, list))


def dtype_named(name: str, title: str) -> DType:
    """The dtype of that name.

    Errors: FormatError for one that tensors do not have.

    Example:
        >>> dtype_named("float16", "x")
        ambos.float16
    """
    try:
        return as_dtype(name)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{title}: elements are {name}, which tensors here cannot be") from error
