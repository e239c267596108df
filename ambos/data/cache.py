"""Elements that are made once: kept in memory or in a file."""

from __future__ import annotations

import errno
import os
import pickle
import struct
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ambos.core.errors import FormatError, depth_of_user
from ambos.data.fluent import stage
from ambos.data.randomness import Seed
from ambos.data.selection import ALL, Selection
from ambos.data.stages import Stage

MAGIC = b"ambos cache 1\n"
TAIL = struct.Struct("<QQ8s")  # where the table of offsets begins, how many elements, the end
END = b"complete"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, one's share of it, a file's limit


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
        self._has_room = True  # where the file is to be

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_offsets": [], "_has_room": True}

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
        elif selection != ALL or not self._has_room:
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
        """The elements, and a file of them."""
        draft = Draft(self.path)
        try:
            for element in elements:
                draft.add(element)
                yield element
            draft.finish()
        finally:
            draft.close()
            self._has_room = draft.has_room


class Draft:
    """A cache that is being written, which is found once it is whole. A full disk costs the cache,
    not the pass: it is said, and what is added from then on goes nowhere."""

    def __init__(self, path: Path) -> None:
        self.path, self.has_room = path, True
        self.offsets: list[int] = []
        self.name: str | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._trying():
            descriptor, self.name = tempfile.mkstemp(prefix=path.name, dir=path.parent)
            self.file = os.fdopen(descriptor, "wb")
            self.file.write(MAGIC)

    def add(self, element: Any) -> None:
        """One more element."""
        if not self.has_room:
            return
        try:
            pickled = pickle.dumps(element, protocol=5)
        except Exception as error:
            error.add_note(f"cache: element {len(self.offsets)} could not be written to "
                           f"{self.path}; cache() keeps elements in memory")  # fmt: skip
            raise
        with self._trying():
            self.offsets.append(self.file.tell())
            self.file.write(pickled)

    def finish(self) -> None:
        """Put the file to its place."""
        if self.has_room and self.name is not None:
            with self._trying():
                table, count = self.file.tell(), len(self.offsets)
                self.file.write(struct.pack(f"<{count}Q", *self.offsets))
                self.file.write(TAIL.pack(table, count, END))
                self.file.flush()
                os.fsync(self.file.fileno())
                os.replace(self.name, self.path)
                self.name = None

    def close(self) -> None:
        """Leave nothing behind unless it was finished."""
        with suppress(OSError, AttributeError):  # what is flushed has no room, or nothing was open
            self.file.close()
        if self.name is not None:
            with suppress(OSError):
                os.unlink(self.name)

    @contextmanager
    def _trying(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                raise
            self.has_room = False
            warnings.warn(
                f"cache: cannot write {self.path}: {error.strerror}; goes on without it, and makes "
                "the elements anew in each pass",
                stacklevel=depth_of_user(),
            )


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
