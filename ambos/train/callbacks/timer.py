"""Timer."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.train.callbacks.base import Logs
from ambos.train.callbacks.monitor import say
from ambos.train.callbacks.remembering import Remembering

PARTS = re.compile(r"(\d+):(\d\d):(\d\d):(\d\d)")


class Timer(Remembering):
    """How long training and validation take, and an end to it: `duration` (seconds, a timedelta or
    "days:hours:minutes:seconds") stops after the batch in which it is over. The time of an epoch
    joins its logs as "time". A resumed training goes on counting, and goes on where there is time.

    Units: seconds.
    Errors: ArgumentError for another `duration`.

    Example:
        >>> Timer("00:02:30:00").duration
        9000.0
    """

    remembered = ("before", "validation", "is_over")

    def __init__(self, duration: float | str | timedelta | None = None, verbose: int = 1) -> None:
        self.duration, self.verbose = seconds(duration), verbose
        self.fresh()
        self.start: float | None = None

    def fresh(self) -> None:
        self.before = self.validation = 0.0
        self.is_over = False

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, validation included."""
        running = 0.0 if self.start is None else time.perf_counter() - self.start
        return self.before + running

    @property
    def remaining(self) -> float | None:
        """Seconds that are left; None without a duration."""
        return None if self.duration is None else max(0.0, self.duration - self.elapsed)

    def state_dict(self) -> dict[str, Any]:
        return {"before": self.elapsed, "validation": self.validation, "is_over": self.is_over}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict({"is_over": False, **state})  # older checkpoints have none

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        if self.is_over and (self.duration is None or self.before < self.duration):
            self.is_over = self.model.stop_training = False  # there is more time than then
        self.start = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch_start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.duration is not None and self.elapsed >= self.duration:
            if not self.model.stop_training:
                say(self.verbose, f"Timer: {self.elapsed:.0f} s are over: training ends")
            self.is_over = self.model.stop_training = True

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self.test_start = time.perf_counter()

    def on_test_end(self, logs: Logs | None = None) -> None:
        self.validation += time.perf_counter() - self.test_start

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["time"] = time.perf_counter() - self.epoch_start

    def on_train_end(self, logs: Logs | None = None) -> None:
        super().on_train_end(logs)
        self.before, self.start = self.elapsed, None


def seconds(duration: object) -> float | None:
    """A duration in seconds.

    Example:
        >>> seconds(timedelta(minutes=2))
        120.0
    """
    if duration is None:
        return None
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, str):
        found = PARTS.fullmatch(duration)
        if found:
            days, hours, minutes, rest = map(int, found.groups())
            return timedelta(days, rest, 0, 0, minutes, hours).total_seconds()
    elif isinstance(duration, (int, float)) and duration >= 0:
        return float(duration)
    raise ArgumentError(
        f"Timer: duration is {duration!r}; need seconds, a timedelta or 'dd:hh:mm:ss'"
    )
