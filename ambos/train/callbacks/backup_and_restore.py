"""BackupAndRestore."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError
from ambos.train.callbacks.base import Callback, Logs
from ambos.train.callbacks.checkpoints import Checkpoints
from ambos.train.callbacks.places import check_writable


class BackupAndRestore(Callback):
    """Write down where training is, after every epoch or every `save_freq` batches, and go on from
    there when the same program is started again: a crash, `kill -9` or a lost machine costs what
    came after the last checkpoint, and the weights at the end are those of a training that nothing
    had interrupted, bit for bit.

    A checkpoint holds the model, the optimizer, schedules, random numbers, the place in the data,
    the numbers so far and what other callbacks remember. The newest two stay, the newest one
    without `double_checkpoint`; `delete_checkpoint` removes them when training has come to its end.
    Ctrl-C leaves one too. `fit(resume=folder)` is short for this callback without the removal.

    Errors: ArgumentError for a `save_freq` that is no number of batches; OSError, when training
        begins, where the folder cannot be written (later that is a warning: training goes on);
        FormatError where checkpoints are there and none can be read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import ambos as am
        >>> def train(epochs):
        ...     am.manual_seed(0)
        ...     model = am.Sequential([am.nn.Linear(2, 1)])
        ...     model.compile("adam", "mse")
        ...     backup = BackupAndRestore(folder, delete_checkpoint=False)
        ...     x, y = np.ones((8, 2)), np.ones((8, 1))
        ...     return model.fit(x, y, epochs=epochs, verbose=0, callbacks=[backup])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     begun = train(2)
        ...     train(5).history["loss"][:2] == begun.history["loss"]
        True
    """

    is_last = True  # what the others learn of an epoch belongs to its checkpoint

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = True,
        delete_checkpoint: bool = True,
    ) -> None:
        if save_freq != "epoch":
            if isinstance(save_freq, str):
                raise ArgumentError(
                    f"BackupAndRestore: save_freq is {save_freq!r}; need 'epoch' or a number of "
                    "batches"
                )
            positive("BackupAndRestore: save_freq", save_freq)
        self.checkpoints = Checkpoints(backup_dir, 2 if double_checkpoint else 1)
        self.save_freq, self.delete_checkpoint = save_freq, delete_checkpoint
        self.waited = 0

    def saved_run(self) -> Mapping[str, Any] | None:
        return self.checkpoints.newest()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        check_writable("BackupAndRestore: backup_dir", self.checkpoints.folder / "epoch")
        self.waited = 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            return
        self.waited += 1
        if self.waited >= int(self.save_freq):
            self._write()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._write()

    def _write(self) -> None:
        self.waited = 0
        self.checkpoints.write(self.model.run.state_dict())

    def close(self) -> None:
        if self.model.run.is_interrupted:
            self._write()
        self.checkpoints.wait()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint and not self.model.run.is_interrupted:
            self.checkpoints.delete()
