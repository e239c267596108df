"""Elements that are made once: kept in memory or in a file."""

from __future__ import annotations

import os
import pickle
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ambos.core.errors import FormatError
from ambos.data.fluent import stage
from ambos.data.randomness import Seed
from ambos.data.selection import ALL, Selection
from ambos.data.stages import Stage

MAGIC = b"ambos cache 1\n"
TAIL = struct.Struct("<QQ8s")  # where the table of offsets begins, how many elements, the end
END = b"complete"


@stage("cache")
def cached(source: Any, path: Any) -> Stage:
    """Memory, or a file."""
    return Kept(source) if path is None else Filed(source, Path(os.fspath(path)))


class Kept(Stage):
    """Elements in memory, as they were made first. A copy for another process begins empty."""

    def __init__(self, source: Any) -> None:
        super().__init__(source)
        self.known: dict[int, Any] = {}
        self.complete = False

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"known": {}, "complete": False}

    def cardinality(self) -> int:
        return len(self.known) if self.complete else super().cardinality()

    def element(self, number: int) -> Any:
        if number not in self.known:
            self.known[number] = self.source[number]
        return self.known[number]

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        if self.indexable:
            yield from super().stream(epoch, seed, selection)
            return
        if not self.complete:
            if selection != ALL:
                yield from self.source.stream(epoch, seed, selection)
                return
            found = {}
            for number, element in enumerate(self.source.stream(epoch, seed, ALL)):
                found[number] = element
                yield element
            self.known, self.complete = found, True
            return
        yield from selection.of(self.known.values())


class Filed(Stage):
    """Elements in a file, written by the first whole pass and complete or not there at all.

    The file is read with pickle: give the path of one that you wrote.
    """

    def __init__(self, source: Any, path: Path) -> None:
        super().__init__(source)
        self.path = path
        self._offsets: list[int] = []

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_offsets": []}

    @property
    def indexable(self) -> bool:
        return bool(self.offsets()) or bool(self.source.indexable)

    def cardinality(self) -> int:
        return len(self.offsets()) or super().cardinality()

    def offsets(self) -> list[int]:
        """Where each element is in the file; nothing as long as there is none.

        Errors: FormatError for a file that is no complete cache.
        """
        if not self._offsets and self.path.exists():
            try:
                self._offsets = _read_offsets(self.path)
            except (OSError, ValueError, struct.error, EOFError) as error:
                raise FormatError(f"cache: {self.path} is damaged or no cache ({error}); remove it "
                                  "to write it anew") from error  # fmt: skip
        return self._offsets

    def element(self, number: int) -> Any:
        if not self.offsets():
            return self.source[number]
        with self.path.open("rb") as file:
            return self._loaded(file, number)

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        if self.offsets():
            yield from self._read(selection)
        elif selection != ALL:
            yield from self.source.stream(epoch, seed, selection)
        else:
            yield from self._written(self.source.stream(epoch, seed, ALL))

    def _read(self, selection: Selection) -> Iterator[Any]:
        with self.path.open("rb") as file:
            for number in selection.numbers():
                if number >= len(self._offsets):
                    return
                yield self._loaded(file, number)

    def _loaded(self, file: BinaryIO, number: int) -> Any:
        place = self._offsets[number]
        try:
            file.seek(place)
            return pickle.load(file)
        except Exception as error:  # of damaged bytes pickle makes errors of any kind
            raise FormatError(
                f"cache: {self.path}: element {number} at byte {place} cannot be read "
                f"({type(error).__name__}: {error}); remove the file to write it anew"
            ) from error

    def _written(self, elements: Iterator[Any]) -> Iterator[Any]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=self.path.name, dir=self.path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield from self._write(file, elements)
            os.replace(name, self.path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise

    def _write(self, file: BinaryIO, elements: Iterator[Any]) -> Iterator[Any]:
        offsets: list[int] = []
        file.write(MAGIC)
        for element in elements:
            with self._told(len(offsets)):
                offsets.append(file.tell())
                pickle.dump(element, file, protocol=5)
            yield element
        with self._told(len(offsets)):
            table = file.tell()
            file.write(struct.pack(f"<{len(offsets)}Q", *offsets))
            file.write(TAIL.pack(table, len(offsets), END))
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _told(self, number: int) -> Iterator[None]:
        """A full disk and what pickle refuses are told by the file and the element."""
        try:
            yield
        except Exception as error:
            error.add_note(f"cache: element {number} could not be written to {self.path}; cache() "
                           "keeps elements in memory")  # fmt: skip
            raise


def _read_offsets(path: Path) -> list[int]:
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError("other first bytes")
        file.seek(-TAIL.size, os.SEEK_END)
        table, count, end = TAIL.unpack(file.read(TAIL.size))
        if end != END:
            raise ValueError("it ends too early")
        file.seek(table)
        return list(struct.unpack(f"<{count}Q", file.read(8 * count)))
