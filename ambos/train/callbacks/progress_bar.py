"""ProgressBar: the display of `fit` as a callback."""

from __future__ import annotations

from typing import Any

from ambos.train.callbacks.base import Callback, Logs
from ambos.train.progress import check_verbose, choose


class ProgressBar(Callback):
    """A live bar in terminals and notebooks, one line an epoch elsewhere; `fit` adds one for its
    `verbose`. It looks at the numbers ten times a second, not at every batch.

    Errors: ArgumentError for another `verbose`.

    Example:
        >>> ProgressBar(verbose=2).verbose
        2
    """

    def __init__(self, verbose: str | int = "auto") -> None:
        check_verbose("ProgressBar", verbose)
        self.verbose = verbose
        self.display: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.display = choose(self.verbose, self.params.get("epochs") or 1)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.display.begin(epoch, self.params.get("steps"))

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.display.due():
            self.display.update(batch + 1, _numbers(logs))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.display.end(_numbers(logs))

    def close(self) -> None:
        """Leave the terminal in order, also after an error."""
        if self.display is not None:
            self.display.close()


def _numbers(logs: Logs | None) -> dict[str, float]:
    """What fits a line: single numbers."""
    return {name: v for name, v in (logs or {}).items() if isinstance(v, (int, float))}
