"""Model files: safetensors, with the configuration as JSON in its header. Never pickle.

Weights stand under their state_dict names, so that any reader of safetensors can use the file;
the optimizer's tensors stand under "optimizer/".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ambos.core.errors import ArgumentError, FormatError
from ambos.tensor.files import safe
from ambos.tensor.handle import Tensor

FORMAT = "ambos-model-1"
SUFFIX = ".safetensors"


def place(path: object) -> Path:
    """`path` with the usual suffix where it has none.

    Errors: ArgumentError where it is no path.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ArgumentError(f"path is {path!r}; need a file's name, such as 'model.safetensors'")
    found = Path(path)
    if any(letter.isalpha() for letter in found.suffix):
        return found
    return found.with_name(found.name + SUFFIX)  # the end of "03-0.25" is no suffix


def write(path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write a file in one step: whoever reads `path` sees the old file or the new one.

    Errors: OSError where the place cannot be written.
    """
    check_portable(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    safe.write(path, tensors, {"format": FORMAT, "ambos": json.dumps(config)})


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the configuration of a file.

    Errors: FormatError where the file is missing, damaged or not one of ambos.
    """
    tensors, metadata = safe.read(path)
    try:
        config = json.loads(metadata["ambos"]) if metadata.get("format") == FORMAT else None
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError(f"load: {path} is damaged: {error}; nothing was changed") from error
    if not isinstance(config, dict):
        raise FormatError(
            f"load: {path} was not written by ambos (no {FORMAT} header); for plain weights use "
            "model.load_state_dict(am.load(path)). Nothing was changed"
        )
    return tensors, config


def check_portable(config: Mapping[str, Any]) -> None:
    """An ArgumentError where a configuration cannot be written as JSON."""
    try:
        json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"save: the configuration is not plain data: {error}") from error
