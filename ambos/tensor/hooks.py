"""Functions of the user's that are called around something, and can be taken away again."""

from __future__ import annotations

from itertools import count
from typing import Any, Self, TypeVar

from ambos.tensor.tracing import makeup

Entry = TypeVar("Entry")

_numbers = count()  # an id is used again, once its object is gone


class Removable:
    """A hook that can be taken away; as a context, at its end.

    Example:
        >>> table = {}
        >>> with enroll(table, print):
        ...     len(table)
        1
        >>> table
        {}
    """

    def __init__(self, table: dict[int, Any], number: int) -> None:
        self.table, self.number = table, number

    def remove(self) -> None:
        """Do not call the hook any more."""
        makeup.version += 1
        self.table.pop(self.number, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def enroll(table: dict[int, Entry], entry: Entry, prepend: bool = False) -> Removable:
    """Put a hook at the end of its table, or at its front. Jitted functions notice.

    Example:
        >>> table = {}
        >>> handles = enroll(table, "first"), enroll(table, "before it", prepend=True)
        >>> list(table.values())
        ['before it', 'first']
    """
    makeup.version += 1
    number, before = next(_numbers), dict(table)
    table[number] = entry
    if prepend:
        for old in before:
            table[old] = table.pop(old)
    return Removable(table, number)
