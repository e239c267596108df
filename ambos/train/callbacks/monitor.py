"""Callbacks that watch a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ambos.core.errors import ArgumentError, suggest
from ambos.train.callbacks.base import Callback, Logs


class Monitor(Callback):
    """Knows when `monitor` is better than ever; `mode` auto tells by the name which way that is."""

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f"{type(self).__name__}: mode is {mode!r}; need auto, min or max")
        grows = mode == "max" or (mode == "auto" and ("acc" in monitor or "score" in monitor))
        self.monitor, self.sign, self.min_delta = monitor, -1 if grows else 1, abs(min_delta)
        self.best = math.inf

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"]

    def improved(self, logs: Logs | None) -> bool:
        """Is this epoch the best so far?"""
        logs = logs or {}
        if self.monitor not in logs:
            raise ArgumentError(
                f"{type(self).__name__}: no {self.monitor!r} in this training; known: "
                f"{', '.join(logs)}{suggest(self.monitor, logs)}"
            )
        value = logs[self.monitor] * self.sign
        if value < self.best - self.min_delta:
            self.best = value
            return True
        return False
