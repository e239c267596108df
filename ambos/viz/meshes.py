"""Points and surfaces in space, for TensorBoard's mesh plugin.

Source: tensorboard/plugins/mesh: plugin_data.proto, metadata.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError, IndexingError, ShapeError
from ambos.viz.messages import floats, metadata, tensor
from ambos.viz.values import as_array
from ambos.viz.wire import integer, integers, message, text

PARTS = {"VERTEX": 1, "FACE": 2, "COLOR": 3}  # MeshPluginData.ContentType


def summary(
    tag: str, vertices: Any, colors: Any, faces: Any, config: Mapping[str, Any] | None
) -> bytes:
    """A value for each part that is there; each knows which others there are.

    Errors: ShapeError where sizes do not fit; IndexingError for a face with a vertex that is not
        there; ArgumentError for a configuration that JSON cannot hold.
    """
    given = {"VERTEX": vertices, "FACE": faces, "COLOR": colors}
    parts = {name: as_array(part) for name, part in given.items() if part is not None}
    _check(**parts)
    try:
        settings = json.dumps(config or {}, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"add_mesh: config_dict: {error}; need names, numbers, lists and "
                            "dictionaries") from error  # fmt: skip
    present = sum(1 << PARTS[name] for name in parts)
    found = []
    for name, part in parts.items():
        about = message(
            text(2, tag), integer(3, PARTS[name]), text(5, settings), integers(6, part.shape),
            integer(7, present),
        )  # fmt: skip
        found.append(tensor(f"{tag}_{name}", floats(part), metadata("mesh", about)))
    return b"".join(found)


def _check(VERTEX: Any, FACE: Any = None, COLOR: Any = None) -> None:
    if VERTEX.ndim != 3 or VERTEX.shape[2] != 3:
        raise ShapeError(f"add_mesh: vertices of shape {VERTEX.shape}; need (batch, points, 3)")
    if COLOR is not None and COLOR.shape != VERTEX.shape:
        raise ShapeError(f"add_mesh: colors of shape {COLOR.shape}, vertices {VERTEX.shape}; need "
                         "the same: red, green and blue for each")  # fmt: skip
    if FACE is None:
        return
    if FACE.ndim != 3 or FACE.shape[::2] != (len(VERTEX), 3):
        raise ShapeError(f"add_mesh: faces of shape {FACE.shape}; need ({len(VERTEX)}, faces, 3)")
    count = VERTEX.shape[1]
    if FACE.size and not (np.min(FACE) >= 0 and np.max(FACE) < count):
        raise IndexingError(f"add_mesh: faces have the vertices {FACE.min()} to {FACE.max()}; need "
                            f"0 to {count - 1}")  # fmt: skip
