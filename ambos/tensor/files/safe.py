"""The safetensors format: tensors by name behind a header of JSON. Nothing in it can run."""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ambos.core.dtype import DType, as_dtype
from ambos.core.errors import ArgumentError, FormatError
from ambos.tensor.files.elements import bounded, bytes_of, kind_of, tensor_of
from ambos.tensor.handle import Tensor

LIMIT = 100 << 20  # bytes of header that a reader of safetensors accepts
CODES = {
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
    "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "complex64": "C64",
}  # fmt: skip
NAMES = {code: name for name, code in CODES.items()}


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file in one step: whoever reads `path` sees the old file or the new one.

    Errors: OSError where the place cannot be written; ArgumentError for what the format lacks.
    """
    head, order = header(tensors, metadata)
    if not path.parent.exists():
        message = "save: no such folder; need an existing one"
        raise FileNotFoundError(errno.ENOENT, message, str(path.parent))
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(head)
            for key in order:
                file.write(bytes_of(tensors[key]))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def header(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """What stands before the elements, and the order in which these follow."""
    # Widest elements first: then each tensor is aligned to its own width.
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for name in order:
        tensor = tensors[name]
        if tensor.dtype.name not in CODES:
            raise ArgumentError(f"save: {name} is {tensor.dtype.name}, which files of this format "
                                "do not hold; need am.view_as_real(...) of it")  # fmt: skip
        stop = start + tensor.numel() * tensor.dtype.itemsize
        entries[name] = {"dtype": CODES[tensor.dtype.name], "shape": list(tensor.shape),
                         "data_offsets": [start, stop]}  # fmt: skip
        start = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > LIMIT:
        raise ArgumentError(
            f"save: names and metadata take {len(text)} bytes; need at most {LIMIT}"
        )
    return len(text).to_bytes(8, "little") + text, order


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a file; elements are read once, when they are copied.

    Errors: FormatError where the file is missing or damaged.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length) if length <= min(LIMIT, size - 8) else b""
    except OSError as error:
        raise FormatError(f"load: cannot read {path}: {error.strerror or error}") from error
    title = f"load: {path} is damaged or no safetensors file"
    if not text:
        raise FormatError(f"{title}: it does not begin with a header; nothing was changed")
    try:
        entries = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{title}: {error}; nothing was changed") from error
    metadata = entries.pop("__metadata__", {}) if isinstance(entries, dict) else None
    if not isinstance(metadata, dict):
        raise FormatError(f"{title}: its header is no object; nothing was changed")
    places = _places(title, entries, size - 8 - length)
    data = np.memmap(path, np.uint8, "r") if size > 8 + length else np.zeros(0, np.uint8)
    tensors = {}
    for name, (dtype, shape, start, stop) in places.items():
        raw = data[8 + length + start : 8 + length + stop]
        kind = kind_of(dtype).newbyteorder("<")
        tensors[name] = tensor_of(np.frombuffer(raw.tobytes(), kind).reshape(shape), dtype)
    return tensors, metadata


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in its header")
    return found


def _places(
    title: str, entries: Mapping[str, Any], room: int
) -> dict[str, tuple[DType, tuple[int, ...], int, int]]:
    """dtype, shape, start and stop of each tensor, which together fill `room` bytes."""
    found = {}
    for name, entry in entries.items():
        try:
            code, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
            whole = all(type(number) is int and 0 <= number <= room for number in (start, stop))
        except (TypeError, KeyError, ValueError) as error:
            raise FormatError(f"{title}: {name} is not described; nothing was changed") from error
        if not isinstance(code, str) or code not in NAMES or not whole:
            raise FormatError(f"{title}: {name} is {code!r} at bytes {start!r} to {stop!r} of "
                              f"{room}; nothing was changed")  # fmt: skip
        dtype = as_dtype(NAMES[code])
        count = math.prod(bounded(shape, f"{title}: {name}"))
        if stop - start != count * dtype.itemsize:
            raise FormatError(f"{title}: {name} has bytes {start} to {stop} of {room}; need "
                              f"{count * dtype.itemsize}; nothing was changed")  # fmt: skip
        found[name] = dtype, tuple(shape), start, stop
    end = 0
    for _, _, start, stop in sorted(found.values(), key=lambda place: place[2:]):
        if start != end:
            raise FormatError(f"{title}: bytes {end} to {start} are no tensor's or two tensors'; "
                              "nothing was changed")  # fmt: skip
        end = stop
    if end != room:
        raise FormatError(f"{title}: has {room} bytes of elements; need {end}; nothing was changed")
    return found
