"""Smaller rates once nothing gets better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.optim.lr_scheduler.base import LRScheduler, for_groups, need, owned, put
from ambos.optim.optimizer import Optimizer
from ambos.optim.settings import rate_of


class ReduceLROnPlateau(LRScheduler):
    """The rate times `factor` once a metric has not improved for more than `patience` epochs.

    Call `step(metric)`. `threshold` is what counts as better: a share of the best value
    (`threshold_mode` "rel") or a difference ("abs"). After a reduction `cooldown` epochs pass.

    Errors: ArgumentError for what is no optimizer, and for settings outside their range.

    Example:
        >>> import ambos as am
        >>> weight = am.ones(2, requires_grad=True)
        >>> rule = am.optim.SGD([weight], lr=1.0)
        >>> schedule = ReduceLROnPlateau(rule, patience=0)
        >>> for loss in (0.5, 0.5):
        ...     schedule.step(loss)
        >>> rule.lr
        0.1
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        need(factor < 1.0, name, f"factor is {factor}; need less than 1")
        need(mode in ("min", "max"), name, f"mode is {mode!r}; need 'min' or 'max'")
        need(threshold_mode in ("rel", "abs"), name,
             f"threshold_mode is {threshold_mode!r}; need 'rel' or 'abs'")  # fmt: skip
        self.optimizer = owned(name, optimizer)
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.min_lrs: list[float] = for_groups(f"{name}: min_lr", min_lr, optimizer)
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.last_epoch = 0
        self._last_lr = self.rates()
        self._reset()

    def _reset(self) -> None:
        """Forget what was best."""
        self.best = self.mode_worse
        self.cooldown_counter = self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Was the rate reduced so recently that nothing is counted?"""
        return self.cooldown_counter > 0

    # The one schedule that is given something, and first, as in PyTorch.
    def step(self, metrics: Any = None, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take in the metric of an epoch.

        Errors: ArgumentError without a number to look at.
        """
        if metrics is None or not hasattr(metrics, "__float__"):
            raise ArgumentError(
                f"ReduceLROnPlateau.step: metrics is {metrics!r}; need the number that should "
                "improve, as in schedule.step(validation_loss)"
            )
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(value, self.best):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self.rates()

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise ArgumentError(
                    f"ReduceLROnPlateau.step: {len(groups)} groups, {len(self.min_lrs)} min_lrs; "
                    "need one for each group: set `min_lrs`"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs, strict=True):
            before = rate_of("ReduceLROnPlateau", group["lr"])
            after = max(before * self.factor, least)
            if before - after > self.eps:
                put(group, after)

    def _is_better(self, value: float, best: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "rel":
            bar = best * (1.0 + sign * self.threshold)
        else:
            bar = best + sign * self.threshold
        return value > bar if self.mode == "max" else value < bar

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.mode_worse = math.inf if self.mode == "min" else -math.inf
