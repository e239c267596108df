"""TFRecord: byte strings one after the other in a file, each with its length and two checksums.

`frame` makes one record; `frames` reads a file's. What the bytes mean is not known here.

Source: TensorFlow, "TFRecords format details": length (8 bytes, little endian), masked CRC-32C of
the length, data, masked CRC-32C of the data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from ambos.core.errors import FormatError
from ambos.data.crc32c import masked_crc32c

HEAD, FOOT = struct.Struct("<QI"), struct.Struct("<I")
LONGEST = 1 << 40  # no record is a terabyte: a longer one is damage


def frame(data: bytes) -> bytes:
    """`data` as a record."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, FOOT.pack(masked_crc32c(length)), data,
                     FOOT.pack(masked_crc32c(data))))  # fmt: skip


def frames(
    file: BinaryIO, verify: bool = True, number: int = 0, place: int | None = None
) -> Iterator[bytes]:
    """The records of an open file, from where it stands: record `number` at byte `place`.

    Errors: FormatError, with the number of the record and its place, where the file is cut off or
        damaged; what came before has been given.
    """
    place = file.tell() if place is None else place
    while head := file.read(HEAD.size):
        where = f"record {number} at byte {place}"
        if len(head) < HEAD.size:
            raise FormatError(f"tfrecord: {where} is cut off; need the whole file")
        length, crc = HEAD.unpack(head)
        if length > LONGEST or (verify and crc != masked_crc32c(head[:8])):
            raise FormatError(f"tfrecord: the length of {where} is damaged; need a TFRecord file "
                              "(uncompressed)")  # fmt: skip
        data = file.read(length)
        foot = file.read(FOOT.size)
        if len(data) < length or len(foot) < FOOT.size:
            raise FormatError(f"tfrecord: {where} is cut off; need the whole file")
        if verify and FOOT.unpack(foot)[0] != masked_crc32c(data):
            raise FormatError(f"tfrecord: the data of {where} is damaged; need the file once more")
        yield data
        number, place = number + 1, place + HEAD.size + length + FOOT.size
