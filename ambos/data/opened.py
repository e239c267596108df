"""Files that stay open in the process that reads them; libraries imported when used."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

from ambos.core.errors import ArgumentError, ArgumentTypeError


def library(op: str, name: str, package: str = "") -> Any:
    """A library of the extra `data`.

    Errors: ArgumentError, with the command that installs it, where it is missing.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ArgumentError(
            f"{op}: needs {package or name}, which is not installed ({error}); "
            f"pip install {package or name}, or pip install 'ambos[data]'"
        ) from error


def paths_of(op: str, given: Any) -> list[str]:
    """One path or several, all of them there.

    Errors: ArgumentError for a file that is missing, or for none at all.
    """
    listed = list(given) if isinstance(given, (list, tuple)) else [given]
    found = []
    for path in listed:
        try:
            found.append(os.fspath(path))
        except TypeError:
            raise ArgumentTypeError(f"{op}: got {type(path).__name__}; need a path or a list of "
                                    "paths") from None  # fmt: skip
        if not os.path.exists(found[-1]):
            raise ArgumentError(f"{op}: there is no {found[-1]!r}; need a file that exists")
        if os.path.isdir(found[-1]):
            raise ArgumentError(f"{op}: {found[-1]!r} is a folder; need files: sorted(glob(...))")
    if not found:
        raise ArgumentError(f"{op}: got no paths; need at least one")
    return found


class Handle:
    """What `open(path)` gives, opened again in every process: a descriptor that was inherited has
    one position for parent and child, and libraries' state does not survive a fork."""

    def __init__(self, path: str, opener: Callable[[str], Any]) -> None:
        self.path, self.opener = path, opener
        self._process = -1
        self._file: Any = None

    def __call__(self) -> Any:
        if self._process != os.getpid():
            self._file, self._process = self.opener(self.path), os.getpid()
        return self._file

    def __del__(self) -> None:
        if self._process == os.getpid() and hasattr(self._file, "close"):
            self._file.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "opener": self.opener, "_process": -1, "_file": None}
