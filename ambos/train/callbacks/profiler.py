"""Profiler."""

from __future__ import annotations

import os

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError
from ambos.tensor.profile import Profile
from ambos.train.callbacks.base import Callback, Logs
from ambos.train.callbacks.places import as_path, check_writable


class Profiler(Callback):
    """A profile (`am.profile`) of training steps: those from `start` to `stop`, counted from 0 over
    all epochs, that one left out. It goes to `filename`, a trace for https://ui.perfetto.dev, and
    stays in `profile`. The first steps compile, so it begins with the eleventh.

    Errors: ArgumentError for an empty range; OSError, when training begins, where the file cannot
        be written.

    Example:
        >>> Profiler("trace.json", start=10, stop=12).steps
        (10, 12)
    """

    def __init__(
        self, filename: str | os.PathLike[str], start: int = 10, stop: int | None = None
    ) -> None:
        self.filename = as_path("Profiler: filename", filename)
        first = positive("Profiler: start", start, least=0)
        last = first + 1 if stop is None else positive("Profiler: stop", stop)
        if last <= first:
            raise ArgumentError(f"Profiler: start is {start} and stop {stop}; need a later stop")
        self.steps = (first, last)
        self.profile: Profile | None = None
        self.running: Profile | None = None
        self.count = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        check_writable("Profiler: filename", self.filename)
        self.count = 0

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        if self.count == self.steps[0]:
            self.running = Profile()
            self.running.__enter__()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.count += 1
        if self.count == self.steps[1]:
            self.close()

    def close(self) -> None:
        if self.running is None:
            return
        self.running.__exit__(None, None, None)
        self.profile, self.running = self.running, None
        self.profile.save(self.filename)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.profile is None:
            print(f"Profiler: training ended before step {self.steps[0]}: nothing was profiled")
