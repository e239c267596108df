"""The messages of TensorBoard's event files, as far as they are written here.

Source: tensorboard/compat/proto: event.proto, summary.proto, histogram.proto, tensor.proto.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError
from ambos.viz.histogram import Histogram
from ambos.viz.wire import blob, double, doubles, integer, many, message, single, text

STRING = 7  # DataType, of which these are numbers
DTYPES = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "complex64": 8,
    "int64": 9, "bool": 10, "uint16": 17, "complex128": 18, "float16": 19, "uint32": 22,
    "uint64": 23,
}  # fmt: skip
START = 1  # SessionLog.SessionStatus
IMAGES = {1: 1, 2: 2, 3: 3, 4: 4}  # channels -> colour space: grey, grey + alpha, RGB, RGBA
PNG = "image/png"


def event(
    wall_time: float,
    step: int | None = None,
    *,
    summary: bytes | None = None,
    file_version: str | None = None,
    graph: bytes | None = None,
    session: int | None = None,
) -> bytes:
    """One entry of the file, with one of the contents."""
    return message(
        double(1, wall_time), integer(2, step), text(3, file_version), blob(4, graph),
        blob(5, summary), blob(7, None if session is None else integer(1, session)),
        blob(10, None if file_version is None else text(1, "ambos.viz.SummaryWriter")),
    )  # fmt: skip


def metadata(plugin: str, content: bytes = b"", description: str | None = None) -> bytes:
    """SummaryMetadata: which plugin shows the value."""
    return message(blob(1, text(1, plugin) + blob(2, content or None)), text(3, description))


def value(tag: str, field: bytes, about: bytes | None = None) -> bytes:
    """A summary of one value."""
    return blob(1, message(text(1, tag), field, blob(9, about)))


def scalar(tag: str, number: float) -> bytes:
    return value(tag, single(2, number))


def image(tag: str, height: int, width: int, channels: int, encoded: bytes) -> bytes:
    fields = integer(1, height), integer(2, width), integer(3, IMAGES[channels]), blob(4, encoded)
    return value(tag, blob(4, message(*fields)))


def histogram(tag: str, found: Histogram) -> bytes:
    fields = (
        double(1, found.smallest), double(2, found.largest), double(3, found.count),
        double(4, found.total), double(5, found.squares),
        doubles(6, found.limits), doubles(7, found.counts),
    )  # fmt: skip
    return value(tag, blob(5, message(*fields)))


def audio(tag: str, rate: int, channels: int, frames: int, encoded: bytes) -> bytes:
    fields = (
        single(1, rate), integer(2, channels), integer(3, frames), blob(4, encoded),
        text(5, "audio/wav"),
    )  # fmt: skip
    return value(tag, blob(6, message(*fields)))


def tensor(tag: str, content: bytes, about: bytes) -> bytes:
    """A value that is a tensor (`floats` or `strings`)."""
    return value(tag, blob(8, content), about)


def numbers(array: Any) -> bytes:
    """TensorProto of an array, in its own dtype.

    Errors: ArgumentError for what TensorFlow has no dtype for.
    """
    array = np.asarray(array)
    if array.dtype.name not in DTYPES:
        raise ArgumentError(f"a tensor of {array.dtype}; need one of {', '.join(DTYPES)}")
    content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    kind = integer(1, DTYPES[array.dtype.name])
    return message(kind, blob(2, shape(array.shape)), blob(4, content))


def floats(array: Any) -> bytes:
    """TensorProto of float32."""
    return numbers(np.asarray(array, np.float32))


def strings(*values: str | bytes, scalar: bool = False) -> bytes:
    """TensorProto of one axis of strings, or of a single one."""
    encoded = [v if isinstance(v, bytes) else v.encode("utf-8", "replace") for v in values]
    sizes = () if scalar else (len(encoded),)
    return message(integer(1, STRING), blob(2, shape(sizes)), many(8, encoded))


def shape(sizes: tuple[int, ...]) -> bytes:
    """TensorShapeProto."""
    return many(2, (integer(1, size) for size in sizes))
