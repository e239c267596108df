"""Weights of Keras 3: which variables of which layer belong to which of our modules, and how."""

from __future__ import annotations

import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ambos import nn
from ambos.core.errors import ArgumentError, FormatError
from ambos.hub.matching import Report
from ambos.tensor.handle import Tensor

Arrays = list[np.ndarray]
State = dict[str, np.ndarray]
Shape = tuple[int, ...] | None
WEIGHTS = "model.weights.h5"  # in a .keras file
SIDES = ("forward_layer", "backward_layer")  # of Bidirectional


@dataclass
class Layer:
    """A layer of the file: its kind, where it stands, and its variables in order."""

    kind: str
    path: str
    arrays: Arrays


def layers_of(path: Path) -> list[Layer]:
    """The layers of a file that have variables; both directions of one are two.

    Errors: FormatError where the file is missing, damaged, or not of Keras 3.
    """
    try:
        import h5py
    except ImportError as error:
        raise ArgumentError(
            "load_keras: needs the package h5py to read HDF5; need pip install 'ambos[keras]'"
        ) from error
    try:
        with h5py.File(_opened(path), "r") as file:
            found = dict(_variables(file))
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise FormatError(f"load_keras: cannot read {path}: {error}") from error
    layers: dict[str, Arrays] = defaultdict(list)
    for name in sorted(found, key=_natural):
        owner, _, number = name.rpartition("/vars/")
        if number.isdigit() and owner.startswith("layers/"):
            layers[owner].append(found[name])
    if not layers:
        raise FormatError(f"load_keras: {path} has no layers/.../vars; need a file of Keras 3")
    return [Layer(_kind(owner), owner, arrays) for owner, arrays in layers.items()]


def _opened(path: Path) -> Any:
    """The HDF5 file, which a .keras archive holds as a member."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return path
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(WEIGHTS)
        if entry.file_size > path.stat().st_size:  # Keras stores it as it is
            raise FormatError(f"load_keras: {WEIGHTS} in {path} is compressed; need it stored")
        return io.BytesIO(archive.read(entry))


def _variables(file: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Every array of a file by its path. Links, and storage in other files, are not followed."""
    import h5py

    pending = [("", file)]
    while pending:
        path, group = pending.pop()
        for name in group:
            where = f"{path}/{name}" if path else name
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise FormatError(f"load_keras: {where} is a link; need the data itself")
            entry = group[name]
            if isinstance(entry, h5py.Group):
                if path.count("/") < 30:
                    pending.append((where, entry))
            elif entry.dtype.kind in "fiub" and not entry.is_virtual and not entry.external:
                yield where, np.asarray(entry)


def _natural(text: str) -> list[Any]:
    """A key that puts dense_10 after dense_9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def _kind(owner: str) -> str:
    parts = [part for part in owner.split("/") if part != "cell" and part not in SIDES]
    return re.sub(r"_\d+$", "", parts[-1])


# --- one layer -----------------------------------------------------------------------------------


def _linear(module: Any, arrays: Arrays, shape: Shape) -> State:
    kernel = arrays[0]
    if shape is not None:  # rows come with channels last
        channels, *places = shape
        parts = kernel.reshape(*places, channels, kernel.shape[-1])
        kernel = np.moveaxis(parts, -2, 0).reshape(kernel.shape)
    return _with_bias(kernel.T, arrays)


def _convolution(module: Any, arrays: Arrays, shape: Shape) -> State:
    """places, inputs, outputs -> outputs, inputs, places; of transposed ones both are swapped."""
    return _with_bias(np.moveaxis(arrays[0], (-1, -2), (0, 1)), arrays)


def _depthwise(module: Any, arrays: Arrays, shape: Shape) -> State:
    kernel = np.moveaxis(arrays[0], (-2, -1), (0, 1))  # channels, multiplier, places
    return _with_bias(kernel.reshape(-1, 1, *kernel.shape[2:]), arrays)


def _with_bias(kernel: np.ndarray, arrays: Arrays) -> State:
    return {"weight": kernel} | ({"bias": arrays[1]} if len(arrays) > 1 else {})


def _in_order(module: Any, arrays: Arrays, shape: Shape) -> State:
    """gamma, beta, moving mean and variance, whichever there are; the table of an embedding."""
    names = [name for name in ORDER if getattr(module, name, None) is not None]
    if len(names) != len(arrays):
        raise ArgumentError(f"load_keras: {type(module).__name__} has {', '.join(names)}, the "
                            f"file's {len(arrays)} variables; need as many")  # fmt: skip
    return dict(zip(names, arrays, strict=True))


def _gates(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The gates, which lie side by side in the last axis, in another order and first."""
    parts = np.split(array, len(order), axis=-1)
    return np.concatenate([parts[n] for n in order], axis=-1).T


def _recurrent(order: tuple[int, ...], arrays: Arrays, end: str) -> State:
    """A layer and direction of a recurrent module."""
    kernels = {"weight_ih": arrays[0], "weight_hh": arrays[1]}
    if len(arrays) > 2:
        both = arrays[2] if arrays[2].ndim == 2 else (arrays[2], np.zeros_like(arrays[2]))
        kernels |= {"bias_ih": both[0], "bias_hh": both[1]}
    return {f"{name}_{end}": _gates(array, order) for name, array in kernels.items()}


ORDER = ("weight", "bias", "running_mean", "running_var")
RECURRENT: dict[type, tuple[str, tuple[int, ...]]] = {
    nn.LSTM: ("lstm", (0, 1, 2, 3)),
    nn.GRU: ("gru", (1, 0, 2)),  # Keras: update, reset, new; ours: reset, update, new
    nn.RNN: ("simple_rnn", (0,)),
}
CONVERTERS: dict[type, tuple[str, Callable[[Any, Arrays, Shape], State]]] = {
    nn.Linear: ("dense", _linear),
    nn.Conv1d: ("conv1d", _convolution),
    nn.Conv2d: ("conv2d", _convolution),
    nn.Conv3d: ("conv3d", _convolution),
    nn.ConvTranspose1d: ("conv1d_transpose", _convolution),
    nn.ConvTranspose2d: ("conv2d_transpose", _convolution),
    nn.ConvTranspose3d: ("conv3d_transpose", _convolution),
    nn.BatchNorm1d: ("batch_normalization", _in_order),
    nn.BatchNorm2d: ("batch_normalization", _in_order),
    nn.BatchNorm3d: ("batch_normalization", _in_order),
    nn.LayerNorm: ("layer_normalization", _in_order),
    nn.GroupNorm: ("group_normalization", _in_order),
    nn.Embedding: ("embedding", _in_order),
}


# --- a whole module ------------------------------------------------------------------------------


def weights(
    module: nn.Module, path: Path, flattened: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Tensor], Report]:
    """The weights of a file under the names of `module`, and how they were found: the first layer
    of a kind goes to the first module of that kind, and so on.

    Errors: FormatError for a damaged file; ArgumentError for a layer with other variables.
    """
    queues: dict[str, list[Layer]] = defaultdict(list)
    for layer in layers_of(path):
        queues[layer.kind].append(layer)
    state: dict[str, np.ndarray] = {}
    matched: dict[str, str] = {}
    for name, part in module.named_modules():
        for layer, found in _taken(part, queues, flattened.get(name)):
            names = {key: f"{name}.{key}" if name else key for key in found}
            state |= {names[key]: array for key, array in found.items()}
            matched |= {names[key]: layer.path for key in found}
    ours = [key for key in module.state_dict() if not key.endswith("num_batches_tracked")]
    missing = [key for key in ours if key not in state]
    unexpected = [layer.path for queue in queues.values() for layer in queue]
    tensors = {key: Tensor(np.ascontiguousarray(array)) for key, array in state.items()}
    return tensors, Report(matched, missing, unexpected)


def _taken(
    part: nn.Module, queues: dict[str, list[Layer]], shape: Shape
) -> Iterator[tuple[Layer, State]]:
    """The layers of the file that belong to a module, with what they become."""
    for kind, (title, convert) in CONVERTERS.items():
        if isinstance(part, kind):
            deep = title.startswith("conv") and getattr(part, "groups", 1) == part.in_channels > 1
            queue = queues[f"depthwise_{title}"] if deep else queues[title]
            if queue:
                layer = queue.pop(0)
                yield layer, (_depthwise if deep else convert)(part, layer.arrays, shape)
    for kind, (title, order) in RECURRENT.items():
        if isinstance(part, kind):
            queue = queues["bidirectional" if part.bidirectional else title]
            ends = ("", "_reverse") if part.bidirectional else ("",)
            for number in range(part.num_layers):
                both, queue[: len(ends)] = queue[: len(ends)], []
                for end, layer in zip(ends, sorted(both, key=_backward), strict=False):
                    yield layer, _recurrent(order, layer.arrays, f"l{number}{end}")


def _backward(layer: Layer) -> bool:
    return SIDES[1] in layer.path
