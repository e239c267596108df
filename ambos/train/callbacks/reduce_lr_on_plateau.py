"""ReduceLROnPlateau."""

from __future__ import annotations

from ambos.core.arguments import number, positive
from ambos.core.errors import ArgumentError
from ambos.train.callbacks.base import Logs
from ambos.train.callbacks.monitor import Monitor, say
from ambos.train.callbacks.rates import groups_of, rate_of


class ReduceLROnPlateau(Monitor):
    """Learning rates times `factor`, down to `min_lr`, when `monitor` has not improved for
    `patience` epochs; then `cooldown` epochs pass before epochs count again. The rate of each epoch
    joins its logs as "learning_rate".

    Errors: ArgumentError for a factor that does not reduce, where training has no such number, and
        where the model was compiled with a schedule.

    Example:
        >>> ReduceLROnPlateau("loss", factor=0.5, patience=2).factor
        0.5
    """

    remembered = ("best", "wait", "cooling")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        name = "ReduceLROnPlateau"
        self.factor = number(f"{name}: factor", factor)
        if not 0 < self.factor < 1:
            raise ArgumentError(f"{name}: factor is {factor!r}; need a number between 0 and 1")
        self.patience = positive(f"{name}: patience", patience, least=0)
        self.cooldown = positive(f"{name}: cooldown", cooldown, least=0)
        self.min_lr, self.verbose = number(f"{name}: min_lr", min_lr), verbose
        self.wait = self.cooling = 0

    def fresh(self) -> None:
        super().fresh()
        self.wait = self.cooling = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        groups_of(self)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = rate_of(self)
        current = self.current(logs, epoch)
        if current is None:
            return
        if self.cooling:
            self.cooling -= 1
            self.wait = 0
        if self.improves(current, self.best):
            self.best, self.wait = current, 0
        elif not self.cooling:
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooling, self.wait = self.cooldown, 0

    def _reduce(self, epoch: int) -> bool:
        large = [group for group in groups_of(self) if float(group["lr"]) > self.min_lr]
        for group in large:
            group["lr"] = max(float(group["lr"]) * self.factor, self.min_lr)
        if large:
            say(self.verbose, f"Epoch {epoch + 1}: learning rate reduced to {rate_of(self):.6g}.")
        return bool(large)
