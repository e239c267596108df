"""PyTorch's files, `.pt` and `.pth`: read without PyTorch and without running anything."""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ambos.core.dtype import DType
from ambos.core.errors import FormatError
from ambos.tensor.files.elements import dtype_named, kind_of, strided, tensor_of
from ambos.tensor.files.held import Held, mapped
from ambos.tensor.files.unpickle import Machine, Name, Names, Unknown, plain_key
from ambos.tensor.handle import Tensor

STORAGES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16",
    "Byte": "uint8", "Char": "int8", "Short": "int16", "Int": "int32", "Long": "int64",
    "Bool": "bool", "ComplexFloat": "complex64", "ComplexDouble": "complex128",
    "Untyped": "uint8",
}  # fmt: skip
DTYPES = (
    "float32", "float64", "float16", "bfloat16", "uint8", "uint16", "uint32", "uint64", "int8",
    "int16", "int32", "int64", "bool", "complex64", "complex128",
)  # fmt: skip
DEEPEST = 100  # containers in containers
MAGIC = 0x1950A86A20F9469CFC6C  # how files began before PyTorch 1.6
Elements = Callable[[str, str, DType], np.ndarray]  # key, dtype -> what a storage holds


@dataclass(frozen=True)
class Stored:
    """A storage that a pickle refers to: `count` elements under `key`."""

    key: str
    kind: str
    count: int


@dataclass(frozen=True)
class View:
    """A tensor as it is described: part of a storage, with strides."""

    storage: Stored
    kind: str
    offset: Any
    shape: Any
    strides: Any
    conj: bool = False
    neg: bool = False


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any, kind: str = "") -> View:
    """`_rebuild_tensor_v2`: requires_grad, hooks, and bits for what is yet to be done follow."""
    if not isinstance(storage, Stored):
        raise FormatError(f"tensor: made of {type(storage).__name__}; need a storage")
    bits = more[2] if len(more) > 2 and isinstance(more[2], dict) else {}
    conj, neg = (bits.get(name) is True for name in ("conj", "neg"))
    return View(storage, kind or storage.kind, offset, shape, strides, conj, neg)


def _untyped(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> View:
    """`_rebuild_tensor_v3`, whose storage is bytes: requires_grad, hooks, dtype follow."""
    dtype = more[2] if len(more) > 2 else None
    if not isinstance(dtype, Dtype):
        raise FormatError("tensor: no dtype for its bytes")
    return _view(storage, offset, shape, strides, *more[:2], *more[3:], kind=dtype.name)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _of_subclass(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """`_rebuild_from_type_v2`: a tensor of a subclass, or with attributes: its data alone."""
    known = isinstance(function, Name) and function.function in (_view, _untyped, _parameter)
    if not known or not isinstance(arguments, tuple):
        raise FormatError("tensor: rebuilt by what is no function of PyTorch's")
    return function.function(*arguments)


@dataclass(frozen=True)
class Dtype:
    """`torch.float32` and the like."""

    name: str


def _old_bytes(text: Any) -> bytes:
    """Bytes, which old pickles write as text."""
    if not isinstance(text, str):
        raise FormatError("pickle: bytes made of what is no text")
    return text.encode("latin-1")


def _dictionary(entries: Any) -> dict[Any, Any]:
    pairs = entries.items() if isinstance(entries, dict) else entries
    return {plain_key(key): value for key, value in pairs}


def _refused(*_: Any) -> Any:
    raise FormatError("pickle: calls a class that here only stands for itself")


NAMES: Names = {
    ("collections", "OrderedDict"): lambda entries=(): _dictionary(entries),
    ("collections", "Counter"): lambda counts=(): Counter(_dictionary(counts)),
    ("torch._utils", "_rebuild_tensor"): _view,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch._utils", "_rebuild_tensor_v3"): _untyped,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _of_subclass,
    ("torch", "Tensor"): _refused,
    ("torch.nn.parameter", "Parameter"): _refused,
    ("torch", "Size"): lambda sizes=(): tuple(sizes),
    ("torch", "device"): lambda *_: "cpu",
    ("torch.storage", "UntypedStorage"): _refused,
    ("_codecs", "encode"): lambda text, _="latin-1": _old_bytes(text),
    ("builtins", "set"): lambda entries=(): set(map(plain_key, entries)),
    ("__builtin__", "set"): lambda entries=(): set(map(plain_key, entries)),
    **{("torch", f"{name}Storage"): _refused for name in STORAGES},
}


class _Machine(Machine):
    """Names of dtypes are values; of storages, something that a storage may be told by. Where only
    the `weights` are wanted, unknown names are `Unknown`."""

    def __init__(self, *arguments: Any, weights: bool) -> None:
        super().__init__(*arguments)
        self.weights = weights

    def name(self, module: Any, name: Any) -> None:
        if module == "torch" and name in DTYPES:
            self.push(Dtype(name))
        elif module == "torch" and isinstance(name, str) and _is_odd(name):
            raise FormatError(f"file: has tensors of torch.{name}, which tensors here cannot be")
        elif self.weights and isinstance(name, str) and (module, name) not in self.names:
            self.push(Unknown(f"{module}.{name}"))
        else:
            super().name(module, name)

    def persist(self, token: Any) -> None:
        # Before PyTorch 1.6 the class of a module stood there together with its source.
        if isinstance(token, tuple) and len(token) > 1 and isinstance(token[1], Unknown):
            self.push(token[1])
        else:
            super().persist(token)


def _is_odd(name: str) -> bool:
    kinds = ("float8", "qint", "quint", "complex32", "bits", "float4", "Q")
    return name.startswith(kinds) and f"{name.removesuffix('Storage')}" not in STORAGES


def _storage(token: Any) -> Stored:
    """The storage that a pickle refers to as ("storage", its class, key, device, count)."""
    if not isinstance(token, tuple) or len(token) < 5 or token[0] != "storage":
        raise FormatError(f"file: refers to {type(token).__name__}; need a storage")
    _, kind, key, _, count = token[:5]
    title = kind.title if isinstance(kind, Name) else ""
    name = title.rpartition(".")[2].removesuffix("Storage")
    if name not in STORAGES or not isinstance(key, str) or type(count) is not int or count < 0:
        raise FormatError(f"file: a storage of {title or '?'}; need a known kind, key and "
                          "count")  # fmt: skip
    if len(token) > 5 and token[5] is not None:
        raise FormatError("file: a storage that is a view of another, as of PyTorch before 0.4")
    return Stored(key, STORAGES[name], count)


class Converter:
    """Descriptions to tensors. What is one object stays one; equal views share their numbers."""

    def __init__(self, elements: Callable[[Stored, DType], np.ndarray], size: int) -> None:
        self.elements = elements
        self.room = 8 * size + (64 << 20)  # bytes: views overlap and expand, but not without end
        self.done: dict[int, tuple[Any, Any]] = {}  # by id: the object, so that it stays, and ours
        self.views: dict[Any, Tensor] = {}

    def __call__(self, value: Any, depth: int = 0) -> Any:
        if depth > DEEPEST:
            raise FormatError(f"file: containers {DEEPEST} deep; need less")
        if id(value) in self.done:
            return self.done[id(value)][1]
        if isinstance(value, View):
            found: Any = self.tensor(value)
        elif isinstance(value, dict):
            found = {k: self(v, depth + 1) for k, v in value.items()}
            found = Counter(found) if isinstance(value, Counter) else found
        elif isinstance(value, (list, tuple, set, frozenset)):
            found = type(value)(self(entry, depth + 1) for entry in value)
        else:
            found = self.plain(value)
        self.done[id(value)] = value, found
        return found

    def plain(self, value: Any) -> Any:
        if isinstance(value, Dtype):
            return dtype_named(value.name, "file")
        if isinstance(value, Stored):
            return tensor_of(self.elements(value, dtype_named(value.kind, "storage")),
                             dtype_named(value.kind, "storage"))  # fmt: skip
        if value is None or isinstance(value, (bool, int, float, str, bytes, Unknown)):
            return value
        raise FormatError(f"file: holds {getattr(value, 'title', type(value).__name__)} as a value")

    def tensor(self, view: View) -> Tensor:
        title = f"storage {view.storage.key}"
        dtype = dtype_named(view.kind, title)
        layout = _whole((view.offset,)), _whole(view.shape), _whole(view.strides)
        place = (view.storage, view.kind, *layout, view.conj, view.neg)
        if place not in self.views:
            self.room -= math.prod(layout[1]) * kind_of(dtype).itemsize
            if self.room < 0:
                raise FormatError(f"{title}: expanded to far more than the file holds; need less")
            bits = strided(
                self.elements(view.storage, dtype), view.offset, view.shape, view.strides, title
            )
            found = tensor_of(bits, dtype)
            if view.neg and dtype.name == "bool":
                raise FormatError(f"{title}: bools that are to be negated")
            found = found.conj() if view.conj else found
            self.views[place] = -found if view.neg else found
        return self.views[place].detach()


def _whole(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)) or not all(type(entry) is int for entry in value):
        raise FormatError("tensor: an offset, a size or a stride is no integer")
    return tuple(value)


class Zip:
    """A file of PyTorch 1.6 or newer: an archive of a pickle and, uncompressed, storages."""

    def __init__(self, path: Path | Held) -> None:
        self.path = path
        try:
            self.archive = zipfile.ZipFile(path if isinstance(path, Path) else path.open())
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise FormatError(f"load: {path} is no whole archive: {error}") from error
        self.entries = {entry.filename: entry for entry in self.archive.infolist()}
        found = [name for name in self.entries if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(found) != 1:
            hint = "TorchScript; " if any("/code/" in name for name in self.entries) else ""
            raise FormatError(f"load: {path} is no file of torch.save ({hint}no data.pkl)")
        self.folder = found[0].removesuffix("data.pkl")
        order = self._bytes("byteorder", 16) if f"{self.folder}byteorder" in self.entries else b""
        self.order: Literal["<", ">"] = ">" if order == b"big" else "<"
        self.bytes = mapped(path)

    def read(self, weights: bool) -> Any:
        """What was saved."""
        if any(name.startswith(f"{self.folder}code/") for name in self.entries):
            raise FormatError(f"load: {self.path} is TorchScript, which is code; need a file of "
                              "torch.save(model.state_dict(), path)")  # fmt: skip
        pickle = self._bytes("data.pkl", 1 << 30)
        machine = _Machine(pickle, NAMES, _storage, weights=weights)
        return Converter(self.elements, self.bytes.size)(machine.run())

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = self.entries.get(f"{self.folder}{name}")
        if entry is None:
            raise FormatError(f"load: {self.path} has no entry {name}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise FormatError(
                f"load: entry {name} of {self.path} is compressed or encrypted, which torch.save "
                "never does; need the file as it was saved"
            )
        return entry

    def _bytes(self, name: str, most: int) -> bytes:
        entry = self._entry(name)
        if entry.file_size > most:
            raise FormatError(f"load: entry {name} of {self.path} has {entry.file_size} bytes; "
                              f"need at most {most}")  # fmt: skip
        try:
            return self.archive.read(entry)
        except (zipfile.BadZipFile, EOFError, ValueError, OSError) as error:
            raise FormatError(f"load: entry {name} of {self.path} is damaged: {error}") from error

    def elements(self, storage: Stored, dtype: DType) -> np.ndarray:
        """All of a storage, where it lies in the file: read when it is copied."""
        entry = self._entry(f"data/{storage.key}")
        at = max(0, entry.header_offset)
        head = bytes(self.bytes[at : at + 30])
        if len(head) < 30 or head[:4] != b"PK\x03\x04":
            raise FormatError(f"load: entry {storage.key} of {self.path} is not where it should be")
        start = (
            entry.header_offset
            + 30
            + sum(int.from_bytes(head[at : at + 2], "little") for at in (26, 28))
        )
        size = storage.count * kind_of(dtype_named(storage.kind, "storage")).itemsize
        if entry.file_size != size or start + size > self.bytes.size:
            raise FormatError(
                f"load: storage {storage.key} of {self.path} has {entry.file_size} bytes at "
                f"{start}; need {size} within {self.bytes.size}"
            )
        return _typed(self.bytes[start : start + size], dtype, self.order)


def _typed(raw: np.ndarray, dtype: DType, order: Literal["<", ">"]) -> np.ndarray:
    kind = kind_of(dtype).newbyteorder(order)
    if raw.size % kind.itemsize:
        raise FormatError(f"storage: {raw.size} bytes are no whole number of {dtype.name}")
    return raw.view(kind)


class Legacy:
    """A file of before PyTorch 1.6: five pickles, then the storages one after another."""

    def __init__(self, path: Path | Held) -> None:
        self.path = path
        self.bytes = mapped(path)
        self.places: dict[str, tuple[int, int]] = {}  # key -> where it starts, how many elements
        self.kinds: dict[str, Stored] = {}

    def read(self, weights: bool) -> Any:
        """What was saved."""
        position, parts = 0, []
        for _ in range(5):
            machine = _Machine(self.bytes.data, NAMES, self._known, position, weights=weights)
            parts.append(machine.run())
            position = machine.position
            if parts[0] != MAGIC:
                raise FormatError(f"load: {self.path} is a pickle, but not of torch.save")
        self._find(parts[4], position)
        return Converter(self.elements, self.bytes.size)(parts[3])

    def _known(self, token: Any) -> Stored:
        found = _storage(token)
        return self.kinds.setdefault(found.key, found)

    def _find(self, keys: Any, position: int) -> None:
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise FormatError(f"load: {self.path} does not list its storages")
        for key in keys:
            count = int.from_bytes(bytes(self.bytes[position : position + 8]), "little")
            storage = self.kinds.get(key)
            if storage is None or storage.count != count:
                need = storage.count if storage else "one that is used"
                raise FormatError(
                    f"load: storage {key} of {self.path} has {count} elements; need {need}"
                )
            self.places[key] = position + 8, count
            position += 8 + count * kind_of(dtype_named(storage.kind, "storage")).itemsize
        if position > self.bytes.size:
            raise FormatError(f"load: {self.path} ends at {self.bytes.size}; need {position} bytes")

    def elements(self, storage: Stored, dtype: DType) -> np.ndarray:
        """All of a storage, where it lies in the file."""
        if storage.key not in self.places:
            raise FormatError(f"load: {self.path} has no storage {storage.key}")
        start, count = self.places[storage.key]
        size = count * kind_of(dtype_named(storage.kind, "storage")).itemsize
        return _typed(self.bytes[start : start + size], dtype, "<")


def read(path: Path | Held, weights: bool = False) -> Any:
    """What `torch.save` wrote: containers, numbers, text, and tensors.

    Errors: FormatError where the file is damaged, or wants to run something.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise FormatError(f"load: {path} is empty")
    return (Zip(path) if start == b"PK\x03\x04" else Legacy(path)).read(weights)
