"""DLPack: the memory of an Array as a capsule that other frameworks read, and the other way round.

NumPy makes and reads the capsules. It has no bfloat16, so that such an array travels as uint16 and
what the capsule says of its dtype is written over.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ambos.core.dtype import as_dtype, bfloat16
from ambos.core.errors import DeviceError, DTypeError, ExchangeError
from ambos.runtime.memory import Storage
from ambos.tensor.array import Array, is_dense

CPU = (1, 0)  # DLPack's device type and number
UINT, BFLOAT = 1, 4  # DLPack's codes of kinds
KINDS = {0: "int", UINT: "uint", 2: "float", BFLOAT: "bfloat", 5: "complex", 6: "bool"}


class _Block(ctypes.Structure):
    """DLTensor, up to its dtype: the fields that are looked at here, and what is before them."""

    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
    ]  # fmt: skip


class _Versioned(ctypes.Structure):
    """DLManagedTensorVersioned (DLPack 1.0); before that, capsules began with the DLTensor."""

    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("block", _Block),
    ]  # fmt: skip


_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)


def _block_of(capsule: Any) -> _Block:
    """What an unused capsule says of its memory."""
    if _is_valid(capsule, b"dltensor_versioned"):
        return _Versioned.from_address(_pointer(capsule, b"dltensor_versioned")).block
    return _Block.from_address(_pointer(capsule, b"dltensor"))


def capsule_of(
    array: Array, stream: Any, max_version: Any, dl_device: Any, copy: bool | None
) -> Any:
    """A DLPack capsule with the memory of `array`, or with a copy where that is asked for or
    (unless `copy` is False) where the consumer could not read the memory as it is.

    From DLPack 1.0 on the capsule says that nobody may write there. Older ones cannot say so; who
    takes one keeps to it, and does not take memory with gaps either (JAX).
    """
    if stream is not None:
        raise ExchangeError(f"__dlpack__: stream is {stream!r}; need None on the CPU")
    if dl_device is not None and tuple(dl_device) != CPU:
        raise ExchangeError(f"__dlpack__: dl_device is {tuple(dl_device)}; need {CPU}, the CPU, "
                            "where this version of ambos computes")  # fmt: skip
    is_old = max_version is None or max_version[0] < 1
    straight = all(stride >= 0 for stride in array.strides)
    shareable = straight and not (is_old and array.storage.readonly)
    if copy is False and not shareable:
        raise ExchangeError("__dlpack__: copy=False for read-only memory, which this consumer's "
                            "version of DLPack cannot name; need copy=None")  # fmt: skip
    gaps = is_old and copy is None and not is_dense(array.shape, array.strides)
    if copy or gaps or not shareable:
        view = np.array(array.raw())
    else:
        view = array.raw(readonly=not is_old)
    capsule = view.__dlpack__(max_version=None if is_old else (1, 0), copy=copy)
    if array.dtype is bfloat16:
        _block_of(capsule).code = BFLOAT
    return capsule


class _Readable:
    """What NumPy takes in place of an array that it may not know the dtype of."""

    def __init__(self, source: Any) -> None:
        self.source, self.is_bfloat16 = source, False

    def __dlpack_device__(self) -> Any:
        return self.source.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        capsule = self.source.__dlpack__(**options)
        block = _block_of(capsule)
        if block.lanes != 1 or block.code not in KINDS:
            raise DTypeError(f"from_dlpack: elements are {block.lanes} x {block.bits} bits of kind "
                             f"{block.code}; need one of {', '.join(KINDS.values())}: convert it "
                             "where it comes from")  # fmt: skip
        self.is_bfloat16 = block.code == BFLOAT
        if self.is_bfloat16:
            block.code = UINT
        return capsule


def array_of(source: Any, copy: bool | None) -> Array:
    """The memory of any array that speaks DLPack, or a copy of it where that is asked for or
    (unless `copy` is False) where strides are negative. Shared memory is never written here."""
    if not hasattr(source, "__dlpack__") or not hasattr(source, "__dlpack_device__"):
        raise DTypeError(f"from_dlpack: got a {type(source).__name__}; need an array that has "
                         "__dlpack__: use am.asarray")  # fmt: skip
    device = source.__dlpack_device__()
    if int(device[0]) != CPU[0]:
        raise DeviceError(f"from_dlpack: got an array on device {tuple(map(int, device))}; need "
                          f"{CPU}, the CPU: move it there first")  # fmt: skip
    readable = _Readable(source)
    found = np.from_dlpack(readable, copy=copy)
    dtype = bfloat16 if readable.is_bfloat16 else as_dtype(found.dtype)
    if any(stride < 0 for stride in found.strides):
        if copy is False:
            raise ExchangeError("from_dlpack: copy=False for memory with negative strides "
                                f"{found.strides}; need copy=None")  # fmt: skip
        found = np.ascontiguousarray(found)
    steps = tuple(stride // dtype.itemsize for stride in found.strides)
    reach = sum((n - 1) * stride for n, stride in zip(found.shape, found.strides, strict=True))
    nbytes = reach + dtype.itemsize if found.size else 0
    address = found.__array_interface__["data"][0]
    storage = Storage.from_address(address, nbytes, owner=found, readonly=True)
    return Array(storage, 0, found.shape, steps, dtype)
