"""The rate at which weights are averaged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ambos.core.arguments import positive
from ambos.optim.lr_scheduler.base import LRScheduler, Rate, for_groups, owned
from ambos.optim.lr_scheduler.cycles import require_strategy
from ambos.optim.optimizer import Optimizer


class SWALR(LRScheduler):
    """From the present rate to `swa_lr` in `anneal_epochs`, then constant: for averaging weights.

    Errors: ArgumentError for what is no optimizer, and for settings outside their range.
    Source: Izmailov et al. (2018), "Averaging weights leads to wider optima and better
        generalization".

    Example:
        >>> import ambos as am
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> SWALR(rule, swa_lr=0.5).get_last_lr()
        [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        found = for_groups("SWALR: swa_lr", swa_lr, owned("SWALR", optimizer))
        require_strategy("SWALR", anneal_strategy)
        positive("SWALR: anneal_epochs", anneal_epochs, least=0)
        for group, rate in zip(optimizer.param_groups, found, strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Sequence[Rate]:
        step = self._step_count - 1
        step = max(1, step) if self.anneal_epochs == 0 else step
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group, rate in zip(self.optimizer.param_groups, self.rates(), strict=True):
            goal = group["swa_lr"]
            start = goal if before == 1 else (rate - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates

    def _share(self, step: int) -> float:
        """How much of the way is gone."""
        part = max(0, min(1, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * part)) / 2 if self._anneal_strategy == "cos" else part

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "anneal_func"})
