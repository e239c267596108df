"""Model files: safetensors, with the configuration as JSON in its header. Never pickle.

Weights stand under their state_dict names, so that any reader of safetensors can use the file;
the optimizer's tensors stand under "optimizer/".
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ambos.core.dtype import as_dtype, bfloat16
from ambos.core.errors import AmbosError, ArgumentError, FormatError
from ambos.tensor.handle import Tensor

FORMAT = "ambos-model-1"
SUFFIX = ".safetensors"
LIMIT = 100 << 20  # bytes of header that a reader of safetensors accepts
CODES = {
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
    "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
}  # fmt: skip
NAMES = {code: name for name, code in CODES.items()}


def place(path: object) -> Path:
    """`path` with the usual suffix where it has none.

    Errors: ArgumentError where it is no path.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ArgumentError(f"path is {path!r}; need a file's name, such as 'model.safetensors'")
    found = Path(path)
    return found if found.suffix else found.with_suffix(SUFFIX)


def write(path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write a file in one step: whoever reads `path` sees the old file or the new one.

    Errors: OSError where the place cannot be written.
    """
    check_portable(config)
    blob = _serialize(tensors, {"format": FORMAT, "ambos": json.dumps(config)})
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _serialize(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The safetensors format. Written here, because the library's `serialize` changes its
    arguments between releases; reading goes through the library, which checks everything."""
    # Widest elements first: then each tensor is aligned to its own width.
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    parts, start = [], 0
    for name in order:
        tensor = tensors[name]
        if tensor.dtype.name not in CODES:
            raise ArgumentError(f"save: {name} is {tensor.dtype.name}, which files of this format "
                                "do not hold; need am.view_as_real(...) of it")  # fmt: skip
        parts.append(_bytes(tensor))
        stop = start + len(parts[-1])
        header[name] = {"dtype": CODES[tensor.dtype.name], "shape": list(tensor.shape),
                        "data_offsets": [start, stop]}  # fmt: skip
        start = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _bytes(tensor: Tensor) -> bytes:
    if tensor.dtype is bfloat16:  # NumPy has none: the upper halves of float32
        return (tensor.numpy().view(np.uint32) >> 16).astype("<u2").tobytes()
    return tensor.numpy().tobytes()


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the configuration of a file.

    Errors: FormatError where the file is missing, damaged or not one of ambos.
    """
    from safetensors import SafetensorError, deserialize

    try:
        blob = path.read_bytes()
    except OSError as error:
        raise FormatError(f"load: cannot read {path}: {error.strerror or error}") from error
    try:
        entries = deserialize(blob)
        size = int.from_bytes(blob[:8], "little")
        metadata = json.loads(blob[8 : 8 + min(size, LIMIT)]).get("__metadata__", {})
        tensors = {name: _tensor(entry) for name, entry in entries}
        config = json.loads(metadata["ambos"]) if metadata.get("format") == FORMAT else None
    except (SafetensorError, AmbosError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(
            f"load: {path} is damaged or no safetensors file: {error}; nothing was changed"
        ) from error
    if not isinstance(config, dict):
        raise FormatError(
            f"load: {path} was not written by ambos (no {FORMAT} header); for plain weights use "
            "model.load_state_dict(safetensors.numpy.load_file(path)). Nothing was changed"
        )
    return tensors, config


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    dtype = as_dtype(NAMES[entry["dtype"]])
    kind = np.dtype("uint16" if dtype is bfloat16 else dtype.name)
    array = np.frombuffer(bytes(entry["data"]), kind).reshape(entry["shape"])
    if dtype is bfloat16:
        wide = (array.astype(np.uint32) << 16).view(np.float32)
        return Tensor(wide, dtype=dtype)
    return Tensor(array)


def check_portable(config: Mapping[str, Any]) -> None:
    """An ArgumentError where a configuration cannot be written as JSON."""
    try:
        json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"save: the configuration is not plain data: {error}") from error
