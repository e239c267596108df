"""Counting steps with tensors, so that the graph of a step is the same at every step."""

from __future__ import annotations

from typing import Any

import numpy as np

from ambos.tensor.handle import Tensor


class Clock:
    """How many updates some parameters have had: a 0-d float64 tensor.

    Parameters that always step together share one clock, so its arithmetic (the bias corrections)
    exists once in the graph. float64, because 1 - 0.999**step needs the digits.
    """

    __slots__ = ("count",)

    def __init__(self, count: float | Tensor = 0.0) -> None:
        # An array, not a number: numbers become constants, and this must be data.
        self.count = count if isinstance(count, Tensor) else Tensor(np.asarray(count, np.float64))


def tick(states: list[dict[str, Any]]) -> list[Clock]:
    """Advance the clocks of `states`; returns each clock once.

    States without one start a common clock. Where only some owners of a clock step, they go on
    with a clock of their own.
    """
    fresh: Clock | None = None
    advanced: dict[int, tuple[Clock, Clock]] = {}
    for state in states:
        old = state.get("step")
        if old is None:
            fresh = fresh or Clock()
            old = fresh
        if id(old) not in advanced:
            # A new object, never the old one: parameters that do not step now keep the old.
            advanced[id(old)] = (old, Clock(old.count + 1.0))
        state["step"] = advanced[id(old)][1]
    return [new for _, new in advanced.values()]
