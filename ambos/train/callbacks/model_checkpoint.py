"""ModelCheckpoint."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError, suggest
from ambos.tensor.files import check_name, save
from ambos.train.callbacks.base import Logs
from ambos.train.callbacks.monitor import Monitor, nearest, say
from ambos.train.callbacks.places import Outlasting, as_path, check_writable, fields
from ambos.train.files import place


class ModelCheckpoint(Monitor):
    """Save the model after every epoch or every `save_freq` batches, or only when `monitor`
    improves (`save_best_only`, over `initial_value_threshold` where there is one).

    `{epoch}` and `{batch}` (counted from 1) and the names of metrics in `filepath` are filled in:
    "{epoch:02d}-{val_loss:.2f}.safetensors". `save_weights_only` writes the `state_dict`, which
    `model.load_state_dict(am.load(path))` takes. A file is written whole or not at all. For what is
    needed to go on after a crash see `BackupAndRestore`.

    Errors: OSError, when training begins, where the place cannot be written (later that is a
        warning: training goes on); ArgumentError where training has no such number.

    Example:
        >>> ModelCheckpoint("best-{epoch}", save_best_only=True).monitor
        'val_loss'
    """

    remembered = ("best", "batches")

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, 0.0, initial_value_threshold)
        self.filepath = os.fspath(as_path("ModelCheckpoint: filepath", filepath))
        check_name("ModelCheckpoint: filepath", Path(self.filepath), not save_weights_only)
        self.fields = fields("ModelCheckpoint: filepath", self.filepath)
        if save_freq != "epoch":
            if isinstance(save_freq, str):
                raise ArgumentError(
                    f"ModelCheckpoint: save_freq is {save_freq!r}; need 'epoch' or a number of "
                    "batches"
                )
            positive("ModelCheckpoint: save_freq", save_freq)
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq, self.verbose = save_freq, verbose
        self.epoch = self.batches = 0
        self.written = Outlasting("ModelCheckpoint")

    def fresh(self) -> None:
        super().fresh()
        self.batches = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        for path in (Path(self.filepath), place(self.filepath)):  # without and with its suffix
            check_writable("ModelCheckpoint: filepath", path)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            return
        self.batches += 1
        if self.batches >= int(self.save_freq):
            self.batches = 0
            self._save(self.epoch, logs or {}, {"batch": batch + 1})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, logs or {}, {})

    def _save(self, epoch: int, logs: Logs, more: dict[str, int]) -> None:
        current = self.best
        if self.save_best_only:
            current = self.current(logs, None if more else epoch)
            if current is None or not self.improves(current, self.best):
                return
        path = place(self._path(epoch, logs, more))
        with self.written.trying(path), self.measured() if self.save_best_only else nullcontext():
            if self.save_weights_only:
                path.parent.mkdir(parents=True, exist_ok=True)
                save(self.model.state_dict(), path)
            else:
                self.model.save(path)
            self.best = current  # now that it is in a file
            say(self.verbose, f"Epoch {epoch + 1}: saved the model to {path}")

    def _path(self, epoch: int, logs: Logs, more: dict[str, int]) -> Path:
        if not self.fields:
            return Path(self.filepath)
        known = {**logs, **more, "epoch": epoch + 1}
        for name in self.fields - set(known):
            raise ArgumentError(
                f"ModelCheckpoint: filepath {self.filepath!r} asks for {name!r}; known: "
                f"{', '.join(nearest(name, known))}{suggest(name, known)}"
            )
        return Path(self.filepath.format(**known))
