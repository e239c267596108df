"""The number of examples in a graph that is drawn before there is data (`am.Input`).

BATCH, a prime that no other size is made of, stands for it; `sized` puts the true number into
shapes and attributes. A user meets it as `Examples` in `x.shape`: an int that computes what can be
made anew for each batch, and refuses what would stay that of the stand-in. Code of ambos, and the
forward of a module, of which only shapes are kept, compute with it as with any int.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ambos.core.errors import ArgumentError, is_inside

BATCH = 2_147_483_629
HALF = BATCH // 2
FEW = 1 << 20
PROBES = (9973, 30030, 65537)  # numbers of examples that are tried


class Symbols(threading.local):
    """`exist`: has this thread symbolic tensors at all? `is_open`: a module runs on some, and those
    inside of it are no calls of their own."""

    exist = False
    is_open = False


symbols = Symbols()


class Drawn:
    """`any`: has any thread symbolic tensors? A shape asks this each time."""

    any = False


def shown(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape for users: sizes made of BATCH know it."""
    return tuple(map(_known, shape)) if shape and max(shape) > HALF else shape


def _known(value: Any) -> Any:
    if not stands_for_count(value):
        return value
    return Share(value) if isinstance(value, float) else Examples(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Examples):
        return int.__int__(value)
    return float.__float__(value) if isinstance(value, Share) else value


def _refuse(text: str) -> NoReturn:
    raise ArgumentError(
        f"am.Input: {text}, where n is x.shape[0] or made of it; the number of examples is not "
        "known when a functional model is drawn: need this in a module's forward (right here are "
        "such as 2 * n, n - 1, 1 / n)"
    )


def _text(symbol: str, operands: tuple[Any, ...]) -> str:
    names = ["n" if isinstance(each, (Examples, Share)) else repr(each) for each in operands]
    return f" {symbol} ".join(names) if not symbol.isalpha() else f"{symbol}({', '.join(names)})"


def _computed(
    function: Callable[..., Any], symbol: str, operands: tuple[Any, ...], certain: bool
) -> Any:
    """What a method of Examples or Share returns to its caller: nothing that the stand-in decides.

    `certain`: may it be of use at all? It is where for some numbers of examples what is made anew
    of the result is the result for them."""
    if not all(isinstance(each, (int, float)) for each in operands):
        return NotImplemented
    if symbols.is_open or is_inside(sys._getframe(2)):
        return function(*map(_plain, operands))
    if not certain:
        _refuse(_text(symbol, operands))
    value = function(*map(_plain, operands))
    for count in PROBES:
        each = [
            sized_number(part, count) if isinstance(part, (Examples, Share)) else part
            for part in operands
        ]
        if not math.isclose(sized_number(value, count), function(*each), rel_tol=1e-12):
            _refuse(_text(symbol, operands))
    return _known(value)


def _method(function: Callable[..., Any], symbol: str, certain: bool = False) -> Any:
    def method(self: Any, *others: Any) -> Any:
        return _computed(function, symbol, (self, *others), certain)

    return method


def _reflected(function: Callable[..., Any], symbol: str, certain: bool = False) -> Any:
    def method(self: Any, other: Any) -> Any:
        return _computed(function, symbol, (other, self), certain)

    return method


def _numbers() -> dict[str, Any]:
    """The methods of Examples and Share."""
    found: dict[str, Any] = {}
    right = {"add": "+", "sub": "-", "mul": "*", "truediv": "/"}
    others = {"floordiv": "//", "mod": "%", "pow": "**"}
    for name, symbol in {**right, **others}.items():
        function = getattr(operator, name)
        found[f"__{name}__"] = _method(function, symbol, name in right)
        found[f"__r{name}__"] = _reflected(function, symbol, name in right)
    found["__divmod__"] = _method(divmod, "divmod")
    found["__rdivmod__"] = _reflected(divmod, "divmod")
    for name, symbol in {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
        found[f"__{name}__"] = _method(getattr(operator, name), symbol)
    for name in ("neg", "pos", "abs"):
        found[f"__{name}__"] = _method(getattr(operator, name), name, True)
    return found


class Examples(int):
    """A size made of the number of examples."""


class Share(float):
    """A share of it: 1 / n."""


def _fill() -> None:
    bits = {"and": "&", "or": "|", "xor": "^", "lshift": "<<", "rshift": ">>"}
    for kind, base in ((Examples, int), (Share, float)):
        for name, method in _numbers().items():
            setattr(kind, name, method)
        for name in ("bool", "int", "float", "round", "trunc", "floor", "ceil"):
            special = f"__{name}__"
            setattr(kind, special, _method(getattr(base, special), name))
    for name, symbol in bits.items():
        function = getattr(operator, f"__{name}__")
        setattr(Examples, f"__{name}__", _method(function, symbol))
        setattr(Examples, f"__r{name}__", _reflected(function, symbol))


_fill()


def sized(value: Any, count: int) -> Any:
    """A size or attribute with the number of examples in place of BATCH.

    Example:
        >>> sized((BATCH, 3 * BATCH, 5), 2)
        (2, 6, 5)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if -HALF < value < HALF:
            return value
        times, rest = divmod(value + HALF, BATCH)
        return times * count + rest - HALF
    if isinstance(value, float):
        return sized_number(value, count)
    if isinstance(value, tuple):
        parts = [sized(part, count) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        changed = {name: sized(part, count) for name, part in fields.items()}
        if any(changed[name] is not fields[name] for name in fields):
            return dataclasses.replace(value, **changed)
    return value


def sized_number(value: Any, count: int) -> Any:
    """A number that is computed with, where it was made of the number of examples: `2 * n`,
    `n - 1`, `1 / (n - 1)`. Others of that size, such as 1e10 and 2**31, are what they are.

    Example:
        >>> sized_number(BATCH - 1.0, 4), sized_number(1 / BATCH, 4), sized_number(2.0**31, 4)
        (3.0, 0.25, 2147483648.0)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value:
        return value
    if _is_of_count(value):
        kind = float if isinstance(value, float) else int
        return kind(sized(int(value), count))
    whole = 1 / value if abs(value) * HALF < 1 else 0.0
    if not HALF < abs(whole) < BATCH * FEW:
        return value
    near = round(whole)
    if abs(whole - near) > 4e-16 * abs(whole) or not _is_of_count(near):
        return value
    divisor = sized(near, count)
    return 1 / divisor if divisor else math.inf


def stands_for_count(value: Any) -> bool:
    """Was a number in a tensor made of BATCH, as far as can be told? A narrow one is rounded."""
    if value != value:  # NaN
        return False
    rounded = isinstance(value, float) and value == np.float32(BATCH)
    return bool(rounded or sized_number(value, 1) != value)


def _is_of_count(value: float) -> bool:
    """Is it a few times BATCH, a little more or less, and no power of two, nor one before?"""
    if not HALF < abs(value) < BATCH * FEW or value != int(value):
        return False
    whole = abs(int(value))
    rest = (whole + HALF) % BATCH - HALF
    return abs(rest) < FEW and bool(whole & (whole - 1)) and bool(whole & (whole + 1))
