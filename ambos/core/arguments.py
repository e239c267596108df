"""Calls that do not fit a signature, answered with the nearest name and the whole signature."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, TypeVar

from ambos.core.elsewhere import needed
from ambos.core.errors import ArgumentError, UnknownNameError, named, suggest, user_line
from ambos.core.misuse import MISUSE, construction, explained

Called = TypeVar("Called", bound=Callable[..., Any])


def checked(function: Called) -> Called:
    """Decorate a public function so that a misspelt keyword is answered with the right one.

    Example:
        >>> @checked
        ... def fit(epochs=1): ...
        >>> fit(epoch=3)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ambos.core.errors.UnknownNameError: fit: unknown keyword 'epoch'; known: epochs. Did you \
mean 'epochs'? [...]
    """

    named(function.__name__)(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except MISUSE as error:
            problem = explained(function.__name__, function, args, kwargs, error)
            if problem is None:
                raise
            raise problem from problem.__cause__

    return call  # type: ignore[return-value]


class Checked(type):
    """Metaclass whose classes answer a misspelt constructor keyword with the right one.

    A class may define `advice(args, kwargs) -> str`, a hint added to the message.
    """

    @property
    def __signature__(cls) -> inspect.Signature:  # or `help` would show that of `__call__` below
        return construction(cls)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except MISUSE as error:
            problem = explained(cls.__name__, cls, args, kwargs, error)
            if problem is None:
                raise
            advice = getattr(cls, "advice", None)
            hint = advice(args, kwargs) if advice is not None else ""
            if hint:
                problem.message += f"; {hint}"
                problem.at(user_line())
            raise problem from problem.__cause__


def checked_all(names: Iterable[str], namespace: dict[str, Any]) -> None:
    """`checked` for the functions that a room exports, which is where pickle finds them again."""
    for name in names:
        namespace[name] = checked(namespace[name])
        namespace[name].__module__ = namespace["__name__"]


def answering(room: str, names: Iterable[str], parts: Iterable[str] = ()) -> Callable[[str], Any]:
    """A room's `__getattr__`, which answers an unknown name with what is meant by it elsewhere or
    with the nearest, and imports those of its `parts` that are asked for.

    Example:
        >>> answering("ambos.nn", ["Linear"])("Liner")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ambos.core.errors.UnknownNameError: ambos.nn: has no attribute 'Liner'; need an existing \
name. Did you mean 'Linear'? [...]
    """

    def missing(name: str) -> Any:
        if name in parts:
            return import_module(f"{room}.{name}")
        if name.startswith("__"):
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        known = needed(room, name)
        fix = known or f"an existing name{suggest(name, [*names, *parts])}"
        raise UnknownNameError(f"{room}: has no attribute {name!r}; need {fix}")

    return missing


def integer(name: str, value: Any) -> int:
    """`value`, an integer (or a tensor of one), or an ArgumentError.

    Example:
        >>> integer("diagonal: offset", -1)
        -1
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ArgumentError(f"{name} is {value!r}; need an integer")
    return operator.index(value)


def flag(name: str, value: Any) -> bool:
    """`value`, True or False, or an ArgumentError: where a number or text slipped into its place.

    Example:
        >>> flag("batch_first", True)
        True
    """
    if not isinstance(value, bool):
        raise ArgumentError(f"{name} is {value!r}; need True or False")
    return value


def positive(name: str, value: Any, least: int = 1) -> int:
    """`value`, an integer of at least `least`, or an ArgumentError.

    Example:
        >>> positive("epochs", 3)
        3
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
        raise ArgumentError(f"{name} is {value!r}; need an integer of at least {least}")
    return int(value)


def number(name: str, value: Any) -> float:
    """`value`, a real number (or a tensor of one) that may be infinite, or an ArgumentError.

    Example:
        >>> number("histc: min", 3)
        3.0
    """
    found = value.item() if hasattr(value, "item") else value
    if not isinstance(found, (int, float)):
        raise ArgumentError(f"{name} is {value!r}; need a real number")
    return float(found)


def share(name: str, value: Any) -> float:
    """`value`, a number from 0 to 1, or an ArgumentError.

    Example:
        >>> share("dropout: p", 0.5)
        0.5
    """
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ArgumentError(f"{name} is {value!r}; need a number from 0 to 1")
    return float(value)
