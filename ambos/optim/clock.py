"""Counting steps with tensors, so that the graph of a step is the same at every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where


class Clock:
    """How many updates some parameters have had: a 0-d float64 tensor.

    Parameters of a group that always step together share one clock, so its arithmetic (the bias
    corrections) exists once in the graph. float64, because 1 - 0.999**step needs the digits.
    `shared` is what else a rule remembers of their steps: 0-d float64 tensors by name.
    """

    __slots__ = ("__weakref__", "count", "shared")

    def __init__(
        self, count: float | Tensor = 0.0, shared: Mapping[str, float | Tensor] | None = None
    ) -> None:
        self.count = _datum(count)
        self.shared = {key: _datum(value) for key, value in (shared or {}).items()}

    def __float__(self) -> float:
        return float(self.count.item())

    item = __float__

    def __repr__(self) -> str:
        return f"Clock({self.item()})"

    def numbers(self) -> dict[str, float]:
        """What it shows, as it stands in a state_dict."""
        return {"step": self.item()} | {key: value.item() for key, value in self.shared.items()}

    def tensors(self) -> Iterator[Tensor]:
        """Its handles."""
        yield self.count
        yield from self.shared.values()

    def take_over(self, other: Clock) -> None:
        """Show what `other` shows."""
        for mine, its in zip(self.tensors(), other.tensors(), strict=True):
            mine.data = its


def _datum(value: float | Tensor) -> Tensor:
    """An array, not a number: numbers become constants, and this must be data. A handle of one's
    own: who else holds `value` does not see the clock go on."""
    return value.detach() if isinstance(value, Tensor) else Tensor(np.asarray(value, np.float64))


class Tick:
    """One step of the clocks of `states`, recorded at once and made true by `commit`.

    States without a clock start a common one, `fresh()`; `later` is the count after a step. Where
    only some owners of a clock step (`owners` says how many it has), they go on with a clock of
    their own.
    """

    def __init__(
        self,
        states: Iterable[dict[str, Any]],
        owners: Mapping[Clock, int],
        fresh: Callable[[], Clock],
        later: Callable[[Tensor], Tensor | float],
    ) -> None:
        started: Clock | None = None
        stepping: Counter[Clock] = Counter()
        self.new: dict[Clock, Clock] = {}
        for state in states:
            old = state.get("step")
            if old is None:
                started = old = started or fresh()
            stepping[old] += 1
            if old not in self.new:
                self.new[old] = Clock(later(old.count), old.shared)
            state["step"] = self.new[old]
        self.forked = {old for old in self.new if stepping[old] < owners.get(old, 0)}

    def stay(self, wrong: Tensor) -> None:
        """Where `wrong`, the step is not counted."""
        for old, new in self.new.items():
            new.count = where(wrong, old.count, new.count)
            new.shared = {
                key: where(wrong, old.shared[key], value) for key, value in new.shared.items()
            }

    def commit(self, states: Iterable[dict[str, Any]]) -> list[Tensor]:
        """Let the clocks show their new time; returns the tensors that changed."""
        kept = {new: old for old, new in self.new.items() if old not in self.forked}
        for new, old in kept.items():
            old.take_over(new)
        for state in states:
            state["step"] = kept.get(state["step"], state["step"])
        return [tensor for new in self.new.values() for tensor in kept.get(new, new).tensors()]
