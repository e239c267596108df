"""Tensors in files: `am.save` and `am.load`."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError, FormatError
from ambos.tensor.files import nested, pickled, safe, torch
from ambos.tensor.files.held import Held, name_of
from ambos.tensor.files.nested import NESTED, RESERVED, TIED
from ambos.tensor.handle import Tensor
from ambos.tensor.names import check_device

PICKLES = (".pt", ".pth", ".bin", ".ckpt")  # what torch.load takes for pickles
FOREIGN = {
    ".h5": "Keras's", ".hdf5": "Keras's", ".keras": "Keras's", ".npy": "NumPy's", ".npz": "NumPy's",
    ".pkl": "pickle's", ".pickle": "pickle's", ".onnx": "ONNX's", ".pb": "TensorFlow's",
    ".tflite": "TensorFlow's", ".gguf": "llama.cpp's", ".mat": "MATLAB's",
}  # fmt: skip


def check_name(op: str, path: Path, are_models: bool = False) -> None:
    """Refuse to write what another program would take for a file of its own by the name.

    Errors: ArgumentError.
    """
    suffix = path.suffix.lower()
    whose = FOREIGN.get(suffix)
    if are_models and suffix in PICKLES:
        whose = "PyTorch's"
    if whose is not None:
        more = (f"; am.save(model.state_dict(), {path.name!r}) writes one of PyTorch's"
                if suffix in PICKLES else "")  # fmt: skip
        raise ArgumentError(
            f"{op}: {path.name!r} is the name of one of {whose} files, and this writes "
            f"safetensors; need {path.with_suffix('.safetensors').name!r}{more}"
        )


def _place(op: str, path: Any) -> Any:
    """A path, or a file that is open for bytes."""
    if isinstance(path, (str, os.PathLike)) and os.fspath(path):
        return Path(path)
    verb, able, mode = ("read", "readable", "rb") if op == "load" else ("write", "writable", "wb")
    if isinstance(path, (str, os.PathLike)) or not callable(getattr(path, verb, None)):
        raise ArgumentError(f"{op}: path is {path!r}; need a file's name: 'model.safetensors', or "
                            "an open file")  # fmt: skip
    if isinstance(path, io.TextIOBase) or not getattr(path, able, lambda: True)():
        raise ArgumentError(f"{op}: {path!r} is not open to {verb} bytes; need "
                            f"open(path, {mode!r})")  # fmt: skip
    return path


@checked
def save(
    tensors: Any,
    path: str | os.PathLike[str] | BinaryIO,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors by name, such as a `state_dict`, or dictionaries and lists of tensors, numbers
    and texts, such as an optimizer's state. `load` gives back what was saved.

    A name of PyTorch's (".pt", ".pth", ".bin", ".ckpt") gives a file that `torch.load` reads; any
    other one safetensors, which Hugging Face's libraries read as well. There `metadata` is text by
    name; {"format": "pt"} is added, as those libraries expect. A tensor that has several names
    (tied weights) is written once; the other names stand in the metadata, as
    `safetensors.torch.save_model` writes them. An open file, such as `io.BytesIO()`, is written to
    from where it stands, in one piece: PyTorch's format, unless its name ends in ".safetensors".

    Dtypes: all, complex128 in a file of PyTorch's only.
    Errors: ArgumentError for what is neither tensor nor plain data, and for metadata that is no
        text; FileNotFoundError for a folder that is not there.

    Example:
        >>> import ambos as am, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
        >>> am.save({"weight": am.tensor([1.0, 2.0])}, path)
        >>> am.load(path)["weight"]
        tensor([1., 2.])
    """
    place = _place("save", path)
    name = place if isinstance(place, Path) else Path(name_of(place) or "file.pt")
    check_name("save", name)
    suffix = name.suffix.lower()
    if suffix in PICKLES or (place is not name and suffix != ".safetensors"):
        if metadata is not None:
            raise ArgumentError("save: metadata for a file of PyTorch's; need it among what is "
                                'saved: {"model": state, "note": ...}')  # fmt: skip
        pickled.write(place, tensors)
        return
    if taken := [name for name in metadata or () if name in RESERVED]:
        raise ArgumentError(f"save: metadata under {taken[0]!r}; need another name for it")
    texts: dict[Any, Any] = {"format": "pt", **(metadata or {})}
    if not _is_flat(tensors):
        tensors, texts[NESTED] = nested.described(tensors)
    first: dict[int, str] = {}
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        held = first.setdefault(id(tensor), name)
        if held == name or name in texts:  # which no other text may replace
            kept[name] = tensor
        else:
            texts[name] = held
    tied = [name for name in tensors if name not in kept]
    if tied or not kept.keys().isdisjoint(map(str, texts.values())):
        texts[TIED] = json.dumps(tied)
    if not all(isinstance(text, str) for pair in texts.items() for text in pair):
        raise ArgumentError("save: metadata is not text by name; need for example json.dumps(...)")
    safe.write(place, kept, texts)


def _is_flat(value: Any) -> bool:
    """Tensors by name, which the file may have as they are, and nothing else?"""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and name not in RESERVED and isinstance(tensor, Tensor)
        for name, tensor in value.items()
    )


@checked
def load(
    path: str | os.PathLike[str] | BinaryIO,
    map_location: object = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
) -> Any:
    """What a file holds, by its content: tensors by name, or what else `save` or `torch.save`
    wrote, with tensors of ours.

    Nothing in a file is ever executed: a pickle that names anything but tensors and plain data is
    refused. Elements are read from the file once, without a copy of the file in memory; an open
    file, such as `io.BytesIO`, is taken into memory, from where it stands to its end. What
    PyTorch's users say besides changes nothing: `map_location` has to be the CPU, `weights_only`
    and `mmap` are as they are.

    Errors: DeviceError for another `map_location`; FormatError where the file is missing, damaged,
        of another kind, or wants to run something.

    Example:
        >>> import ambos as am, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
        >>> am.save({"a": am.ones(2)}, path)
        >>> am.load(path)
        {'a': tensor([1., 1.])}
    """
    if map_location is None or isinstance(map_location, (str, int)):
        check_device("load", map_location)
    return _read(_source(path))


def weights(path: Any) -> Any:
    """As `load`, for whoever wants the weights alone: what is of an unknown class stands there as
    `Unknown`, which holds a name and does nothing, instead of the whole file being refused."""
    place = _source(path)
    found = _read(place, weights=True)
    return found if isinstance(found, dict) else _read(place)


def _source(path: Any) -> Path | Held:
    place = _place("load", path)
    return place if isinstance(place, Path) else Held(place)


def _read(place: Path | Held, weights: bool = False) -> Any:
    try:
        with place.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise FormatError(f"load: cannot read {place}: {error.strerror or error}") from error
    headed = start[8:9] == b"{"  # safetensors, of whose length the first bytes may be anything
    if not headed and (start[:4] == b"PK\x03\x04" or start[:1] == b"\x80"):
        return torch.read(place, weights)
    if not headed and start[:4] == b"\x89HDF":
        raise FormatError(f"load: {place} is HDF5; need am.load_keras(module, path)")
    tensors, metadata = safe.read(place)
    tied = _tied(tensors, metadata)
    tensors |= {name: tensors[metadata[name]] for name in tied}
    if NESTED not in metadata:
        return tensors
    return nested.restored(metadata[NESTED], tensors, f"load: {place}")


def _tied(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> list[str]:
    """The entries of the metadata that are further names of tensors. Files of others do not tell
    them from text: there, both names have to end alike, as "a.weight" and "b.weight" do."""
    try:
        listed = json.loads(metadata[TIED])
    except (KeyError, TypeError, ValueError, RecursionError):
        listed = None
    return [
        name
        for name, kept in metadata.items()
        if name not in tensors
        and isinstance(kept, str)
        and kept in tensors
        and (
            name in listed
            if isinstance(listed, list)
            else name.rpartition(".")[1:] == (".", kept.rpartition(".")[2])
        )
    ]
