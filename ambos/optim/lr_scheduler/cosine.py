"""Schedules along a cosine."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ambos.core.arguments import positive
from ambos.optim.lr_scheduler.base import LRScheduler, Rate, need
from ambos.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """From the starting rate down to `eta_min` along half a cosine of `T_max` epochs.

    Errors: ArgumentError for what is no optimizer, and unless T_max >= 1.
    Source: Loshchilov and Hutter (2017), "SGDR: stochastic gradient descent with warm restarts".

    Example:
        >>> import ambos as am
        >>> weight = am.ones(2, requires_grad=True)
        >>> rule = am.optim.SGD([weight], lr=1.0)
        >>> schedule = CosineAnnealingLR(rule, T_max=1)
        >>> weight.sum().backward()
        >>> rule.step()
        >>> schedule.step()
        >>> rule.lr
        0.0
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        need(T_max >= 1, "CosineAnnealingLR", f"T_max is {T_max}; need at least 1")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Sequence[Rate]:
        if self._is_initial:
            return self.rates()
        if self._step_count == 1 and self.last_epoch > 0:
            return self._get_closed_form_lr()
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # up again from the bottom
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                rate + (base - self.eta_min) * rise
                for rate, base in zip(self.rates(), self.base_lrs, strict=True)
            ]
        height, before = (
            1 + math.cos(math.pi * epoch / self.T_max)
            for epoch in (self.last_epoch, self.last_epoch - 1)
        )
        return [height / before * (rate - self.eta_min) + self.eta_min for rate in self.rates()]

    def _get_closed_form_lr(self) -> Sequence[Rate]:
        height = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine again and again: of `T_0` epochs, then each time `T_mult` times as long.

    `step(epoch)` takes fractions, for a schedule by batches counted in epochs.

    Errors: ArgumentError for what is no optimizer, and unless T_0 and T_mult are integers >= 1.
    Source: Loshchilov and Hutter (2017), "SGDR: stochastic gradient descent with warm restarts".

    Example:
        >>> import ambos as am
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> CosineAnnealingWarmRestarts(rule, T_0=10).get_last_lr()
        [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        for key, value in (("T_0", T_0), ("T_mult", T_mult)):
            positive(f"CosineAnnealingWarmRestarts: {key}", value)
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Sequence[Rate]:
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]

    def _update_lr(self, epoch: float | None = None) -> None:
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur % self.T_i, self.T_i * self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            need(epoch >= 0, "CosineAnnealingWarmRestarts.step", f"epoch is {epoch}; need >= 0")
            self._place(epoch)
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    def _place(self, epoch: float) -> None:
        """Which cosine an epoch lies in, and where."""
        if epoch < self.T_0:
            self.T_cur, self.T_i = epoch, self.T_0
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            times = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**times - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**times
