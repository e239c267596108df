"""Protocol buffers' wire format: the bytes of fields, which a message is the concatenation of.

Fields that are None are left out, so that a message is written as one call with all its fields.

Source: "Encoding", protobuf.dev.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
WORD = (1 << 64) - 1


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; negative numbers as 64 bits."""
    number &= WORD
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def integer(field: int, value: int | None) -> bytes:
    """int32, int64, bool or an enum."""
    return b"" if value is None else varint(field << 3 | VARINT) + varint(int(value))


def double(field: int, value: float | None) -> bytes:
    """A float of 64 bits."""
    return b"" if value is None else varint(field << 3 | FIXED64) + struct.pack("<d", value)


def single(field: int, value: float | None) -> bytes:
    """A float of 32 bits; what is too large for one is infinite."""
    if value is None:
        return b""
    with np.errstate(over="ignore"):
        return varint(field << 3 | FIXED32) + np.float32(value).astype("<f4").tobytes()


def blob(field: int, value: bytes | None) -> bytes:
    """Bytes, or a message."""
    return b"" if value is None else varint(field << 3 | LENGTH) + varint(len(value)) + value


def text(field: int, value: str | None) -> bytes:
    """A string."""
    return blob(field, None if value is None else str(value).encode("utf-8", "replace"))


def message(*fields: bytes) -> bytes:
    """Fields in a row."""
    return b"".join(fields)


def many(field: int, values: Iterable[bytes]) -> bytes:
    """Repeated messages, or strings of bytes."""
    return b"".join(blob(field, value) for value in values)


def doubles(field: int, values: Any) -> bytes:
    """Repeated doubles, packed."""
    return blob(field, np.asarray(values, "<f8").tobytes())


def integers(field: int, values: Sequence[int]) -> bytes:
    """Repeated integers, packed."""
    return blob(field, b"".join(map(varint, values)))


def table(field: int, entries: Iterable[tuple[Any, bytes]]) -> bytes:
    """A map: from strings or integers to messages."""
    return b"".join(
        blob(field, (text(1, key) if isinstance(key, str) else integer(1, key)) + blob(2, value))
        for key, value in entries
    )
