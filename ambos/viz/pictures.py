"""Videos and images with boxes, drawn and encoded by Pillow."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError, ShapeError
from ambos.data.opened import library
from ambos.viz.values import Array, as_array, as_pixels, check_rows

LINE = 2  # pixels
COLOUR = "Red"


def frames(value: Any) -> Array:
    """(videos, time, channels, height, width) as images of all videos side by side, in a grid with
    sides that are powers of two.

    Errors: ShapeError.
    """
    array = as_array(value)
    if array.ndim != 5 or 0 in array.shape or array.shape[2] not in (1, 3, 4):
        raise ShapeError(f"add_video: a video of shape {array.shape}; need (videos, time, "
                         "channels, height, width) with 1, 3 or 4 channels")  # fmt: skip
    videos, time, channels, height, width = array.shape
    pixels = as_pixels("add_video", array.reshape(-1, channels, height, width), "NCHW", batch=True)
    rows = 2 ** ((videos.bit_length() - 1) // 2)
    columns = 2 ** (videos - 1).bit_length() // rows
    grid = np.zeros((rows * columns, time, height, width, channels), np.uint8)
    grid[:videos] = pixels.reshape(videos, time, height, width, channels)
    grid = grid.reshape(rows, columns, time, height, width, channels).transpose(2, 0, 3, 1, 4, 5)
    return np.ascontiguousarray(grid.reshape(time, rows * height, columns * width, channels))


def gif(images: Array, fps: float) -> bytes:
    """An animation that begins again when it ends.

    Errors: ArgumentError without Pillow, or where `fps` is not positive.
    """
    if not fps > 0:
        raise ArgumentError(f"add_video: fps is {fps!r}; need a number of frames a second")
    pillow, file = library("add_video", "PIL.Image", "pillow"), io.BytesIO()
    first, *others = [pillow.fromarray(_squeezed(image)) for image in images]
    first.save(file, "GIF", save_all=True, append_images=others, duration=1000 / fps, loop=0)
    return file.getvalue()


def with_boxes(
    pixels: Array, boxes: Any, labels: str | Sequence[str] | None, rescale: float
) -> Array:
    """An image with rectangles (left, top, right, bottom), each with its label at the bottom.

    Errors: ShapeError where boxes and labels do not fit; ArgumentError without Pillow.
    """
    op, corners = "add_image_with_boxes", as_array(boxes)
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise ShapeError(f"{op}: boxes of shape {corners.shape}; need (boxes, 4): left, top, "
                         "right and bottom")  # fmt: skip
    texts = [labels] if isinstance(labels, str) else labels
    check_rows(op, len(corners), labels=texts)
    pillow, drawing = library(op, "PIL.Image", "pillow"), library(op, "PIL.ImageDraw", "pillow")
    height, width, channels = pixels.shape
    image = pillow.fromarray(_squeezed(pixels))
    draw = drawing.Draw(image)
    for number, box in enumerate(corners.tolist()):
        _draw(draw, box, None if texts is None else texts[number])
    size = int(width * rescale), int(height * rescale)
    image = image.resize(size, pillow.Resampling.LANCZOS)
    return np.asarray(image).reshape(size[1], size[0], channels)


def _draw(draw: Any, box: Sequence[float], label: str | None) -> None:
    left, top, right, bottom = box
    corners = [(left, top), (left, bottom), (right, bottom), (right, top), (left, top)]
    draw.line(corners, width=LINE, fill=COLOUR)
    if label:
        font = draw.getfont()
        x, y, end, base = font.getbbox(label)
        margin = math.ceil(0.05 * (base - y))
        upper = bottom - (base - y) - 2 * margin
        draw.rectangle([(left, upper), (left + end - x, bottom)], fill=COLOUR)
        draw.text((left + margin, upper + margin), label, fill="black", font=font)


def _squeezed(image: Array) -> Array:
    return image[..., 0] if image.shape[-1] == 1 else image
