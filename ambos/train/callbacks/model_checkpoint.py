"""ModelCheckpoint."""

from __future__ import annotations

from pathlib import Path

from ambos.train.callbacks.base import Logs
from ambos.train.callbacks.monitor import Monitor


class ModelCheckpoint(Monitor):
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

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if not self.save_best_only or self.improved(logs):
            self.model.save(self.filepath.format(epoch=epoch + 1, **(logs or {})))
