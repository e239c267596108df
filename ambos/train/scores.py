"""What `evaluate` returns."""

from __future__ import annotations

from collections.abc import ItemsView, Mapping
from typing import Any, Self


class Scores(tuple[Any, ...]):
    """Numbers in order, which have names: Keras's list and its dictionary in one.

    Errors: KeyError for a name that is not there; TypeError for `float` of several numbers.

    Example:
        >>> scores = Scores({"loss": 0.5, "accuracy": 0.75})
        >>> scores
        {'loss': 0.5, 'accuracy': 0.75}
        >>> loss, accuracy = scores
        >>> scores["accuracy"] == scores[1] == accuracy
        True
        >>> dict(scores)
        {'loss': 0.5, 'accuracy': 0.75}
        >>> f"{Scores({'loss': 0.5}):.3f}"
        '0.500'
    """

    _named: dict[str, Any]

    def __new__(cls, named: Mapping[str, Any]) -> Self:
        found = super().__new__(cls, named.values())
        found._named = dict(named)
        return found

    def __getnewargs__(self) -> tuple[dict[str, Any]]:
        return (self._named,)

    def __getitem__(self, place: Any) -> Any:
        return self._named[place] if isinstance(place, str) else super().__getitem__(place)

    def __contains__(self, what: object) -> bool:
        return what in self._named if isinstance(what, str) else super().__contains__(what)

    def get(self, name: str, default: Any = None) -> Any:
        """The number of this name."""
        return self._named.get(name, default)

    def keys(self) -> list[str]:
        """The names."""
        return list(self._named)

    def values(self) -> list[Any]:
        """The numbers."""
        return list(self)

    def items(self) -> ItemsView[str, Any]:
        """Names with their numbers."""
        return self._named.items()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Scores):
            return self._named == other._named
        return self._named == other if isinstance(other, Mapping) else super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__

    def __float__(self) -> float:
        if len(self) != 1:
            names = ", ".join(self._named)
            raise TypeError(f"evaluate gave {len(self)} numbers, {names}; need one: scores['loss']")
        return float(super().__getitem__(0))

    def __format__(self, how: str) -> str:
        return format(float(self), how) if how else str(self)

    def __repr__(self) -> str:
        return repr(self._named)
