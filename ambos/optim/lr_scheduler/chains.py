"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ambos.optim.lr_scheduler.base import LRScheduler, copied, need, owned, put
from ambos.optim.lr_scheduler.cosine import CosineAnnealingLR
from ambos.optim.lr_scheduler.factors import LinearLR
from ambos.optim.lr_scheduler.plateau import ReduceLROnPlateau
from ambos.optim.optimizer import Optimizer


class Composed(LRScheduler):
    """What chains have in common."""

    _schedulers: Sequence[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        own = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "_schedulers")}
        return own | {"_schedulers": [part.state_dict() for part in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.__dict__.update({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for part, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            part.load_state_dict(state)


def _of_one(name: str, schedulers: Sequence[Any], optimizer: Any) -> None:
    for number, part in enumerate(schedulers):
        kind = type(part).__name__
        need(isinstance(part, LRScheduler), name, f"number {number} is {kind}; need a schedule")
        need(
            not isinstance(part, ReduceLROnPlateau),
            name,
            f"number {number} is ReduceLROnPlateau, whose step needs a metric; need it apart",
        )
        need(
            part.optimizer is optimizer,
            name,
            f"number {number}, {kind}, belongs to another optimizer; need one for all",
        )


class ChainedScheduler(Composed):
    """Several schedules at once: each changes the rate that the one before it left.

    Errors: ArgumentError for an empty list, and for schedules of different optimizers.

    Example:
        >>> import ambos as am
        >>> from ambos.optim.lr_scheduler import ConstantLR, ExponentialLR
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> parts = [ConstantLR(rule, factor=0.5), ExponentialLR(rule, gamma=0.9)]
        >>> ChainedScheduler(parts).get_last_lr()
        [0.5]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        need(len(schedulers) >= 1, "ChainedScheduler", "got no schedules; need at least one")
        first = getattr(schedulers[0], "optimizer", None)
        self.optimizer = owned("ChainedScheduler", optimizer or first)
        _of_one("ChainedScheduler", schedulers, self.optimizer)
        self._schedulers = schedulers
        self._last_lr = self.rates()

    def step(self, epoch: int | None = None) -> None:
        for part in self._schedulers:
            part.step(epoch)
        self._last_lr = self.rates()


class SequentialLR(Composed):
    """One schedule after another: the next begins at each of the `milestones`.

    Errors: ArgumentError for an empty list, schedules of different optimizers, and unless there is
        one milestone less than schedules.

    Example:
        >>> import ambos as am
        >>> from ambos.optim.lr_scheduler import ConstantLR, ExponentialLR
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> parts = [ConstantLR(rule, factor=0.5), ExponentialLR(rule, gamma=0.9)]
        >>> SequentialLR(rule, parts, milestones=[3]).get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = owned("SequentialLR", optimizer)
        need(len(schedulers) >= 1, "SequentialLR", "got no schedules; need at least one")
        _of_one("SequentialLR", schedulers, optimizer)
        need(
            len(milestones) == len(schedulers) - 1,
            "SequentialLR",
            f"{len(schedulers)} schedules and {len(milestones)} milestones; need one less of these",
        )
        self._schedulers, self._milestones = schedulers, milestones
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            put(group, copied(group["initial_lr"]))
        for part in schedulers:  # each has made its first step: take it back
            _undo(part)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        number = bisect_right(self._milestones, self.last_epoch)
        part = self._schedulers[number]
        if number > 0 and self._milestones[number - 1] == self.last_epoch:
            part._update_lr(0)
        else:
            part.step()
        self._last_lr = part.get_last_lr()


def _undo(schedule: LRScheduler) -> None:
    if isinstance(schedule, Composed):
        for part in schedule._schedulers:
            _undo(part)
    else:
        schedule.last_epoch -= 1


def warmup_cosine(
    optimizer: Optimizer,
    warmup_steps: int,
    total_steps: int,
    eta_min: float = 0.0,
    start_factor: float = 1e-3,
) -> SequentialLR:
    """Warm-up and half a cosine: what transformers are trained with. Call `step()` each batch.

    The rate rises linearly from `start_factor` of the optimizer's to all of it in `warmup_steps`,
    then falls to `eta_min` at step `total_steps`.

    Errors: ArgumentError unless 0 < warmup_steps < total_steps.

    Example:
        >>> import ambos as am
        >>> weight = am.ones(2, requires_grad=True)
        >>> rule = am.optim.AdamW([weight], lr=1.0)
        >>> schedule = warmup_cosine(rule, warmup_steps=2, total_steps=4, start_factor=0.5)
        >>> weight.sum().backward()
        >>> for _ in range(4):
        ...     rule.step()
        ...     schedule.step()
        ...     print(round(rule.lr, 3))
        0.75
        1.0
        0.5
        0.0
    """
    need(
        0 < warmup_steps < total_steps,
        "warmup_cosine",
        f"{warmup_steps} steps of {total_steps} to warm up; need more than 0 and less than all",
    )
    warm = LinearLR(optimizer, start_factor=start_factor, total_iters=warmup_steps)
    fall = CosineAnnealingLR(optimizer, T_max=total_steps - warmup_steps, eta_min=eta_min)
    return SequentialLR(optimizer, [warm, fall], milestones=[warmup_steps])
