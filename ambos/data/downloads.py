"""Files from the net: checked, resumed where a download broke off, and never half there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ambos.core.errors import DownloadError

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 3  # for each address without another CHUNK: connections break off, and are resumed
PARTIAL = 206
UNSATISFIABLE = 416


def fetched(
    name: str, path: Path, addresses: Sequence[str], md5: str, allowed: bool = True,
    together: Sequence[str] = (),
) -> Path:  # fmt: skip
    """The file at `path`, from the first of `addresses` that gives it with this checksum; files
    of the same folder that will be wanted `together` with it are told of.

    What arrived before a connection broke stays beside it as `.part`, and the next call goes on
    from there. The file itself appears when it is complete and checked. Of several callers at a
    time one downloads and the others wait.

    Errors: DownloadError, which says where to put the file by hand, if no address gives it or
        `allowed` is false.
    """
    if path.exists():
        return _checked(name, path, md5)
    import http.client  # like urllib below: half of the import, and most need it once in a life

    problems = []
    if allowed:
        _make(name, path.parent)
        with _alone(path.parent):
            if path.exists():
                return _checked(name, path, md5)
            for address in addresses:
                try:
                    return _from(address, path, md5)
                except (OSError, http.client.HTTPException, ValueError) as error:
                    problems.append(f"{address}: {error}")
    why = "; ".join(problems) if allowed else "download=False"
    others = ", ".join(one for one in together if not (path.parent / one).exists())
    more = f"; the same for {others}" if others else ""
    raise DownloadError(
        f"{name}: {path.name} is not there and could not be downloaded ({why}); without a network "
        f"put the file from {addresses[0]} at {path} (MD5 {md5}){more}"
    )


def _checked(name: str, path: Path, md5: str) -> Path:
    found = digest(path)
    if found != md5:
        raise DownloadError(f"{name}: {path} is damaged: its MD5 is {found}; need {md5}; "
                            "remove it to download it again")  # fmt: skip
    return path


def _make(name: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"{name}: {folder} cannot be made: {error.strerror}; need another "
                            "root=, or AMBOS_CACHE") from error  # fmt: skip


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process, and one thread, at a time; nothing is left in the folder."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def digest(path: Path) -> str:
    """The MD5 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _from(address: str, path: Path, md5: str) -> Path:
    import http.client
    import urllib.error

    part, found, attempt = path.with_name(path.name + ".part"), "", 0
    had = _size(part)
    while attempt < ATTEMPTS:
        attempt += 1
        try:
            _append(address, part)
        except (urllib.error.HTTPError, ValueError):
            raise  # the same answer would come again
        except (OSError, http.client.HTTPException):
            if _size(part) >= had + CHUNK:  # however often it breaks off, it gets on
                had, attempt = _size(part), 0
            if attempt == ATTEMPTS:
                raise
            continue
        found = digest(part)
        if found == md5:
            os.replace(part, path)
            return path
        part.unlink()  # of another file, or damaged on the way: from the beginning
    raise ValueError(f"what it gives has MD5 {found}; need {md5}")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _append(address: str, part: Path) -> None:
    """Everything after what is already there."""
    import urllib.error
    import urllib.request

    have = _size(part)
    headers = {"User-Agent": "ambos", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(address, headers=headers)
    try:
        answer: Any = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == UNSATISFIABLE and have:
            return  # all of it is there: the checksum decides
        raise
    with answer:
        resumes = have and answer.status == PARTIAL
        with part.open("ab" if resumes else "wb") as file:
            expected = answer.headers.get("Content-Length")
            count = 0
            while chunk := answer.read1(CHUNK):  # what is there: of a whole one a break loses all
                file.write(chunk)
                count += len(chunk)
    if expected is not None and count < int(expected):
        raise ConnectionError(f"the connection broke off after {count:,} of {expected} bytes")
