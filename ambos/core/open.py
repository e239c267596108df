"""Numbers left open: what is computed with them is written down, and what is decided by them.

A plan that was made with the sizes of a graph left open holds for all sizes by which the same is
decided. `Sheet.at` computes with other numbers what was computed with those, line by line, and
stops at the first decision that comes out otherwise.

An `Open` is no int, so nothing takes it for one unseen: whatever wants its value (a range, a text,
NumPy) gets `Shut`, and the plan is made as always. Its hash is that of its value. Equal keys of a
dictionary are compared, which is a decision; keys that are not equal now but would be for other
numbers are found apart there, too: dictionaries may serve to share, not to tell.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from functools import wraps
from threading import get_ident
from typing import Any, NoReturn, TypeVar, cast

Number = int | float
F = TypeVar("F", bound=Callable[..., Any])
Line = tuple[Callable[..., Any], tuple[int, ...], int, bool | None]


class Shut(Exception):
    """A number that is left open cannot stay so."""


MARK = re.compile("⟦([0-9]+)⟧")


class Sheet:
    """Lines (function, slots of its operands and result, what was decided or None), in order.

    Example:
        >>> sheet = Sheet()
        >>> n = sheet.number(6)
        >>> m = 2 * n + 1 if n > 4 else n
        >>> slots = sheet.at([9])
        >>> filled(m, slots), sheet.at([3])
        (19, None)
    """

    def __init__(self) -> None:
        self.values: list[Any] = []  # of each slot: an open number, a constant or a result
        self.given: list[int] = []  # slots of the numbers left open
        self.lines: list[Line] = []
        self.constants: dict[tuple[type, Any], int] = {}
        self.known: dict[tuple[Callable[..., Any], tuple[int, ...], bool], int] = {}
        self.thread: int | None = get_ident()  # whose numbers these are; None: nothing is added

    def close(self) -> None:
        """Nothing more is computed or decided."""
        self.thread = None
        self.constants, self.known = {}, {}

    def slot(self, value: Any) -> int:
        self.values.append(value)
        return len(self.values) - 1

    def number(self, value: Number) -> Open:
        """A number left open, which is `value` now."""
        self.given.append(self.slot(value))
        return Open(self, self.given[-1])

    def place(self, operand: Any) -> int:
        """The slot of an operand."""
        if type(operand) is Open:
            return operand.slot
        key = type(operand), operand if type(operand) is int else repr(operand)
        found = self.constants.get(key)
        if found is None:
            found = self.constants[key] = self.slot(operand)
        return found

    def compute(self, how: Callable[..., Any], *operands: Any) -> Open:
        """`how(*operands)`, left open."""
        return Open(self, self.line(how, operands, is_decided=False))

    def decide(self, how: Callable[..., bool], *operands: Any) -> bool:
        """`how(*operands)`, which has to be the same for other numbers."""
        return bool(self.values[self.line(how, operands, is_decided=True)])

    def line(self, how: Callable[..., Any], operands: Sequence[Any], is_decided: bool) -> int:
        """The slot of `how(*operands)`, which is written down once."""
        if self.thread is None:
            raise Shut
        slots = tuple(map(self.place, operands))
        found = self.known.get((how, slots, is_decided))
        if found is None:
            value = how(*map(self.values.__getitem__, slots))
            found = self.known[how, slots, is_decided] = self.slot(value)
            self.lines.append((how, slots, found, value if is_decided else None))
        return found

    def at(self, numbers: Sequence[Number]) -> list[Any] | None:
        """All slots with `numbers` in place of those left open; None if a decision differs."""
        slots = self.values.copy()
        for slot, value in zip(self.given, numbers, strict=True):
            slots[slot] = value
        for how, operands, slot, decided in self.lines:
            found = slots[slot] = how(*[slots[n] for n in operands])
            if decided is not None and found is not decided:
                return None
        return slots


def _computed(how: Callable[[Any, Any], Any], turned: bool = False) -> Any:
    def method(self: Open, other: Any) -> Any:
        kind = type(other)
        if kind is not int and kind is not Open and not isinstance(other, float | bool):
            return NotImplemented
        operands = (other, self) if turned else (self, other)
        return self.sheet.compute(how, *operands)

    return method


def _decided(how: Callable[[Any, Any], bool]) -> Any:
    def method(self: Open, other: Any) -> Any:
        kind = type(other)
        if kind is not int and kind is not Open and not isinstance(other, float | bool):
            return NotImplemented
        sheet = self.sheet
        if sheet.thread != get_ident() or getattr(other, "sheet", sheet) is not sheet:
            if how is operator.eq or how is operator.ne:  # it is nobody else's number
                return how is operator.ne
            raise Shut
        return sheet.decide(how, self, other)

    return method


class Open:
    """A number left open, or computed from such. `isinstance` knows it as the number it is now."""

    __slots__ = ("sheet", "slot")

    def __init__(self, sheet: Sheet, slot: int) -> None:
        self.sheet, self.slot = sheet, slot

    @property  # type: ignore[misc]  # `isinstance` asks it of each number
    def __class__(self) -> Any:
        return type(self.sheet.values[self.slot])

    def _shut(self, *asked: Any) -> NoReturn:
        raise Shut

    # What has no rule here is not known to stay open.
    __getattr__ = __index__ = __int__ = __float__ = __complex__ = __repr__ = __format__ = _shut
    __invert__ = _shut
    __round__ = __trunc__ = __floor__ = __ceil__ = __pow__ = __rpow__ = _shut
    __or__ = __xor__ = __lshift__ = __rshift__ = _shut
    __ror__ = __rxor__ = __rlshift__ = __rrshift__ = _shut

    def __bool__(self) -> bool:
        return self.sheet.decide(operator.ne, self, 0)

    def __hash__(self) -> int:
        return hash(self.sheet.values[self.slot])

    def __neg__(self) -> Open:
        return self.sheet.compute(operator.mul, self, -1)

    def __abs__(self) -> Any:
        return -self if self < 0 else self

    __add__, __radd__ = _computed(operator.add), _computed(operator.add, turned=True)
    __sub__, __rsub__ = _computed(operator.sub), _computed(operator.sub, turned=True)
    __mul__, __rmul__ = _computed(operator.mul), _computed(operator.mul, turned=True)
    __mod__, __rmod__ = _computed(operator.mod), _computed(operator.mod, turned=True)
    __divmod__ = lambda self, other: (self // other, self % other)
    __rdivmod__ = lambda self, other: (other // self, other % self)
    __floordiv__ = _computed(operator.floordiv)
    __rfloordiv__ = _computed(operator.floordiv, turned=True)
    __truediv__ = _computed(operator.truediv)
    __rtruediv__ = _computed(operator.truediv, turned=True)
    __and__, __rand__ = _computed(operator.and_), _computed(operator.and_, turned=True)
    __lt__, __le__ = _decided(operator.lt), _decided(operator.le)
    __gt__, __ge__ = _decided(operator.gt), _decided(operator.ge)
    __eq__, __ne__ = _decided(operator.eq), _decided(operator.ne)


def computed(function: F) -> F:
    """A function of numbers whose result is a number, or a tuple of such: where one of them is left
    open the result is, and what the function decides on the way is decided anew for others."""

    @wraps(function)
    def call(*operands: Any, **named: Any) -> Any:
        for operand in operands:
            if type(operand) is Open:
                break
        else:
            return function(*operands, **named)
        sheet = operand.sheet
        found = sheet.compute(function, *operands)
        value = sheet.values[found.slot]
        if not isinstance(value, tuple):
            return found
        parts = [sheet.compute(operator.getitem, found, n) for n in range(len(value))]
        kind: Any = type(value)
        return tuple(parts) if kind is tuple else kind(*parts)

    return cast(F, call)


is_below = computed(operator.lt)


def shown(number: Any) -> str:
    """A number in a text for people, or one that tells numbers apart: `filled` writes it there."""
    return f"⟦{number.slot}⟧" if type(number) is Open else repr(number)


def listed(numbers: Sequence[Any]) -> str:
    """Numbers in such a text."""
    return f"[{', '.join(map(shown, numbers))}]"


def is_finite(number: Any) -> bool:
    """Is it no infinity and not NaN?"""
    return bool(number - number == 0) if type(number) is Open else math.isfinite(number)


@computed
def converted(kind: type, number: Any) -> Any:
    """`kind(number)`."""
    return kind(number)


def filled(found: Any, slots: Sequence[Any]) -> Any:
    """A number, or a text that shows some, with the numbers of `Sheet.at`."""
    if type(found) is Open:
        return slots[found.slot]
    if type(found) is str and "⟦" in found:
        return MARK.sub(lambda mark: repr(slots[int(mark[1])]), found)
    return found
