"""What names in a file stand for: found, checked against their signatures, and made."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Union, get_args, get_origin, get_type_hints

from ambos.cli.config import Config
from ambos.cli.lines import Place
from ambos.core.errors import AmbosError, suggest

WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "text in quotes"}
LISTS = (list, tuple, Sequence)
GIVEN = ("params", "optimizer")  # what no file can hold


def chosen(
    config: Config, place: Place, role: str, name: str, known: Iterable[str],
    find: Callable[[str], Any],
) -> Any:  # fmt: skip
    """`find(name)` for a name that is known, or what an import path leads to.

    Errors: ArgumentError for any other name, with the nearest.
    """
    if ":" in name:
        return imported(config, place, name)
    known = list(known)
    if name not in known:
        raise config.wrong(
            (*place, "name"), f"unknown {role} {name!r}; need one of "
            f"{', '.join(known[:40])}{', ...' if len(known) > 40 else ''}, or an import path "
            f"'package.module:name'{suggest(name, known)}"
        )  # fmt: skip
    return find(name)


def imported(config: Config, place: Place, path: str) -> Any:
    """What "package.module:name" stands for; modules are looked for in the run's folder too.

    Errors: ArgumentError for a module or a name that is not there; whatever the module raises.
    """
    module, _, name = path.partition(":")
    base = str(config.base.resolve())
    if base not in sys.path:
        sys.path.insert(0, base)
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # a module that theirs imports
        raise config.wrong(
            (*place, "name"), f"there is no module {error.name!r} (in {base}, or installed); need "
            "'package.module:name'"
        ) from None  # fmt: skip
    if not hasattr(found, name):
        near = suggest(name, vars(found))
        raise config.wrong((*place, "name"), f"module {module!r} has no {name!r}; need one{near}")
    return getattr(found, name)


def made(
    config: Config, place: Place, function: Any, settings: Mapping[str, Any], *args: Any
) -> Any:
    """`function(*args, **settings)`, with every setting checked, and errors told with their line.

    Errors: ArgumentError.
    """
    if not callable(function):
        if settings:
            raise config.unknown((*place, next(iter(settings))), next(iter(settings)), ())
        return function
    parameters, hints = parameters_of(function)[len(args) :], hints_of(function)
    by_name = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    known = [p.name for p in by_name if p.name not in GIVEN]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for key, value in settings.items():
        if key not in known and (not takes_any or key in GIVEN):
            raise config.unknown((*place, key), key, known)
        need = needed(value, hints.get(key))
        if need:
            raise config.wrong((*place, key), f"{key} is {value!r}; need {need}")
    missing = [p.name for p in by_name if p.default is p.empty and p.name not in settings]
    if missing:
        raise config.wrong(place, f"no {', '.join(missing)}; need it for {_name(function)}")
    try:
        return function(*args, **settings)
    except AmbosError as error:
        raise config.wrong(at_fault(place, settings, error.message), error) from error
    except (TypeError, ValueError) as error:
        raise config.wrong(place, f"{_name(function)}: {error}") from error


def at_fault(place: Place, settings: Mapping[str, Any], message: str) -> Place:
    """The key that a message quotes or names, or whose value it quotes, if there is one."""
    for key, value in settings.items():
        if f"'{key}'" in message or f"{key} " in message:
            return (*place, key)
        if isinstance(value, str) and repr(value) in message:
            return (*place, key)
    return place


def parameters_of(function: Any) -> list[inspect.Parameter]:
    """The parameters that are still open."""
    if isinstance(function, functools.partial):
        bound = len(function.args)
        return [p for p in parameters_of(function.func)[bound:] if p.name not in function.keywords]
    return list(inspect.signature(function).parameters.values())


def hints_of(function: Any) -> dict[str, Any]:
    """The types of parameters, of those functions that tell."""
    if isinstance(function, functools.partial):
        return hints_of(function.func)
    try:
        if isinstance(function, type):
            return get_type_hints(function.__init__)  # type: ignore[misc]  # of this very class
        return get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # names for type checkers only
        return {}


def _name(function: Any) -> str:
    function = function.func if isinstance(function, functools.partial) else function
    return str(getattr(function, "__name__", function))


def needed(value: Any, hint: Any) -> str:
    """What a parameter of this type needs in place of `value`; "" where it fits, or may.

    Example:
        >>> needed("three", int | None), needed(3, float), needed([3], None)
        ('an integer', '', '')
        >>> needed([3, "x"], Sequence[int]), needed([3], list[float])
        ('a list (an integer each)', '')
    """
    union = get_origin(hint) in (Union, types.UnionType)
    kinds = get_args(hint) if union else (hint,)
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    words = [_word(kind) for kind in kinds]
    if not words or "" in words or any(_fits(value, kind) for kind in kinds):
        return ""
    return " or ".join(words)


def _word(kind: Any) -> str:
    """What a type is called in a file; "" for what a file cannot tell."""
    inner = get_args(kind)
    if get_origin(kind) in LISTS and len(set(inner) - {...}) == 1:
        return f"a list ({WORDS[inner[0]]} each)" if inner[0] in WORDS else ""
    return WORDS.get(kind, "")


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) in LISTS:
        element = get_args(kind)[0]
        return isinstance(value, list) and all(_fits(one, element) for one in value)
    return type(value) is kind or (type(value) is int and kind is float)
