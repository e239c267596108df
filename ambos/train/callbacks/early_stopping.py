"""EarlyStopping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ambos.core.arguments import number, positive
from ambos.train.callbacks.base import Logs
from ambos.train.callbacks.monitor import Monitor, say


class EarlyStopping(Monitor):
    """Stop when `monitor` has not improved for `patience` epochs.

    An improvement is one by more than `min_delta`, and over `baseline` where there is one; epochs
    before `start_from_epoch` do not count. `restore_best_weights` ends with the weights of the best
    epoch. A training that was stopped and is resumed goes on only with more `patience` than it had.
    Afterwards `stopped_epoch` and `best_epoch` say which these were, counted from 0.

    Errors: ArgumentError where training has no such number, for another `mode`, and where "auto"
        cannot tell.

    Example:
        >>> EarlyStopping(monitor="loss", patience=2).patience
        2
    """

    remembered = ("best", "wait", "best_weights", "best_epoch", "stopped_epoch")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = positive("EarlyStopping: patience", patience, least=0)
        self.baseline = None if baseline is None else number("EarlyStopping: baseline", baseline)
        self.start = positive("EarlyStopping: start_from_epoch", start_from_epoch, least=0)
        self.verbose, self.restore_best_weights = verbose, restore_best_weights
        self.fresh()

    def fresh(self) -> None:
        super().fresh()
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self._patience_then = self.patience  # of the training that is gone on with
        self.best_weights: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "patience": self.patience}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._patience_then = state.get("patience", self.patience)  # older checkpoints have none

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        if self.stopped_epoch and self.patience > self._patience_then:
            self.stopped_epoch, self.model.stop_training = 0, False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        current = self.current(logs, epoch)
        if current is None or epoch < self.start:
            return
        if self.restore_best_weights and self.best_weights is None:  # so far nothing is better
            self._keep(epoch)
        self.wait += 1
        if self.improves(current, self.best):
            self.best = current
            self._keep(epoch)
            if self.baseline is None or self.improves(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:  # values never alias, so this keeps today's numbers
            with self.measured():
                self.best_weights = dict(self.model.state_dict())

    @property
    def settles_weights(self) -> bool:  # type: ignore[override]  # a fact of others, known late here
        return self.best_weights is not None

    def on_train_end(self, logs: Logs | None = None) -> None:
        super().on_train_end(logs)
        if self.stopped_epoch:
            say(self.verbose, f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            say(self.verbose, f"Restoring the weights of the best epoch: {self.best_epoch + 1}.")
            self.model.load_state_dict(self.best_weights)
