"""Records in large files: TFRecord with TensorFlow's examples, and WebDataset's tars.

Both are indexed when they are first used, by their headers only, so that they are read by number:
shuffled at will, resumed, and shared by workers none of which reads what another one needs.
"""

from __future__ import annotations

import bisect
import gzip
import io
import json
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ambos.core.arguments import checked, flag
from ambos.core.errors import FormatError, IndexingError
from ambos.data.dataset import Dataset
from ambos.data.folders import EXTENSIONS, picture, pixels
from ambos.data.opened import Handle, paths_of
from ambos.data.tfrecord import FOOT, HEAD, frames

Place = tuple[int, int, int]  # file, offset, size
BLOCK = 512  # bytes, of which tars are made


class Records(Dataset):
    """Things at known places of files. A kind of record defines `scan` and `made`."""

    def __init__(self, paths: list[str]) -> None:
        self.handles = [Handle(path, _open) for path in paths]
        self._index: list[Any] | None = None

    @property
    def index(self) -> list[Any]:
        """Where each record is."""
        if self._index is None:
            self._index = [entry for number, handle in enumerate(self.handles)
                           for entry in self.scan(number, handle.path)]  # fmt: skip
        return self._index

    def scan(self, number: int, path: str) -> Iterator[Any]:
        """The places of a file's records."""
        raise NotImplementedError

    def made(self, entry: Any) -> Any:
        """A record."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexingError(f"{type(self).__name__}: index {index} of {len(self)} records")
        return self.made(self.index[index])

    def read(self, place: Place) -> bytes:
        """The bytes there."""
        file = self.handles[place[0]]()
        return os.pread(file.fileno(), place[2], place[1])


def _open(path: str) -> Any:
    return open(path, "rb")


class TFRecord(Records):
    """Records of TFRecord files, checked and decoded when they are read."""

    def __init__(self, paths: list[str], decode: Callable[[bytes], Any], verify: bool) -> None:
        super().__init__(paths)
        self.decode, self.verify = decode, verify

    def scan(self, number: int, path: str) -> Iterator[Place]:
        if path.endswith((".gz", ".gzip")):
            raise FormatError(f"from_tfrecord: {path} is compressed; need it uncompressed to read "
                              "records by number")  # fmt: skip
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            offset = count = 0
            while offset < size:
                head = file.read(HEAD.size)
                length = HEAD.unpack(head)[0] if len(head) == HEAD.size else size
                whole = HEAD.size + length + FOOT.size
                if offset + whole > size:  # let the reader of frames say what is wrong
                    file.seek(offset)
                    _explain(path, file, True, count, offset)
                yield number, offset, whole
                offset, count = offset + whole, count + 1
                file.seek(offset)

    def made(self, entry: Place) -> Any:
        file, offset, _ = entry
        content = io.BytesIO(self.read(entry))
        try:
            (data,) = frames(content, self.verify)
        except FormatError:
            content.seek(0)
            _explain(self.handles[file].path, content, self.verify, self._number(entry), offset)
            raise
        try:
            return self.decode(data)
        except Exception as error:
            path, number = self.handles[file].path, self._number(entry)
            where = f"from_tfrecord: {path}: record {number} at byte {offset}"
            if isinstance(error, FormatError):
                raise FormatError(f"{where} is {error.message}") from error
            error.add_note(where)
            raise

    def _number(self, entry: Place) -> int:
        """Which record of its file it is: for messages, since this takes a search."""
        return bisect.bisect_left(self.index, entry) - bisect.bisect_left(self.index, (entry[0],))


def _explain(path: str, file: Any, verify: bool, number: int, place: int) -> None:
    """What is wrong with a record, with the name of its file.

    Errors: FormatError.
    """
    try:
        next(frames(file, verify, number, place))
    except FormatError as error:
        what = error.message.removeprefix("tfrecord: ")
        raise FormatError(f"from_tfrecord: {path}: {what}") from error


def as_example(data: bytes) -> dict[str, Any]:
    """The features of a serialised `tf.train.Example`: arrays of int64 or float32, or bytes (a list
    of them where there are several).

    Errors: FormatError for bytes that are none.
    Source: tensorflow/core/example/feature.proto.

    Example:
        >>> as_example(bytes.fromhex("0a0d0a0b0a017812061a040a020305"))
        {'x': array([3, 5])}
    """
    try:
        found: dict[str, Any] = {}
        for _, features in _fields(data):
            for _, entry in _fields(features):
                parts = dict(_fields(entry))
                found[bytes(parts[1]).decode()] = _feature(parts.get(2, memoryview(b"")))
        return found
    except (ValueError, IndexError, KeyError, TypeError, struct.error) as error:
        raise FormatError(f"no tf.train.Example ({error}); pass decode, a function of its "
                          "bytes") from error  # fmt: skip


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _fields(data: Any) -> Iterator[tuple[int, Any]]:
    """The fields of a message: numbers, and views of what has a length."""
    view, place = memoryview(data), 0
    while place < len(view):
        key, place = _varint(view, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(view, place)
            yield key >> 3, value
            continue
        if kind == 2:
            size, place = _varint(view, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if place + size > len(view):
            raise ValueError("a field is longer than its message")
        yield key >> 3, view[place : place + size]
        place += size


def _feature(data: Any) -> Any:
    for number, values in _fields(data):
        parts = [value for _, value in _fields(values)]
        if number == 1:
            texts = [bytes(part) for part in parts]
            return texts[0] if len(texts) == 1 else texts
        if number == 2:
            return np.frombuffer(b"".join(parts), "<f4").astype(np.float32)
        integers: list[int] = []
        for part in parts:
            integers += [part] if isinstance(part, int) else _packed(part)
        return np.array(integers, np.uint64).astype(np.int64)
    return np.zeros(0, np.float32)


def _packed(view: memoryview) -> list[int]:
    found, place = [], 0
    while place < len(view):
        value, place = _varint(view, place)
        found.append(value)
    return found


@checked
def from_tfrecord(
    path: Any, decode: Callable[[bytes], Any] = as_example, verify: bool = True
) -> Dataset:
    """The records of TFRecord files, `decode`d from bytes: TensorFlow's examples become
    dictionaries. `verify` compares checksums.

    Errors: ArgumentError for a missing file, FormatError for one that is damaged or compressed.
    """
    flag("from_tfrecord: verify", verify)
    return TFRecord(paths_of("from_tfrecord", path), decode, verify)


class Tars(Records):
    """Members of tars with one name and several endings, which together are a sample."""

    def __init__(self, paths: list[str], decode: Any) -> None:
        super().__init__(paths)
        self.decode = decode

    def scan(self, number: int, path: str) -> Iterator[tuple[str, dict[str, Place]]]:
        if path.endswith((".gz", ".tgz", ".bz2", ".xz")):
            raise FormatError(f"from_webdataset: {path} is compressed as a whole; need a plain tar")
        import tarfile

        key, end, count, last = "", 0, 0, ""
        parts: dict[str, Place] = {}
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    count, last = count + 1, member.name
                    end = member.offset_data + -(-member.size // BLOCK) * BLOCK
                    if not member.isfile():
                        continue
                    folder, name = os.path.split(member.name)
                    stem, _, ending = name.partition(".")
                    stem = os.path.join(folder, stem)
                    if stem != key and parts:
                        yield key, parts
                        parts = {}
                    key = stem
                    parts[ending.lower()] = number, member.offset_data, member.size
        except tarfile.TarError as error:
            what = f"is cut off or damaged in {last!r} or after it" if last else "is no tar"
            raise FormatError(f"from_webdataset: {path} {what}: {error}") from error
        self._check_end(path, end, count)
        if parts:
            yield key, parts

    def _check_end(self, path: str, end: int, count: int) -> None:
        """A tar ends with zeros; Python's reader takes one that was cut off for a shorter one."""
        with open(path, "rb") as file:
            file.seek(end)
            if file.read(BLOCK) != bytes(BLOCK):
                raise FormatError(f"from_webdataset: {path} is cut off after {count} members; need "
                                  "the whole file")  # fmt: skip

    def made(self, entry: tuple[str, dict[str, Place]]) -> dict[str, Any]:
        key, parts = entry
        sample: dict[str, Any] = {"__key__": key}
        for ending, place in parts.items():
            data = self.read(place)
            try:
                sample[ending] = self.decode(ending, data, f"{key}.{ending}")
            except FormatError as error:
                path, what = self.handles[place[0]].path, error.message.partition(": ")[2]
                raise FormatError(f"from_webdataset: {path}: {what}") from error
        return sample


def decoded(ending: str, data: bytes, name: str = "") -> Any:
    """A member of a tar by its ending, in WebDataset's conventions; bytes where there is none.

    Errors: FormatError, with the member's name, for data that does not fit its ending.

    Example:
        >>> decoded("cls", b"7"), decoded("json", b"[1]"), decoded("txt", b"yes")
        (7, [1], 'yes')
    """
    last = ending.rpartition(".")[2]
    try:
        if last in ("cls", "cls2", "index", "inx", "id"):
            return int(data)
        if last in ("txt", "text", "transcript"):
            return data.decode()
        if last in ("json", "jsn"):
            return json.loads(data)
        if last == "npy":
            return np.load(io.BytesIO(data), allow_pickle=False)
        if last == "gz":
            return decoded(ending.rpartition(".")[0], gzip.decompress(data), name)
    except (ValueError, OSError, EOFError) as error:
        raise FormatError(f"from_webdataset: {name} does not fit its ending: {error}") from error
    if f".{last}" in EXTENSIONS:
        return pixels(picture(io.BytesIO(data), name))
    return data


@checked
def from_webdataset(path: Any, decode: Callable[[str, bytes, str], Any] = decoded) -> Dataset:
    """The samples of WebDataset tars: dictionaries of `__key__` and what each ending holds.

    `decode(ending, data, name)` makes a value of bytes; images become (3, height, width), `cls`
    integers, `txt` text, `json` and `npy` what they say.

    Errors: ArgumentError for a missing file, FormatError for one that is no tar or compressed.
    """
    return Tars(paths_of("from_webdataset", path), decode)
