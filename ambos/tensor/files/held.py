"""Files that are open already, or are none: what there is to read, and where it is written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ambos.core.errors import ArgumentError


class Held:
    """What an open file holds from where it stands to its end, to be read as a path is. As text it
    is what messages call the file.

    Errors: ArgumentError for a file that gives text.

    Example:
        >>> Held(io.BytesIO(b"abc")).open().read()
        b'abc'
    """

    def __init__(self, file: Any) -> None:
        self.name = name_of(file) or type(file).__name__
        self.data = file.read()
        if not isinstance(self.data, bytes):
            raise ArgumentError(f"load: {self} gives {type(self.data).__name__}; need bytes, as "
                                "open(path, 'rb') gives them")  # fmt: skip

    def __str__(self) -> str:
        return self.name

    def open(self, mode: str = "rb") -> BinaryIO:
        """As `Path.open`."""
        return io.BytesIO(self.data)


def name_of(file: Any) -> str:
    """The name that a file was opened by; "" for one without (some have a number).

    Example:
        >>> name_of(io.BytesIO())
        ''
    """
    name = getattr(file, "name", "")
    return name if isinstance(name, str) else ""


def mapped(place: Path | Held) -> np.ndarray:
    """The bytes, which are read when they are copied.

    Example:
        >>> mapped(Held(io.BytesIO(b"abc"))).tolist()
        [97, 98, 99]
    """
    if isinstance(place, Held):
        return np.frombuffer(place.data, np.uint8)
    return np.memmap(place, np.uint8, "r")


def put(file: Any, data: bytes | memoryview) -> None:
    """Write all of `data`: a file without a buffer may take a part at a time.

    Example:
        >>> file = io.BytesIO()
        >>> put(file, b"abc")
        >>> file.getvalue()
        b'abc'
    """
    rest = memoryview(data)
    while rest:
        taken = file.write(rest)
        rest = rest[len(rest) if taken is None else taken :]
