"""What training leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ambos.tensor.ledger import Compilation
from ambos.train import charts
from ambos.train.callbacks.base import Callback, Logs
from ambos.train.logs import shown


@dataclass(eq=False)
class History(Callback):
    """One entry an epoch: `history["loss"]`, `history["val_accuracy"]`, ...

    `epoch` are their numbers, counted from 0; `params` is what callbacks are told of the run.
    `compilations` are the ledger's entries of the run (`am.compilations`). `interrupted` says that
    Ctrl-C ended the training; the epochs before it are all here.

    Example:
        >>> history = History()
        >>> history.add(0, {"loss": 0.5})
        >>> history
        History(1 epochs: loss 0.5000)
    """

    history: dict[str, list[Any]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)
    interrupted: bool = False
    compilations: list[Compilation] = field(default_factory=list, repr=False)
    latest: set[str] = field(default_factory=set, repr=False)  # names of the last epoch

    def add(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Append the numbers of an epoch; of the last one, what has been added to them or changed.

        So callbacks find the epoch in a state that they take, and still may add to its numbers.
        """
        if self.epoch[-1:] != [epoch]:
            self.epoch.append(epoch)
            self.latest = set()
        for name, value in logs.items():
            values = self.history.setdefault(name, [])
            if name in self.latest:
                values[-1] = value
            else:
                values.append(value)
        self.latest |= set(logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.add(epoch, logs or {})

    def state_dict(self) -> dict[str, Any]:
        history = {name: list(values) for name, values in self.history.items()}
        return {"history": history, "epoch": list(self.epoch)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.history = {name: list(values) for name, values in state["history"].items()}
        self.epoch = list(state["epoch"])
        self.latest = set()  # what comes is of another epoch

    def plot(self, metrics: Any = None, log: bool = False) -> Any:
        """Draw the metrics by epoch, training and validation together, with matplotlib; returns
        the figure. `metrics` are names without "val_" (all by default); `log` scales the values.

        Errors: ArgumentError for a name that is not in the history, or before the first epoch.
        """
        return charts.plot(self, metrics, log)

    def _repr_html_(self) -> str:
        return charts.html_of(self)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {_short(values[-1])}" for name, values in self.history.items())
        flag = ", interrupted" if self.interrupted else ""
        return f"History({len(self.epoch)} epochs{flag}{': ' if last else ''}{last})"


def _short(value: Any) -> str:
    """A number in short; of what is larger, its shape or kind."""
    if isinstance(value, float):
        return shown(value)
    if isinstance(value, (int, str)):
        return str(value)
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"array {tuple(shape)}"
