"""Callbacks that watch a number."""

from __future__ import annotations

import difflib
import math
from collections.abc import Container, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ambos.core.arguments import number
from ambos.core.errors import ArgumentError, suggest
from ambos.train.callbacks.base import Logs
from ambos.train.callbacks.remembering import Remembering
from ambos.train.metrics.names import better

MODES = ("auto", "min", "max")


class Monitor(Remembering):
    """Knows when `monitor` is better than ever, by more than `min_delta`. `mode` "auto" tells by
    the metric which way that is; NaN is never better.

    Errors: ArgumentError for another mode, where training has no such number, and where "auto"
        cannot tell.
    """

    remembered: tuple[str, ...] = ("best",)

    def __init__(
        self, monitor: str, mode: str, min_delta: float = 0.0, best: float | None = None
    ) -> None:
        name = type(self).__name__
        if mode not in MODES:
            raise ArgumentError(
                f"{name}: mode is {mode!r}; need auto, min or max{suggest(str(mode), MODES)}"
            )
        if not isinstance(monitor, str):
            raise ArgumentError(f"{name}: monitor is {monitor!r}; need a name, such as 'val_loss'")
        self.monitor, self.mode = monitor, mode
        self.min_delta = abs(number(f"{name}: min_delta", min_delta))
        self.first_best = None if best is None else number(f"{name}: first best", best)
        self.best: float | None = self.first_best

    def fresh(self) -> None:
        self.best = self.first_best

    def current(self, logs: Logs | None, epoch: int | None = None) -> float | None:
        """The number now; None in an epoch without validation, where it is one of those."""
        logs = logs or {}
        if self.monitor in logs:
            return float(logs[self.monitor])
        freq = self.params.get("validation_freq") or 1
        is_validated = epoch is None or validates(freq, epoch)
        if not is_validated and self.monitor.startswith("val_"):
            return None
        raise ArgumentError(
            f"{type(self).__name__}: no {self.monitor!r} in this training; known: "
            f"{', '.join(nearest(self.monitor, logs))}{suggest(self.monitor, logs)}"
            + ("" if any(k.startswith("val_") for k in logs) or not self.monitor.startswith("val_")
               else "; validation_data or validation_split give those of val_")
        )  # fmt: skip

    def measured(self) -> AbstractContextManager[Any]:
        """While this is entered the model has the weights of which `monitor` is a number."""
        if not self.told_with or not self.monitor.startswith("val_"):
            return nullcontext()
        found: AbstractContextManager[Any] = self.told_with.evaluated()
        return found

    def improves(self, value: float, best: float | None) -> bool:
        """Is `value` better than `best`?"""
        if math.isnan(value):
            return False
        if best is None:
            return True
        if self.direction() == "max":
            return value - self.min_delta > best
        return value + self.min_delta < best

    def direction(self) -> str:
        """Which is better: "min" or "max"."""
        found = self.mode if self.mode != "auto" else better(self.monitor, self.model)
        if not found:
            raise ArgumentError(
                f"{type(self).__name__}: cannot tell whether {self.monitor!r} should grow or "
                "shrink; need mode='max' or mode='min'"
            )
        return found


def validates(freq: Any, epoch: int) -> bool:
    """Is there validation after this epoch, counted from 0? `freq` is every how many epochs, or
    which of them, counted from 1 as Keras does."""
    return epoch + 1 in freq if isinstance(freq, Container) else (epoch + 1) % freq == 0


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """All that are known, the most similar first."""
    alike = lambda other: -difflib.SequenceMatcher(None, name, other).ratio()
    return sorted(map(str, known), key=alike)


def say(verbose: Any, text: str) -> None:
    """Print where that is wanted."""
    if verbose:
        print(text)
