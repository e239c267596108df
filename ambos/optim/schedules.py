"""Learning rates that change over time: call `step()` once an epoch (or once a batch)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError
from ambos.optim.optimizer import Optimizer


class Schedule(metaclass=Checked):
    """Base: `factor(epoch)` multiplies the rate that each group had at the start."""

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(
                f"{type(self).__name__}: got {type(optimizer).__name__}; need an optimizer"
            )
        self.optimizer = optimizer
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.last_epoch = 0

    def rate(self, base: float) -> float:
        """The learning rate at `last_epoch` of a group that began with `base`."""
        raise NotImplementedError(type(self).__name__)

    def step(self) -> None:
        """Go on by one epoch."""
        self.last_epoch += 1
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(base)

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs."""
        return {"base_lrs": list(self.base_lrs), "last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.base_lrs, self.last_epoch = list(state_dict["base_lrs"]), state_dict["last_epoch"]


class StepLR(Schedule):
    """The rate times `gamma` after every `step_size` epochs.

    Errors: ArgumentError for what is no optimizer, and unless step_size >= 1.

    Example:
        >>> import ambos as am
        >>> from ambos.optim import SGD
        >>> rule = SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> schedule = StepLR(rule, step_size=1, gamma=0.5)
        >>> schedule.step()
        >>> rule.lr
        0.5
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        if step_size < 1:
            raise ArgumentError(f"StepLR: step_size is {step_size}; need at least 1")
        self.step_size, self.gamma = step_size, gamma

    def rate(self, base: float) -> float:
        return base * self.gamma ** (self.last_epoch // self.step_size)


class CosineAnnealingLR(Schedule):
    """From the starting rate down to `eta_min` along half a cosine of `T_max` epochs.

    Errors: ArgumentError for what is no optimizer, and unless T_max >= 1.
    Source: Loshchilov and Hutter (2017), "SGDR: stochastic gradient descent with warm restarts".

    Example:
        >>> import ambos as am
        >>> from ambos.optim import SGD
        >>> rule = SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> schedule = CosineAnnealingLR(rule, T_max=1)
        >>> schedule.step()
        >>> rule.lr
        0.0
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        super().__init__(optimizer)
        if T_max < 1:
            raise ArgumentError(f"CosineAnnealingLR: T_max is {T_max}; need at least 1")
        self.T_max, self.eta_min = T_max, eta_min

    def rate(self, base: float) -> float:
        turn = math.cos(math.pi * self.last_epoch / self.T_max)
        return self.eta_min + (base - self.eta_min) * (1 + turn) / 2
