"""The way from a tree to one of its leaves: `['dense'].weight[0]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DictKey:
    """The value of a dict at `key`."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


@dataclass(frozen=True, slots=True)
class SequenceKey:
    """The element of a list or tuple at `idx`."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx}]"


@dataclass(frozen=True, slots=True)
class GetAttrKey:
    """The attribute (or dotted attributes) of this name."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


class StateKey(GetAttrKey):
    """The same, of what is kept but not trained: a constant to gradients."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class FlattenedIndexKey:
    """Child number `key` of a node that does not name its children."""

    key: int

    def __str__(self) -> str:
        return f"[<child {self.key}>]"


Key = DictKey | SequenceKey | GetAttrKey | FlattenedIndexKey


class Path(tuple[Key, ...]):
    """Keys from the outside in; as text, what one would write behind the tree's name.

    Example:
        >>> f"params{Path((DictKey('dense'), GetAttrKey('weight'), SequenceKey(0)))}"
        "params['dense'].weight[0]"
    """

    __slots__ = ()

    def __str__(self) -> str:
        return "".join(map(str, self))

    def to(self, key: Key) -> Path:
        """The way to a child."""
        return Path((*self, key))


ROOT = Path()
