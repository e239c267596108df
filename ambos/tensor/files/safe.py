"""The safetensors format, written and checked by the library of that name.

Two things are ours. Elements are read straight into the memory that they stay in: the library hands
out arrays of NumPy, which has no bfloat16, in memory that is not aligned as kernels need it. And a
file is on the disk, with the permissions of any new file, before it takes the place of another
(`placed.py`).
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from ambos.core.dtype import DType, as_dtype
from ambos.core.errors import ArgumentError, FormatError
from ambos.runtime.memory import Storage
from ambos.tensor.files.elements import bits_of, bounded, tensor_in
from ambos.tensor.files.held import Held, put
from ambos.tensor.files.placed import placed
from ambos.tensor.handle import Tensor

NAMES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
    "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "C64": "complex64",
}  # fmt: skip


def write(
    place: Path | BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a file in one step: whoever reads the path sees the old file or the new one. To an open
    file nothing is written before all is there.

    Errors: OSError where the place cannot be written; ArgumentError for what the format lacks.
    """
    import safetensors

    arrays = {}
    for name, tensor in tensors.items():
        if tensor.dtype.name not in NAMES.values():
            raise ArgumentError(f"save: {name} is {tensor.dtype.name}, which files of this format "
                                "do not hold; need am.view_as_real(...) of it")  # fmt: skip
        arrays[name] = bits_of(tensor)
    specs = {
        name: safetensors.TensorSpec(
            dtype=tensors[name].dtype.name,
            shape=array.shape,
            data_ptr=array.__array_interface__["data"][0],
            data_len=array.nbytes,
        )
        for name, array in arrays.items()
    }
    try:
        if isinstance(place, Path):
            with placed(place) as new:
                safetensors.serialize_file(specs, new, dict(metadata))
                with new.open("rb+") as file:
                    header = _in_order(file.read(_header_end(file.read(8)) - 8))
                    file.seek(8)
                    file.write(header)
        else:
            data = bytearray(safetensors.serialize(specs, dict(metadata)))
            header_end = _header_end(data)
            data[8:header_end] = _in_order(data[8:header_end])
            put(place, memoryview(data))
    except safetensors.SafetensorError as error:
        code = re.search(r"\(os error (\d+)\)", str(error))
        if code is None:
            raise ArgumentError(f"save: {error}; {place} is as it was") from error
        said = f"save: {os.strerror(int(code[1]))}; {place} is as it was"
        raise OSError(int(code[1]), said, str(place)) from error


def _header_end(data: bytes | bytearray) -> int:
    return 8 + int.from_bytes(data[:8], "little")


def _in_order(header: bytes | bytearray) -> bytes:
    """The header with its metadata in the order of their names, so that equal tensors are equal
    files: the library writes them in an order that changes with each call."""
    found = json.loads(header)
    found["__metadata__"] = dict(sorted(found["__metadata__"].items()))
    text = json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()
    return text.ljust(len(header))


def read(path: Path | Held) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a file; elements are read once, to where they stay.

    Errors: FormatError where the file is missing or damaged.
    """
    title = f"load: {path} is damaged or no safetensors file"
    if isinstance(path, Held):
        return _parsed(path.data, title)
    try:
        with path.open("rb") as file:
            places, metadata = _described(file, path, title)
            # Nothing follows the last tensor, and nothing lies between two.
            file.seek(-sum(_size(*place) for place in places.values()), os.SEEK_END)
            return {name: _read(file, title, name, *places[name]) for name in places}, metadata
    except OSError as error:
        raise FormatError(f"load: cannot read {path}: {error.strerror or error}") from error


def _described(
    file: BufferedReader, path: Path, title: str
) -> tuple[dict[str, tuple[tuple[int, ...], DType]], dict[str, str]]:
    """Shape and dtype of each tensor, in the order of their elements, and the metadata."""
    import safetensors

    try:
        with safetensors.safe_open(path, "np") as opened:
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise FormatError(f"load: {path} was replaced meanwhile; need to load it again")
            parts = {name: opened.get_slice(name) for name in opened.offset_keys()}
            found = {name: (part.get_shape(), part.get_dtype()) for name, part in parts.items()}
            metadata = opened.metadata() or {}
    except safetensors.SafetensorError as error:
        raise FormatError(f"{title}: {error}; nothing was changed") from error
    return _places(found, title), metadata


def _places(
    found: Mapping[str, tuple[Any, str]], title: str
) -> dict[str, tuple[tuple[int, ...], DType]]:
    for name, (_, code) in found.items():
        if code not in NAMES:
            raise FormatError(f"{title}: {name} has elements of {code}, which tensors here cannot "
                              "be; nothing was changed")  # fmt: skip
    return {
        name: (bounded(shape, f"{title}: {name}"), as_dtype(NAMES[code]))
        for name, (shape, code) in found.items()
    }


def _parsed(data: bytes, title: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """As `_described` and `_read`, of what is in memory; in the order of the elements."""
    import safetensors

    try:
        parts = dict(safetensors.deserialize(data))
    except safetensors.SafetensorError as error:
        raise FormatError(f"{title}: {error}; nothing was changed") from error
    header = json.loads(data[8 : _header_end(data)])
    names = sorted(parts, key=lambda name: header[name]["data_offsets"])
    places = _places({name: (parts[name]["shape"], parts[name]["dtype"]) for name in names}, title)
    found = {}
    for name, (shape, dtype) in places.items():
        storage = Storage(_size(shape, dtype))
        storage.memoryview()[:] = parts[name]["data"]
        found[name] = tensor_in(storage, shape, dtype)
    return found, header.get("__metadata__") or {}


def _size(shape: tuple[int, ...], dtype: DType) -> int:
    return math.prod(shape) * dtype.itemsize


def _read(
    file: BufferedReader, title: str, name: str, shape: tuple[int, ...], dtype: DType
) -> Tensor:
    storage = Storage(_size(shape, dtype))
    if file.readinto(storage.memoryview()) != storage.nbytes:
        raise FormatError(f"{title}: it ends within {name}; nothing was changed")
    return tensor_in(storage, shape, dtype)
