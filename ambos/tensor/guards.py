"""What a recording compares to tell whether it still holds: values by their bits, objects by
identity.

Python's `==` takes 1, 1.0 and True for equal, 0.0 and -0.0 too, a NaN for another than itself, and
asks a tensor for its elements; ids are used again once an object is gone.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Sequence
from operator import is_
from typing import Any

OF_NONE = id(None)  # which is an object like others, and what a dead reference gives


class Same:
    """One object, equal to itself alone. Held weakly where that is possible, so that recordings
    keep no module alive; once it is gone, equal to nothing."""

    __slots__ = ("_hash", "_of")

    def __init__(self, of: Any) -> None:
        self._hash = id(of)
        self._of: Callable[[], Any]
        try:
            self._of = weakref.ref(of)
        except TypeError:
            self._of = lambda: of

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Same) or self._hash != other._hash:
            return False
        mine = self._of()
        is_gone = mine is None and self._hash != OF_NONE
        return not is_gone and mine is other._of()

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return repr(self._of())


def is_each(these: Sequence[Any], those: Sequence[Any]) -> bool:
    """Are these the same objects as those, in this order?

    Example:
        >>> is_each([[]], [[]])
        False
    """
    return len(these) == len(those) and all(map(is_, these, those))


def difference(look: Callable[[], Any], before: Any) -> str:
    """What has changed since `look()` gave `before`, in words; nothing where nothing has."""
    now = look()
    if now == before:
        return ""
    if isinstance(now, dict) and isinstance(before, dict):
        name = next(n for n in {**before, **now} if before.get(n) != now.get(n))
        return f"{getattr(look, 'of', '')}.{name} is {_shown(now, name)} and was " + _shown(
            before, name
        )
    if now is None:
        return f"{getattr(look, 'of', 'something that it used')} is gone"
    return "a gradient, or a setting or state of an optimizer, is another one"


def _shown(values: dict[str, Any], name: str) -> str:
    if name not in values:
        return "not there"
    value = values[name]
    is_plain = isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], type)
    return repr(value[1] if is_plain else value)


def exactly(value: Any) -> Hashable:
    """`value` such that only what computes the same is equal to it.

    Example:
        >>> exactly((1, True)) == exactly((1.0, 1)), exactly(0.0) == exactly(-0.0)
        (False, False)
        >>> exactly(float("nan")) == exactly(float("nan"))
        True
    """
    kind = type(value)
    if kind in (float, complex):  # whose text has all bits
        return kind, repr(value)
    if kind in (int, bool, str, bytes, type(None)):
        return kind, value
    if isinstance(value, tuple):
        return (kind, *map(exactly, value))
    return Same(value)
