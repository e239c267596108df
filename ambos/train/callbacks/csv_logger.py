"""CSVLogger."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from typing import IO, Any

import numpy as np

from ambos.core.errors import ArgumentError
from ambos.train.callbacks.base import Logs
from ambos.train.callbacks.places import Outlasting, as_path, check_writable
from ambos.train.callbacks.remembering import Remembering


class CSVLogger(Remembering):
    """A line of a CSV file for each epoch: its number, and its logs in the order of their names.

    The columns are those of the first epoch; a number that comes later has none, one that is
    missing is "NA". `append` goes on in a file that is there. A resumed training goes on after the
    lines that were there when its state was taken, so that no epoch stands there twice.

    Errors: OSError, when training begins, where the file cannot be written (later that is a
        warning: training goes on); ArgumentError for a separator that is not one character.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     logger = CSVLogger(f"{folder}/log.csv")
        ...     logger.on_train_begin()
        ...     logger.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.75})
        ...     logger.on_train_end()
        ...     Path(f"{folder}/log.csv").read_text().split()
        ['epoch,loss,val_loss', '0,0.5,0.75']
    """

    remembered = ("keys", "end")

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        self.filename = as_path("CSVLogger: filename", filename)
        self.separator, self.append = _character(separator), append
        self.keys: list[str] | None = None
        self.end = 0  # bytes that were written when the last epoch ended
        self.file: IO[str] | None = None
        self.written = Outlasting("CSVLogger")

    def fresh(self) -> None:
        self.keys, self.end = None, 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        goes_on = self._goes_on and self.filename.exists()
        super().on_train_begin(logs)
        check_writable("CSVLogger: filename", self.filename)
        self.close()
        mode = "a" if self.append or goes_on else "w"
        file = self.file = self.filename.open(mode, newline="", encoding="utf-8")
        size = os.fstat(file.fileno()).st_size
        if goes_on and size > self.end:
            file.truncate(self.end)
        self.has_header = min(size, self.end) > 0 if goes_on else size > 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if self.file is None:
            raise ArgumentError("CSVLogger: no training has begun; need on_train_begin() first")
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(name.startswith("val_") for name in self.keys):
                self.keys += [f"val_{name}" for name in self.keys]  # validation may come later
        writer = csv.writer(self.file, delimiter=self.separator)
        with self.written.trying(self.filename):
            if not self.has_header:
                self.has_header = True
                writer.writerow(["epoch", *self.keys])
            writer.writerow([epoch, *(_cell(logs.get(name, "NA")) for name in self.keys)])
            self.file.flush()
            self.end = os.fstat(self.file.fileno()).st_size

    def on_train_end(self, logs: Logs | None = None) -> None:
        super().on_train_end(logs)
        self.close()

    def close(self) -> None:
        file, self.file = self.file, None
        if file is not None:
            with self.written.trying(self.filename):
                file.close()


def _character(separator: object) -> str:
    if not isinstance(separator, str) or len(separator) != 1:
        raise ArgumentError(f"CSVLogger: separator is {separator!r}; need one character")
    return separator


def _cell(value: Any) -> Any:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value
    if isinstance(value, np.ndarray) and not value.ndim:
        return value
    return f'"[{", ".join(map(str, value))}]"'
