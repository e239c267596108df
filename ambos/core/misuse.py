"""Calls that a function cannot take, where no check of its own foresaw it: the net below them all.

Python then complains of something deep inside. What reaches the user names the function that they
called, what it was given, what it takes, and their line; the first complaint is its `__cause__`.
"""

from __future__ import annotations

import inspect
import reprlib
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from ambos.core.errors import (
    AmbosError,
    ArgumentError,
    ArgumentTypeError,
    OutOfMemoryError,
    UnknownNameError,
    is_inside,
    suggest,
)

MISUSE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, BufferError,
          MemoryError)  # fmt: skip
Failure = TypeVar("Failure", bound=BaseException)
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


def explained(
    name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any],
    error: BaseException,
) -> AmbosError | None:  # fmt: skip
    """What to raise in place of `error`, which a call of the function raised; None: `error` itself,
    which explains itself or comes from a function that the user passed in."""
    known = error.explains if isinstance(error, AmbosError) else None
    cause = known or error  # what is told of a function inside is told of this one instead
    if isinstance(cause, AmbosError) or _passes_user(cause.__traceback__):
        return None
    if getattr(cause, "is_foreign", False):
        return None
    found = misfit(name, function, args, kwargs)
    found_here = found is not None
    if found is None:
        kind: type[AmbosError] = ArgumentError
        if isinstance(cause, TypeError | AttributeError):
            kind = ArgumentTypeError
        elif isinstance(cause, MemoryError):
            kind = OutOfMemoryError
        given = [_shown(value) for value in args]
        given += [f"{keyword}={_shown(value)}" for keyword, value in kwargs.items()]
        found = kind(f"{name}: cannot take ({', '.join(given)}): {cause}; need "
                     f"{name}{_signature(function)}")  # fmt: skip
    found.explains = cause
    found.__cause__ = None if found_here else cause  # a signature says it all
    return found


def foreign(error: Failure) -> Failure:
    """Mark an error of code that the user passed in, in whatever folder that lives (a library's
    too): it is told as it is."""
    error.__dict__["is_foreign"] = True
    return error


def misfit(
    name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> AmbosError | None:
    """The error that says why `function(*args, **kwargs)` does not bind, or None where it does."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as problem:
        known = [
            p.name
            for p in signature.parameters.values()
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"
        ]
        for keyword in kwargs:
            if keyword not in known:
                return UnknownNameError(
                    f"{name}: unknown keyword {keyword!r}; known: {', '.join(known) or 'none'}"
                    f"{suggest(keyword, known)}"
                )
        return ArgumentTypeError(f"{name}: {problem}; need {name}({', '.join(known)})")
    return None


def _passes_user(trace: TracebackType | None) -> bool:
    """Does the way from here to where it was raised lead through code of the user's?"""
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if not is_inside(trace.tb_frame) and not path.startswith(LIBRARIES):
            return True
        trace = trace.tb_next
    return False


def _shown(value: Any) -> str:
    """An argument in a few words: of arrays what they are, not what they hold."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None:
        return reprlib.repr(value)
    kind = str(dtype).rpartition(".")[2]
    return f"{type(value).__name__} of {kind} {tuple(shape)}"


def _signature(function: Callable[..., Any]) -> str:
    parameters = inspect.signature(function).parameters.values()
    return str(inspect.Signature([p.replace(annotation=p.empty) for p in parameters]))
