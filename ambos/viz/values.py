"""What users hand over, as arrays; images as PNG and sound as WAV, both with the standard library.

Source: "PNG (Portable Network Graphics) Specification", W3C.
"""

from __future__ import annotations

import io
import struct
import wave
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.errors import ArgumentError, ShapeError
from ambos.tensor.handle import Tensor

Array = NDArray[Any]
COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> PNG's colour type


def as_array(value: Any) -> Array:
    """A tensor of ours or of anybody, or numbers, as an array that NumPy computes with."""
    if isinstance(value, Tensor):
        small = value.dtype.is_floating and value.dtype.itemsize < 4
        return (value.detach().to("float32") if small else value.detach()).numpy()
    detach = getattr(value, "detach", None)  # PyTorch's tensors that need gradients
    return np.asarray(value if detach is None else detach())


def as_number(op: str, value: Any) -> float:
    """One number.

    Errors: ArgumentError for what is none.
    """
    try:
        array = as_array(value)
        if array.size == 1 and array.dtype.kind in "fiub":
            return float(array.reshape(()))
        got = f"{array.dtype} of shape {array.shape}"
    except (TypeError, ValueError):
        got = type(value).__name__
    raise ArgumentError(f"{op}: got {got}; need one real number")


def as_pixels(op: str, value: Any, dataformats: str, batch: bool = False) -> Array:
    """Images as uint8, (images,) height, width, channels.

    Floats are in [0, 1] (and cut off there), integers in [0, 255].

    Errors: ArgumentError for formats or dtypes that are no image's; ShapeError where format and
        shape differ, or for another number of channels than 1 to 4.
    """
    wanted, array = ("NHWC" if batch else "HWC"), as_array(value)
    names = dataformats.upper()
    if set(names) - set(wanted) or len(set(names)) != len(names) or not {"H", "W"} <= set(names):
        raise ArgumentError(f"{op}: dataformats is {dataformats!r}; need the letters of {wanted!r} "
                            f"in some order, such as {'NCHW' if batch else 'CHW'!r}")  # fmt: skip
    if len(names) != array.ndim:
        raise ShapeError(f"{op}: an image of shape {array.shape}, dataformats {dataformats!r}; "
                         "need a letter for each axis")  # fmt: skip
    order = [names.index(letter) for letter in wanted if letter in names]
    array = array.transpose(order)
    array = array if "C" in names else array[..., None]
    if batch and "N" not in names:
        array = array[None]
    if array.shape[-1] not in COLOURS or 0 in array.shape:
        raise ShapeError(f"{op}: {array.shape[-1]} channels of {array.shape[-3:-1]} pixels; "
                         "need 1 (grey), 3 (RGB) or 4 (and opacity), and a pixel")  # fmt: skip
    if array.dtype.kind == "f":
        array = np.nan_to_num(array.clip(0, 1)) * 255
    elif array.dtype.kind not in "iub":
        raise ArgumentError(f"{op}: pixels of {array.dtype}; need floats in [0, 1] or integers in "
                            "[0, 255]")  # fmt: skip
    elif array.dtype.kind == "b":
        array = array * np.uint8(255)
    return array.clip(0, 255).astype(np.uint8)


def png(pixels: Array) -> bytes:
    """An image of uint8, height x width x channels."""
    height, width, channels = pixels.shape
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # each with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, COLOURS[channels], 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def side_by_side(images: Array) -> Array:
    """Several images as one that is about square: eight a row, as torchvision does."""
    count, height, width, channels = images.shape
    columns = min(count, 8)
    rows = -(-count // columns)
    whole = np.zeros((rows * columns, height, width, channels), np.uint8)
    whole[:count] = images
    whole = whole.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return whole.reshape(rows * height, columns * width, channels)


def drawn(figure: Any) -> Array:
    """A figure of matplotlib as pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def wav(op: str, sound: Any, rate: int) -> tuple[bytes, int, int]:
    """Sound as a WAV file of 16 bits: its bytes, channels and frames. Samples in [-1, 1] lie along
    the last axis.

    Errors: ShapeError for more axes than channels and time.
    """
    array = as_array(sound)
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or not 1 <= array.shape[0] <= 16:
        raise ShapeError(f"{op}: sound of shape {array.shape}; need (samples,) or (channels, "
                         "samples)")  # fmt: skip
    samples = np.nan_to_num(array.clip(-1, 1)) * 32767
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(array.shape[0])
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(np.rint(samples).astype("<i2").T.tobytes())
    return file.getvalue(), array.shape[0], array.shape[1]


def check_rows(op: str, count: int, **others: Sequence[Any] | None) -> None:
    """As many of each as there are points.

    Errors: ShapeError.
    """
    for name, rows in others.items():
        if rows is not None and len(rows) != count:
            raise ShapeError(f"{op}: {len(rows)} {name} for {count} points; need one each")
