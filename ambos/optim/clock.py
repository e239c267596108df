"""Counting steps with tensors, so that the graph of a step is the same at every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from ambos.tensor.handle import Tensor


class Clock:
    """How many updates some parameters have had: a 0-d float64 tensor.

    Parameters that always step together share one clock, so its arithmetic (the bias corrections)
    exists once in the graph. float64, because 1 - 0.999**step needs the digits.
    """

    __slots__ = ("__weakref__", "count")

    def __init__(self, count: float | Tensor = 0.0) -> None:
        # An array, not a number: numbers become constants, and this must be data.
        self.count = count if isinstance(count, Tensor) else Tensor(np.asarray(count, np.float64))


class Tick:
    """One step of the clocks of `states`, recorded at once and made true by `commit`.

    States without a clock start a common one. Where only some owners of a clock step (`owners`
    says how many it has), they go on with a clock of their own.
    """

    def __init__(self, states: list[dict[str, Any]], owners: Mapping[Clock, int]) -> None:
        fresh: Clock | None = None
        stepping: Counter[Clock] = Counter()
        self.new: dict[Clock, Clock] = {}
        for state in states:
            old = state.get("step")
            if old is None:
                fresh = old = fresh or Clock()
            stepping[old] += 1
            if old not in self.new:
                self.new[old] = Clock(old.count + 1.0)
            state["step"] = self.new[old]
        self.forked = {old for old in self.new if stepping[old] < owners.get(old, 0)}

    def commit(self, states: list[dict[str, Any]]) -> list[Tensor]:
        """Let the clocks show their new time; returns the tensors that changed."""
        kept = {new: old for old, new in self.new.items() if old not in self.forked}
        for new, old in kept.items():
            old.count.data = new.count
        for state in states:
            state["step"] = kept.get(state["step"], state["step"])
        return [kept.get(new, new).count for new in self.new.values()]
