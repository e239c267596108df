"""Plain data and tensors as `torch.save` writes them: an archive of a pickle and, uncompressed,
storages. `torch.load` reads it with `weights_only=True`.

Python's pickler writes the names of classes only of modules that it can import, so the few
instructions that are needed stand here.
"""

from __future__ import annotations

import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ambos.core.dtype import DType
from ambos.core.errors import ArgumentError
from ambos.core.shape import row_major
from ambos.tensor.files.elements import bits_of
from ambos.tensor.files.held import put
from ambos.tensor.files.nested import DEEPEST, plain
from ambos.tensor.files.placed import placed
from ambos.tensor.files.torch import STORAGES
from ambos.tensor.handle import Tensor

CLASSES = {dtype: name for name, dtype in STORAGES.items() if name != "Untyped"}
LINE = 64  # storages begin at multiples of it, so that they can be mapped


def write(place: Path | BinaryIO, value: Any) -> None:
    """Write a file in one step: whoever reads the path sees the old file or the new one. To an open
    file nothing is written before all is there.

    Errors: OSError where the place cannot be written; ArgumentError for what is not plain data.
    """
    pickler = Pickler()
    pickled = b"\x80\x02" + pickler.value(value, "", 0) + b"."
    if isinstance(place, Path):
        with placed(place) as new, new.open("wb") as file:
            _write(file, pickled, pickler.storages)
    else:  # it may be anywhere in its file, and the archive counts from its own start
        whole = BytesIO()
        _write(whole, pickled, pickler.storages)
        put(place, whole.getbuffer())


def _write(file: BinaryIO, pickled: bytes, storages: list[Tensor]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, file, "data.pkl", pickled)
        _add(archive, file, "byteorder", b"little")
        for number, tensor in enumerate(storages):
            data = bits_of(tensor).reshape(-1).view(np.uint8).data
            _add(archive, file, f"data/{number}", data)
        _add(archive, file, "version", b"3\n")


def _add(archive: zipfile.ZipFile, file: BinaryIO, name: str, data: bytes | memoryview) -> None:
    entry = zipfile.ZipInfo(f"archive/{name}")
    start = file.tell() + 30 + len(entry.filename) + 4  # a header, its name, what is before a gap
    gap = -start % LINE
    entry.extra = struct.pack("<2sH", b"FB", gap) + b"Z" * gap
    archive.writestr(entry, data)


class Pickler:
    """Instructions of protocol 2. The tensors that they refer to gather in `storages`."""

    def __init__(self) -> None:
        self.storages: list[Tensor] = []
        self.places: dict[int, int] = {}  # by id of a tensor: where the memo has it

    def value(self, value: Any, path: str, depth: int) -> bytes:
        """What puts `value` on the stack."""
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, DType):
            return _name("torch", value.name)
        if isinstance(value, (Mapping, list, tuple)) and depth > DEEPEST:
            return self.value(plain(value, repr(path)), path, depth)  # which refuses it
        if isinstance(value, Mapping):
            pairs = [
                self.value(plain(key, repr(path)), path, depth)
                + self.value(entry, f"{path}.{key}" if path else f"{key}", depth + 1)
                for key, entry in value.items()
            ]
            new = _name("collections", "OrderedDict") + b")R"
            start = new if isinstance(value, OrderedDict) else b"}"
            return start + b"(" + b"".join(pairs) + b"u"
        if isinstance(value, (list, tuple)):
            parts = b"".join(self.value(e, f"{path}[{n}]", depth + 1) for n, e in enumerate(value))
            return b"(" + parts + b"t" if isinstance(value, tuple) else b"](" + parts + b"e"
        return _plain(plain(value, repr(path)))

    def tensor(self, tensor: Tensor) -> bytes:
        """A tensor with a storage of its own; the same one again is the same object."""
        known = self.places.get(id(tensor))
        if known is not None:
            return b"j" + struct.pack("<I", known)
        number = self.places[id(tensor)] = len(self.storages)
        self.storages.append(tensor)
        dtype, shape = tensor.dtype.name, tuple(tensor.shape)
        kind, count = CLASSES.get(dtype), tensor.numel()
        untyped = kind is None
        token = (
            _plain("storage")
            + (_name("torch.storage", "UntypedStorage") if untyped
               else _name("torch", f"{kind}Storage"))
            + b"".join(map(_plain, (str(number), "cpu")))
            + _plain(count * tensor.dtype.itemsize if untyped else count)
        )  # fmt: skip
        parts = [b"(" + token + b"tQ", _plain(0)]
        parts += [self.value(sizes, "", 0) for sizes in (shape, row_major(shape))]
        parts += [_plain(False), _name("collections", "OrderedDict") + b")R"]
        if untyped:
            parts.append(_name("torch", dtype))
        function = _name("torch._utils", f"_rebuild_tensor_v{3 if untyped else 2}")
        return function + b"(" + b"".join(parts) + b"tR" + b"r" + struct.pack("<I", number)


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _plain(value: Any) -> bytes:
    if value is None or value is True or value is False:
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, int):
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        if len(data) > 255:
            raise ArgumentError(f"save: a number of {len(data)} bytes; need at most 255")
        return b"\x8a" + bytes([len(data)]) + data
    text = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(text)) + text
