"""EarlyStopping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ambos.train.callbacks.base import Logs
from ambos.train.callbacks.monitor import Monitor


class EarlyStopping(Monitor):
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

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best, self.waited = math.inf, 0
        self.stopped_epoch: int | None = None
        self.weights: dict[str, Any] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.improved(logs):
            self.waited = 0
            if self.restore:  # values never alias, so this keeps today's numbers
                self.weights = self.model.state_dict()
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.waited, self.weights = state["waited"], state["weights"]

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.weights is not None:
            self.model.load_state_dict(self.weights)
