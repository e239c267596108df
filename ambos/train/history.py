"""What training leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ambos.tensor.ledger import Compilation


@dataclass
class History:
    """One entry an epoch: `history["loss"]`, `history["val_accuracy"]`, ...

    `compilations` are the ledger's entries of the run (`am.compilations`). `interrupted` says that
    Ctrl-C ended the training; the epochs before it are all here.

    Example:
        >>> history = History()
        >>> history.add(0, {"loss": 0.5})
        >>> history
        History(1 epochs: loss 0.5000)
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)
    interrupted: bool = False
    compilations: list[Compilation] = field(default_factory=list, repr=False)

    def add(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Append the numbers of an epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4f}" for name, values in self.history.items())
        flag = ", interrupted" if self.interrupted else ""
        return f"History({len(self.epoch)} epochs{flag}{': ' if last else ''}{last})"
