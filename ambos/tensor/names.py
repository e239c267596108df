"""Both sides' spellings of arguments, and help for names that do not exist."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from ambos.core.errors import DeviceError, UnknownNameError, named, suggest
from ambos.core.misuse import MISUSE, explained
from ambos.tensor.autocast import castable

F = TypeVar("F", bound=Callable[..., Any])

# Spelling -> our parameter, where the function has that parameter and not the spelling.
SPELLINGS = {
    "dim": "axis", "dims": "axis", "axes": "axis", "keepdim": "keepdims", "input": "x", "a": "x",
    "array": "x", "self": "x", "other": "y", "mat2": "y", "b": "y", "x1": "x", "x2": "y",
    "minimum": "min", "maximum": "max", "a_min": "min", "a_max": "max",
    "ddof": "correction", "size": "shape", "sizes": "shape", "tensors": "arrays",
    "sections": "indices_or_sections", "split_size": "indices_or_sections",
    "split_size_or_sections": "indices_or_sections", "shifts": "shift", "reps": "repeats",
    "dim0": "axis0", "dim1": "axis1", "obj": "indices",
    "index": "indices", "src": "updates", "source": "updates", "exponent": "y", "ord": "p",
    "fill": "value", "fill_value": "value", "value": "fill_value", "method": "interpolation",
    "weights": "weight", "end": "stop", "steps": "num", "newshape": "shape", "pad_width": "padding",
    "constant_values": "value", "in_dims": "in_axes", "out_dims": "out_axes",
}  # fmt: skip


def public(function: F) -> F:
    """Accept the other spellings of `function`'s keywords; propose a name for unknown ones."""
    parameters = inspect.signature(function).parameters
    known = tuple(parameters)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    translate = {
        other: name for other, name in SPELLINGS.items() if name in known and other not in known
    }
    if "axes" in known and "axis" not in known:  # the Array API's name where several are meant
        translate |= {other: "axes" for other in ("dim", "dims", "axis") if other not in known}

    if inspect.isfunction(function):
        named(function.__name__)(function)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if kwargs and not open_ended:
            kwargs = {_known(function.__name__, k, known, translate): v for k, v in kwargs.items()}
        try:
            return function(*args, **kwargs)
        except MISUSE as error:
            problem = explained(function.__name__, function, args, kwargs, error)
            if problem is None:
                raise
            raise problem from problem.__cause__

    return castable(checked)  # type: ignore[return-value]


def _known(name: str, keyword: str, known: tuple[str, ...], translate: dict[str, str]) -> str:
    if keyword in known:
        return keyword
    if keyword in translate:
        return translate[keyword]
    raise UnknownNameError(
        f"{name}: unknown argument {keyword!r}; need one of {', '.join(known)}"
        f"{suggest(keyword, (*known, *translate))}"
    )


def check_device(name: str, device: object) -> None:
    """A DeviceError unless `device` is the processor that this build computes on."""
    if device is None or str(device).split(":")[0] == "cpu":
        return
    raise DeviceError(
        f"{name}: device {str(device)!r} is not available; need 'cpu', where this version of "
        "ambos computes: leave the device out"
    )
