"""Object code on disk, one small file per kernel. Whatever goes wrong here, a run goes on.

A file is a magic number, a digest and the object code; the digest covers the kernel's name too, so
a truncated, damaged or renamed file is simply not there. Files appear by an atomic rename, which
makes any number of writers safe.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from ambos.core.config import config

MAGIC = b"ambos-object-1\n\0"
DIGEST_BYTES = 16
SUFFIX = ".object"
LIMIT_BYTES = 512 << 20
REFRESH_SECONDS = 24 * 3600.0  # a hit renews the age of an older entry: eviction takes the unused
# Looking at every file of a full cache takes a second: once an hour is enough, whichever process it
# is. A process that writes much looks more often.
LOOK_SECONDS = 3600.0
STAMP = "last-look"
ABANDONED_SECONDS = 3600.0  # a temporary file this old belongs to a writer that died


def _code_version() -> str:
    """A digest of the sources that shape plans and machine code, as they are when this process
    imports them.

    Sizes and times instead of contents: about 0.2 ms, and an edited emitter never meets objects
    of its former self."""
    package = Path(__file__).resolve().parents[1]
    digest = blake2b(digest_size=DIGEST_BYTES)
    for room in ("core", "graph", "ops", "compiler", "runtime", "tensor"):
        for line in _sources(package / room):
            digest.update(f"{room}/{line}\n".encode())
    return digest.hexdigest()


def _sources(place: Path) -> Iterator[str]:
    """Name, size and time of every source file of a room and of the rooms within."""
    with suppress(OSError):
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            if entry.name.endswith(".py"):
                status = entry.stat()
                yield f"{entry.name} {status.st_size} {status.st_mtime_ns}"
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from (f"{entry.name}/{line}" for line in _sources(place / entry.name))


CODE_VERSION = _code_version()


class Cache:
    """The object files for one target: `toolchain` names the compiler's version and the target."""

    def __init__(self, toolchain: str) -> None:
        self._key = f"{CODE_VERSION}|{toolchain}".encode()
        self._place = "objects-" + blake2b(self._key, digest_size=DIGEST_BYTES).hexdigest()
        self._unchecked_bytes = 0
        self._has_asked = False  # whether it is time to look at the size on disk

    @property
    def directory(self) -> Path:
        return Path(config.cache_dir) / self._place

    def read(self, name: str) -> bytes | None:
        """The object code of kernel `name`, or None."""
        try:
            with open(self.directory / (name + SUFFIX), "rb") as file:
                content = file.read()
                age = time.time() - os.fstat(file.fileno()).st_mtime
        except (OSError, ValueError):
            return None
        start = len(MAGIC) + DIGEST_BYTES
        code = content[start:]
        if content[:start] != MAGIC + self._digest(name, code):
            return None
        if age > REFRESH_SECONDS:
            with suppress(OSError):
                os.utime(self.directory / (name + SUFFIX))
        return code

    def write(self, name: str, code: bytes) -> bool:
        """Store the object code of kernel `name`; False where that was not possible."""
        content = MAGIC + self._digest(name, code) + code
        temporary = None
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=self.directory)
            with open(handle, "wb") as file:
                file.write(content)
            os.replace(temporary, self.directory / (name + SUFFIX))
        except (OSError, ValueError):
            if temporary is not None:
                with suppress(OSError):
                    os.unlink(temporary)
            return False
        self._unchecked_bytes += len(content)
        due = not self._has_asked and _is_time_to_look()
        self._has_asked = True
        if due or self._unchecked_bytes > LIMIT_BYTES // 16:
            self._unchecked_bytes = 0
            with suppress(OSError):
                (Path(config.cache_dir) / STAMP).touch()
            evict(LIMIT_BYTES)
        return True

    def _digest(self, name: str, code: bytes) -> bytes:
        digest = blake2b(self._key, digest_size=DIGEST_BYTES)
        digest.update(f"|{name}|{len(code)}|".encode())
        digest.update(code)
        return digest.digest()


def _is_time_to_look() -> bool:
    """Has no process looked at the size on disk for a while?"""
    try:
        return time.time() - os.stat(Path(config.cache_dir) / STAMP).st_mtime > LOOK_SECONDS
    except OSError:
        return True


def _entries() -> Iterator[tuple[float, int, str]]:
    """(time of last use, bytes, path) of every file of every version."""
    with suppress(OSError):
        for place in list(os.scandir(config.cache_dir)):
            if place.name.startswith("objects-"):
                with suppress(OSError):
                    for file in list(os.scandir(place.path)):
                        with suppress(OSError):  # another process may remove it meanwhile
                            status = file.stat()
                            yield status.st_mtime, status.st_size, file.path


def size() -> int:
    """Bytes of object code on disk, all versions together."""
    return sum(entry[1] for entry in _entries())


def evict(limit: int) -> None:
    """Remove the longest unused files (and what dead writers left) until `limit` bytes remain."""
    now = time.time()
    kept: list[tuple[float, int, str]] = []
    for used, length, path in sorted(_entries(), reverse=True):
        if not path.endswith(SUFFIX) and now - used > ABANDONED_SECONDS:
            _remove(path)
        else:
            kept.append((used, length, path))
    total = sum(entry[1] for entry in kept)
    while kept and total > limit:
        _, length, path = kept.pop()
        _remove(path)
        total -= length


def clear() -> None:
    """Remove every object file of every version."""
    for _, _, path in _entries():
        _remove(path)
    _remove(os.path.join(config.cache_dir, STAMP))
    with suppress(OSError):
        for place in list(os.scandir(config.cache_dir)):
            if place.name.startswith("objects-"):
                with suppress(OSError):
                    os.rmdir(place.path)


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
