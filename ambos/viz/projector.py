"""Points with labels and pictures for TensorBoard's projector: files beside the events.

Source: tensorboard/plugins/projector/projector_config.proto, in its text format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError, ShapeError
from ambos.viz.values import Array, as_array, as_pixels, check_rows, png

CONFIG = "projector_config.pbtxt"
LARGEST_SPRITE = 8192  # pixels a side, what browsers draw


def add(
    folder: Path,
    tag: str,
    step: int,
    points: Any,
    metadata: Sequence[Any] | None,
    images: Any,
    header: Sequence[str] | None,
) -> None:
    """Write the points of `tag` at `step`, and enter them in the folder's configuration.

    Errors: ShapeError, ArgumentError.
    """
    op, array = "add_embedding", as_array(points)
    if array.ndim != 2 or not array.size:
        raise ShapeError(f"{op}: points of shape {array.shape}; need (points, dimensions)")
    rows = None if metadata is None else [_row(row) for row in metadata]
    check_rows(op, len(array), metadata=rows)
    if header is not None and any(len(row) != len(header) for row in rows or [[]]):
        raise ArgumentError(f"{op}: metadata_header has {len(header)} names; need one for each "
                            "entry of every row of metadata")  # fmt: skip
    pixels = None if images is None else as_pixels(op, images, "NCHW", batch=True)
    check_rows(op, len(array), label_img=pixels)  # type: ignore[arg-type]  # it has a length
    place = f"{step:05d}/{re.sub(r'[^A-Za-z0-9_.-]', '_', tag)}"
    home = folder / place
    home.mkdir(parents=True, exist_ok=True)
    np.savetxt(home / "tensors.tsv", array, fmt="%.7g", delimiter="\t")
    entry = {"tensor_name": f"{tag}:{step:05d}", "tensor_path": f"{place}/tensors.tsv"}
    if rows is not None:
        heads = [] if header is None else ["\t".join(map(_cell, header))]
        lines = heads + ["\t".join(row) for row in rows]
        (home / "metadata.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        entry["metadata_path"] = f"{place}/metadata.tsv"
    sprite = ""
    if pixels is not None:
        (home / "sprite.png").write_bytes(png(_sprite(op, pixels)))
        sprite = _sprite_entry(f"{place}/sprite.png", pixels)
    _enter(folder / CONFIG, entry, sprite)


def _row(row: Any) -> list[str]:
    cells = row if isinstance(row, (list, tuple)) else [row]
    return [_cell(cell) for cell in cells]


def _cell(value: Any) -> str:
    """Text without what separates cells and rows."""
    return re.sub(r"[\t\r\n]+", " ", str(value))


def _sprite(op: str, pixels: Array) -> Array:
    """All pictures in a square; those that are missing in its last row are white."""
    count, height, width, channels = pixels.shape
    side = int(np.ceil(np.sqrt(count)))
    if side * max(height, width) > LARGEST_SPRITE:
        raise ShapeError(f"{op}: {count} pictures of {height} x {width} pixels; need a square of "
                         f"them to have at most {LARGEST_SPRITE} pixels a side")  # fmt: skip
    whole = np.full((side * side, height, width, channels), 255, np.uint8)
    whole[:count] = pixels
    whole = whole.reshape(side, side, height, width, channels).swapaxes(1, 2)
    return whole.reshape(side * height, side * width, channels)


def _sprite_entry(path: str, pixels: Array) -> str:
    _, height, width, _ = pixels.shape
    return (f"  sprite {{\n    image_path: {json.dumps(path)}\n    single_image_dim: {width}\n"
            f"    single_image_dim: {height}\n  }}\n")  # fmt: skip


def _enter(path: Path, entry: dict[str, str], sprite: str) -> None:
    fields = "".join(f"  {name}: {json.dumps(value)}\n" for name, value in entry.items())
    block = f"embeddings {{\n{fields}{sprite}}}\n"
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    if block not in known:
        path.write_text(known + block, encoding="utf-8")
