"""Exceptions, each its own type, and the parts every message shares: a hint and the user's line."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import linecache
import os
import sys
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any, Self, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
_names: dict[CodeType, str] = {}  # of functions that people call
_inside: dict[str, bool] = {}  # source files met so far: do they belong to this package?
_ARGS: Any = BaseException.__dict__["args"]
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
CONTEXTS = contextlib.__file__  # whose frame is around what a `with` of ours catches


class AmbosError(Exception):
    """Base of every error that ambos raises on purpose. `line` says where the mistake was made,
    if that is not where the user is now: an operation is recorded at one line and computed at
    another. `explains` is what Python complained of, where that led to this error."""

    explains: BaseException | None = None

    def __init__(self, message: str, line: str = "") -> None:
        where = line or user_line()
        self.message = message
        super().__init__(f"{message} [{where}]" if where else message)

    def at(self, line: object, name: str = "") -> Self:
        """The same error, found at another of the user's lines, where `name` was called."""
        if name:
            self.message = f"{name}: {self.message.partition(': ')[2]}"
        self.args = (f"{self.message} [{line}]",)
        return self


class ShapeError(AmbosError, ValueError):
    """Shapes that do not fit the operation."""


class ScalarError(ShapeError, TypeError):
    """A scalar where `len` or a loop needs dimensions, or several elements where Python needs one
    number."""


class DTypeError(AmbosError, TypeError):
    """An element type that the operation does not take."""


class IndexingError(AmbosError, IndexError):
    """An index outside its axis, or of a kind that cannot index."""


class ArgumentError(AmbosError, ValueError):
    """An argument whose value is not one of those allowed."""


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument of a type that the function cannot take."""


class OutOfMemoryError(AmbosError, MemoryError):
    """More bytes than the machine has; nothing was allocated."""


class UnknownNameError(AmbosError, TypeError, AttributeError):
    """An unknown keyword, method or registered name; the message proposes the nearest. Where the
    `hint` costs time, as among the names of a module, it is made when somebody reads the message,
    which `hasattr` never does."""

    _hint: Callable[[], str] | None = None

    def __init__(
        self, message: str, line: str = "", *, hint: Callable[[], str] | None = None
    ) -> None:
        super().__init__(message, line)
        self._hint = hint

    def _complete(self) -> None:
        hint, self._hint = self._hint, None
        if hint is not None:
            said = hint()
            where = _ARGS.__get__(self)[0].removeprefix(self._message)
            _ARGS.__set__(self, (f"{self._message}{said}{where}",))
            self._message += said

    @property
    def message(self) -> str:
        self._complete()
        return self._message

    @message.setter
    def message(self, text: str) -> None:
        self._message = text

    @property
    def args(self) -> tuple[Any, ...]:
        self._complete()
        found: tuple[Any, ...] = _ARGS.__get__(self)
        return found

    @args.setter
    def args(self, values: tuple[Any, ...]) -> None:
        _ARGS.__set__(self, values)

    def __str__(self) -> str:
        self._complete()
        return super().__str__()

    def __repr__(self) -> str:
        self._complete()
        return super().__repr__()

    def __reduce__(self) -> Any:
        self._complete()
        return super().__reduce__()


class NameTakenError(ArgumentError, KeyError):
    """A name under which there is something else already; that was not replaced."""

    __str__ = Exception.__str__  # a KeyError shows its message in quotes


class LinAlgError(AmbosError, ValueError, RuntimeError):
    """A matrix whose values do not allow the operation: singular, not positive definite."""


class DeviceError(AmbosError, RuntimeError):
    """A device that does not exist here."""


class ExchangeError(AmbosError, BufferError):
    """Memory that cannot be shared with another framework in the way that was asked for."""


class GradientError(AmbosError, RuntimeError):
    """A gradient was asked for where there is none."""


class TracingError(AmbosError, RuntimeError):
    """A function that `am.jit` records did what only works with values at hand."""


class NonFiniteError(AmbosError, FloatingPointError):
    """`am.debug` found an operation that made a NaN or an infinity of finite numbers."""


class CastError(AmbosError, OverflowError):
    """`am.debug` found a conversion that cannot hold a value."""


class RecordingWarning(UserWarning):
    """A function that `am.jit` records again and again, where it should be replayed."""


class FormatError(AmbosError, ValueError):
    """A file that is corrupt or was not written by ambos; nothing was changed."""


class DownloadError(AmbosError, OSError):
    """A file that is not there and cannot be had from the net; the message says where to put it."""


class WorkerError(AmbosError, RuntimeError):
    """What went wrong in a worker process of a DataLoader, with the worker's traceback. `worker` is
    its number, `sample` the indices that it was asked for."""

    worker: int = -1
    sample: Any = None


class CompilerError(AmbosError, RuntimeError):
    """A broken promise inside the compiler: a bug in ambos, worth a report."""


def user_frame() -> FrameType | None:
    """The frame of the innermost caller outside this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and is_inside(frame):
        frame = frame.f_back
    return frame


def is_inside(frame: FrameType) -> bool:
    """Is this code of ambos?"""
    path = frame.f_code.co_filename
    inside = _inside.get(path)
    if inside is None:
        inside = _inside[path] = path.startswith((PACKAGE, "<frozen", CONTEXTS))
    # A dataclass's __init__ comes from "<string>", with the globals of its module.
    return inside or (
        path == "<string>" and str(frame.f_globals.get("__name__")).startswith("ambos.")
    )


def named(name: str) -> Callable[[Function], Function]:
    """Messages call a function so where somebody called it who is not of this package."""

    def note(function: Function) -> Function:
        code: CodeType = inspect.unwrap(function).__code__
        _names[code] = name
        return function

    return note


def user_call() -> str:
    """The name of the function of this package that the innermost caller outside it called."""
    frame: FrameType | None = sys._getframe(1)
    name = ""
    while frame is not None and is_inside(frame):
        name = _names.get(frame.f_code, name)
        frame = frame.f_back
    return name


def depth_of_user() -> int:
    """The `stacklevel` with which a warning by the caller points at the user's line."""
    frame, depth, wanted = sys._getframe(1), 1, user_frame()
    while frame is not wanted and frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def user_line() -> str:
    """`file.py:12` of the innermost caller outside this package, or ""."""
    frame = user_frame()
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}" if frame else ""


def user_text() -> str:
    """The text of that line, where its file can be read, or ""."""
    frame = user_frame()
    if frame is None:
        return ""
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals).strip()


def suggest(name: str, known: Iterable[str]) -> str:
    """`". Did you mean 'epochs'?"` for the nearest known public name, or ""."""
    offered = [k for k in map(str, known) if not k.startswith("_")]
    near = difflib.get_close_matches(name, offered, n=1, cutoff=0.6)
    return f". Did you mean {near[0]!r}?" if near else ""
