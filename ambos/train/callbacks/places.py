"""Places to write to: tried when a training begins rather than when the first hour is over, and not
worth its end when they fail later."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Formatter

from ambos.core.errors import ArgumentError, depth_of_user


def as_path(what: str, path: object) -> Path:
    """`path` of a file, or an ArgumentError."""
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ArgumentError(f"{what} is {path!r}; need a file's name")
    return Path(os.fspath(path))


def check_writable(what: str, path: Path) -> None:
    """Make the folder of `path`, as far as its name is known, and try to write there.

    Errors: OSError where that fails; ArgumentError where a folder lies at `path`.
    """
    if path.is_dir():
        raise ArgumentError(f"{what} is {str(path)!r}, a folder; need the name of a file in it")
    folder = path.parent
    while "{" in str(folder):
        folder = folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".ambos-", dir=folder):
        pass
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"{what} is {str(path)!r}, which cannot be written")


def fields(what: str, template: str) -> set[str]:
    """The names in braces.

    Errors: ArgumentError where braces do not match.

    Example:
        >>> sorted(fields("filepath", "{epoch:02d}-{val_loss:.2f}"))
        ['epoch', 'val_loss']
    """
    try:
        return {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ArgumentError(
            f"{what} is {template!r}: {error}; need names in braces, such as '{{epoch:02d}}'"
        ) from error


class Outlasting:
    """Training outlasts a full disk: what cannot be written is said once, and tried again later.

    Example:
        >>> import pytest
        >>> written = Outlasting("ModelCheckpoint")
        >>> with pytest.warns(UserWarning, match="cannot write"), written.trying("best"):
        ...     raise OSError("No space left on device")
    """

    def __init__(self, name: str) -> None:
        self.name, self.is_said = name, False

    @contextmanager
    def trying(self, path: object) -> Iterator[None]:
        """Write to `path` inside."""
        try:
            yield
        except OSError as problem:
            if not self.is_said:
                self.is_said = True
                warnings.warn(
                    f"{self.name}: cannot write {path}: {problem.strerror or problem}; training "
                    "goes on, and each further write is tried",
                    stacklevel=depth_of_user(),
                )
