"""Weights of PyTorch's and Keras's files into a module of ours."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError, FormatError
from ambos.hub import keras
from ambos.hub.matching import Report, match
from ambos.nn import Module
from ambos.tensor.files import load, weights

Rename = Callable[[str], str] | Mapping[str, str]


@checked
def load_torch(
    module: Module, path: Any, strict: bool = True, rename: Rename | None = None
) -> Report:
    """Take over the weights of a file of PyTorch's or Hugging Face's; returns how names met.

    `path` is a `.pt`, `.pth`, `.bin` or `.safetensors` file, the index of one in several parts
    (`model.safetensors.index.json`), or what `am.load` returned. In a checkpoint the dictionary
    that fits best is taken ("state_dict", "model", ...); prefixes such as "module." and
    "_orig_mod.", and names of old layers, are seen through. `rename` says what a name in the file
    is called in the module. Nothing in a file is executed; what else a checkpoint holds,
    such as settings of classes of your own, is passed over.

    Errors: FormatError for a damaged or hostile file; ArgumentError, with the report, where names
        are missing or not expected (unless not `strict`); ShapeError for other shapes. The module
        is unchanged after an error.

    Example:
        >>> import ambos as am
        >>> layer = am.nn.Linear(2, 1)
        >>> state = {"module.weight": am.ones(1, 2), "module.bias": am.zeros(1)}
        >>> print(load_torch(layer, {"epoch": 3, "state_dict": state}))
        2 of 2 names matched (from 'state_dict'; without 'module.')
    """
    _require_module("load_torch", module)
    saved = path if isinstance(path, Mapping) else _read(path)
    found, report = match(module.state_dict(), saved, rename)
    return _taken("load_torch", module, found, report, strict)


@checked
def load_keras(
    module: Module,
    path: str | os.PathLike[str],
    strict: bool = True,
    flattened: Mapping[str, tuple[int, ...]] | None = None,
) -> Report:
    """Take over the weights of Keras 3, a `.weights.h5` or `.keras` file; returns how names met.

    Such files name layers by kind and number, so the first `Dense` goes to the first `nn.Linear`,
    and so on; kernels are transposed, gates put in order. Keras flattens images with channels last:
    for a linear layer behind a flattening, `flattened` gives the shape in front of it, channels
    first: `{"head": (64, 7, 7)}`. Settings are not in the weights: BatchNorm of Keras has eps=1e-3
    and momentum 0.01 of ours. Needs the package h5py: `pip install 'ambos[keras]'`.

    Errors: FormatError for a damaged file; ArgumentError where layers are missing or left over
        (unless not `strict`); ShapeError for other shapes. The module is unchanged after an error.
    """
    _require_module("load_keras", module)
    found, report = keras.weights(module, Path(path), dict(flattened or {}))
    return _taken("load_keras", module, found, report, strict)


def _taken(name: str, module: Module, found: Any, report: Report, strict: bool) -> Report:
    if strict and not report.complete:
        raise ArgumentError(
            f"{name}: {report}\nneed all names of both, rename=..., or strict=False to take over "
            "what fits. Nothing was changed"
        )
    module.load_state_dict(found, strict=False)
    return report


def _require_module(name: str, module: Any) -> None:
    if not isinstance(module, Module):
        raise ArgumentError(f"{name}: got {type(module).__name__}; need a module, then the path")


def _read(path: Any) -> Any:
    """A file, or all parts of an index."""
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path).endswith(".index.json"):
        return weights(path)
    place = Path(path)
    try:
        parts = set(json.loads(place.read_text())["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise FormatError(f"load_torch: {place} is no index of weights: {error}") from error
    found: dict[str, Any] = {}
    for part in sorted(map(str, parts)):
        if Path(part).name != part:  # an index may not lead elsewhere
            raise FormatError(f"load_torch: {place} refers to {part!r}; need a file beside it")
        found |= load(place.parent / part)
    return found
