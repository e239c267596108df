"""What `evaluate` returns."""

from __future__ import annotations

import operator
from collections.abc import Callable, ItemsView, Mapping
from typing import Any, Self

from ambos.core.tree import register_node


def _of_one(how: Callable[[float, Any], Any], turned: bool = False) -> Any:
    def method(self: Scores, other: Any) -> Any:
        return how(other, float(self)) if turned else how(float(self), other)

    return method


class Scores(tuple[Any, ...]):
    """Numbers in order, which have names: Keras's list and its dictionary in one. A loss alone also
    is a number.

    Errors: KeyError for a name that is not there; TypeError for arithmetic with several numbers.

    Example:
        >>> scores = Scores({"loss": 0.5, "accuracy": 0.75})
        >>> scores
        {'loss': 0.5, 'accuracy': 0.75}
        >>> loss, accuracy = scores
        >>> scores["accuracy"] == scores[1] == accuracy
        True
        >>> dict(scores)
        {'loss': 0.5, 'accuracy': 0.75}
        >>> alone = Scores({"loss": 0.5})
        >>> f"{alone:.3f}", 100 * alone, alone < 1
        ('0.500', 50.0, True)
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
        if isinstance(other, Mapping):
            return self._named == other
        if isinstance(other, int | float) and len(self) == 1:
            return float(self) == other
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__

    def __float__(self) -> float:
        if len(self) != 1:
            names = ", ".join(self._named)
            raise TypeError(f"evaluate gave {len(self)} numbers, {names}; need one: scores['loss']")
        return float(super().__getitem__(0))

    def __round__(self, digits: int | None = None) -> Any:
        return round(float(self), digits)

    __add__, __radd__ = _of_one(operator.add), _of_one(operator.add, turned=True)
    __sub__, __rsub__ = _of_one(operator.sub), _of_one(operator.sub, turned=True)
    __mul__, __rmul__ = _of_one(operator.mul), _of_one(operator.mul, turned=True)
    __truediv__, __rtruediv__ = _of_one(operator.truediv), _of_one(operator.truediv, turned=True)
    __lt__, __le__ = _of_one(operator.lt), _of_one(operator.le)
    __gt__, __ge__ = _of_one(operator.gt), _of_one(operator.ge)

    def __format__(self, how: str) -> str:
        return format(float(self), how) if how else str(self)

    def __repr__(self) -> str:
        return repr(self._named)


register_node(
    Scores,
    lambda scores: (scores.values(), tuple(scores.keys())),
    lambda names, values: Scores(dict(zip(names, values, strict=True))),
)
