"""Code that runs at fixed points of `fit`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, suggest

Logs = dict[str, float]


class Callback(metaclass=Checked):
    """Base: override what you need. `model` is set before training; `model.stop_training = True`
    ends it after the epoch. `logs` are this epoch's numbers so far."""

    model: Any = None

    def on_train_begin(self) -> None:
        """Before the first epoch."""

    def on_train_end(self) -> None:
        """After the last epoch, also when interrupted."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before an epoch (counted from 0)."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation."""

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        """After a batch. Overriding it makes `fit` look at the numbers after every batch."""


class _Monitor(Callback):
    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(f"{type(self).__name__}: mode is {mode!r}; need auto, min or max")
        grows = mode == "max" or (mode == "auto" and ("acc" in monitor or "score" in monitor))
        self.monitor, self.sign, self.min_delta = monitor, -1 if grows else 1, abs(min_delta)
        self.best = math.inf

    def improved(self, logs: Logs) -> bool:
        """Is this epoch the best so far?"""
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


class EarlyStopping(_Monitor):
    """Stop when `monitor` has not improved for `patience` epochs.

    Errors: ArgumentError where training has no such number, or for another `mode`.

    Example:
        >>> EarlyStopping(monitor="loss", patience=2).patience
        2
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best_weights: bool = False,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.restore = patience, restore_best_weights

    def on_train_begin(self) -> None:
        self.best, self.waited = math.inf, 0
        self.stopped_epoch: int | None = None
        self.weights: dict[str, Any] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.improved(logs):
            self.waited = 0
            if self.restore:  # values never alias, so this keeps today's numbers
                self.weights = self.model.state_dict()
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def on_train_end(self) -> None:
        if self.weights is not None:
            self.model.load_state_dict(self.weights)


class ModelCheckpoint(_Monitor):
    """Save the model after every epoch, or after those that improve `monitor`.

    `{epoch}` and the names of metrics in `filepath` are filled in: "best-{epoch}.safetensors".

    Errors: ArgumentError where training has no such number; OSError where the place cannot be
        written.

    Example:
        >>> ModelCheckpoint("best-{epoch}", save_best_only=True).monitor
        'val_loss'
    """

    def __init__(
        self,
        filepath: str | Path,
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, mode, 0.0)
        self.filepath, self.save_best_only = str(filepath), save_best_only

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if not self.save_best_only or self.improved(logs):
            self.model.save(self.filepath.format(epoch=epoch + 1, **logs))
