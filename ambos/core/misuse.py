"""Calls that a function cannot take, where no check of its own foresaw it: the net below them all.

Python then complains of something deep inside. What reaches the user names the function that they
called, what it was given, what it takes, and their line; the first complaint is its `__cause__`.
"""

from __future__ import annotations

import inspect
import re
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
UNEXPECTED = re.compile(r"got an unexpected keyword argument '(\w+)'")
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})

# Keywords of Keras's layers: an argument that ours have instead, and what to do.
OF_KERAS = {
    "mask_zero": ("padding_idx", "There are no masks: padding_idx=0, and the lengths of the rows "
                  "for what follows (docs/training.md, 'Rows of several lengths')"),
    "mask": ("hx", "There are no masks: pack_padded_sequence takes the lengths of the rows "
             "(docs/training.md, 'Rows of several lengths')"),
    "return_sequences": ("hidden_size", "It gives both: outputs of every step, and states"),
    "return_state": ("hidden_size", "It gives both: outputs of every step, and states"),
}  # fmt: skip


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
        found = _unknown(name, function, kwargs, cause)
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
        known = _known(signature)
        for keyword in kwargs:
            if keyword not in known:
                return _unknown_keyword(name, keyword, known)
        return ArgumentTypeError(f"{name}: {problem}; need {name}({', '.join(known)})")
    return None


def construction(kind: type) -> inspect.Signature:
    """What a class is made with. Where its constructor hands `**settings` on, that has the names of
    the next one too.

    Example:
        >>> class Shape:
        ...     def __init__(self, colour, size=1): ...
        >>> class Circle(Shape):
        ...     def __init__(self, radius, **settings): ...
        >>> construction(Circle)
        <Signature (radius, *, colour, size=1, **settings)>
    """
    found: dict[str, inspect.Parameter] = {}
    takes_places = True
    for base in kind.__mro__:
        if base is object or "__init__" not in vars(base):
            continue
        own = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        for one in own:
            if not takes_places and one.kind is one.POSITIONAL_OR_KEYWORD:
                one = one.replace(kind=one.KEYWORD_ONLY)
            found.setdefault("**" if one.kind is one.VAR_KEYWORD else one.name, one)
        kinds = {one.kind for one in own}
        takes_places = takes_places and inspect.Parameter.VAR_POSITIONAL in kinds
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    return inspect.Signature(sorted(found.values(), key=lambda one: one.kind))


def _known(signature: inspect.Signature) -> list[str]:
    named = signature.parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in named if p.kind in kinds and p.name != "self"]


def _unknown_keyword(name: str, keyword: str, known: Sequence[str]) -> AmbosError:
    where, said = OF_KERAS.get(keyword, ("", ""))
    hint = f". {said}" if where in known else suggest(keyword, known)
    return UnknownNameError(
        f"{name}: unknown keyword {keyword!r}; known: {', '.join(known) or 'none'}{hint}"
    )


def _unknown(
    name: str, function: Callable[..., Any], kwargs: Mapping[str, Any], cause: BaseException
) -> AmbosError | None:
    """The error for a keyword that `**kwargs` let through, and that nobody behind it took."""
    refused = UNEXPECTED.search(str(cause)) if isinstance(cause, TypeError) else None
    known = _known(inspect.signature(function))
    if refused is None or refused[1] not in kwargs or refused[1] in known or not known:
        return None
    return _unknown_keyword(name, refused[1], known)


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
