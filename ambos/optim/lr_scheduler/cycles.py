"""Schedules that turn the rate and the momentum in cycles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ambos.optim.lr_scheduler.base import (
    LRScheduler,
    Rate,
    for_groups,
    need,
    owned,
    put,
    require_momentum,
    turn_momentum,
)
from ambos.optim.optimizer import Optimizer

MODES = ("triangular", "triangular2", "exp_range")
STRATEGIES = ("cos", "linear")


class CyclicLR(LRScheduler):
    """Up from `base_lr` to `max_lr` and down again, in batches; momentum goes the other way.

    `mode`: heights stay ("triangular"), halve at each cycle ("triangular2") or shrink by `gamma`
    at each batch ("exp_range"); `scale_fn` is a function of one's own, of the cycle or the batch
    (`scale_mode` "cycle" or "iterations").

    Errors: ArgumentError for what is no optimizer, an unknown mode, and a rule without momentum.
    Source: Smith (2017), "Cyclical learning rates for training neural networks".

    Example:
        >>> import ambos as am
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0, momentum=0.9)
        >>> CyclicLR(rule, base_lr=0.25, max_lr=0.5).get_last_lr()
        [0.25]
    """

    functions = ("_scale_fn_custom",)

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        owned("CyclicLR", optimizer)
        need(
            mode in MODES or scale_fn is not None,
            "CyclicLR",
            f"mode is {mode!r}; need one of {', '.join(MODES)}, or scale_fn",
        )
        base_lrs = for_groups("CyclicLR: base_lr", base_lr, optimizer)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, base_lrs, strict=True):
                put(group, rate)
        self.max_lrs = for_groups("CyclicLR: max_lr", max_lr, optimizer)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        by_batch = scale_mode if scale_fn is not None else "iterations"
        self.scale_mode = by_batch if mode == "exp_range" or scale_fn is not None else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            require_momentum("CyclicLR", optimizer)
            self.use_beta1 = "betas" in optimizer.defaults
            self.base_momentums, self.max_momentums = momentums(
                "CyclicLR", optimizer, base_momentum, max_momentum, last_epoch
            )
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """How high the cycle (or the batch) number `x` goes."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular2":
            return float(1 / (2.0 ** (x - 1)))
        return float(self.gamma**x) if self.mode == "exp_range" else 1.0

    def get_lr(self) -> Sequence[Rate]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        rising = x <= self.step_ratio
        part = x / self.step_ratio if rising else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            turn_momentum(
                self.optimizer, [high - (high - low) * part * scale for low, high in pairs]
            )
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * part * scale for low, high in pairs]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_scale_fn_ref"})


class OneCycleLR(LRScheduler):
    """One cycle of `total_steps` batches: up to `max_lr` in the first `pct_start` of them, then
    down to far below the start; momentum goes the other way.

    Starts at `max_lr / div_factor`, ends at that over `final_div_factor`. `three_phase`: down to
    the start first, as steeply as up.

    Errors: ArgumentError for what is no optimizer, without a number of steps, for a rule without
        momentum, and for a step beyond the last.
    Source: Smith and Topin (2019), "Super-convergence: very fast training of neural networks using
        large learning rates".

    Example:
        >>> import ambos as am
        >>> rule = am.optim.AdamW([am.ones(2, requires_grad=True)], lr=1.0)
        >>> OneCycleLR(rule, max_lr=0.5, total_steps=10, div_factor=4).get_last_lr()
        [0.125]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        owned("OneCycleLR", optimizer)
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        need(0 <= pct_start <= 1, "OneCycleLR", f"pct_start is {pct_start}; need 0 to 1")
        require_strategy("OneCycleLR", anneal_strategy)
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        highest = for_groups("OneCycleLR: max_lr", max_lr, optimizer)
        if last_epoch == -1:
            for group, high in zip(optimizer.param_groups, highest, strict=True):
                low = high / div_factor
                group.update(initial_lr=low, max_lr=high, min_lr=low / final_div_factor)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            require_momentum("OneCycleLR", optimizer)
            self.use_beta1 = "betas" in optimizer.defaults
            momentums("OneCycleLR", optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Sequence[Rate]:
        step = self.last_epoch
        need(
            step <= self.total_steps,
            "OneCycleLR.step",
            f"step {step} of {self.total_steps}; need a schedule of as many steps as are made",
        )
        phase, part = self._place(step)
        groups = self.optimizer.param_groups

        def between(what: str) -> list[Any]:
            start, end = phase[f"start_{what}"], phase[f"end_{what}"]
            return [self._between(group[start], group[end], part) for group in groups]

        if self.cycle_momentum:
            turn_momentum(self.optimizer, between("momentum"))
        return between("lr")

    def _place(self, step: int) -> tuple[dict[str, Any], float]:
        """The phase that a step lies in, and how much of it is gone."""
        start: float = 0
        *early, last = self._schedule_phases
        for phase in early:
            if step <= phase["end_step"]:
                return phase, (step - start) / (phase["end_step"] - start)
            start = phase["end_step"]
        return last, (step - start) / (last["end_step"] - start)

    def _between(self, start: Any, end: Any, part: float) -> Any:
        if self._anneal_func_type == "linear":
            return (end - start) * part + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)


def _total(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    given = (epochs, steps_per_epoch) if total_steps is None else (total_steps,)
    whole = all(isinstance(count, int) and count > 0 for count in given)
    need(
        whole,
        "OneCycleLR",
        f"total_steps is {total_steps}, epochs {epochs}, steps_per_epoch {steps_per_epoch}; need "
        "total_steps, or epochs and steps_per_epoch: integers above 0",
    )
    return math.prod(count for count in given if count)


def _phases(total: int, share: float, three: bool) -> list[dict[str, Any]]:
    """Where each phase ends, and between which settings it goes."""

    def phase(end: float, rates: tuple[str, str], turns: tuple[str, str]) -> dict[str, Any]:
        return {
            "end_step": end,
            "start_lr": rates[0],
            "end_lr": rates[1],
            "start_momentum": turns[0],
            "end_momentum": turns[1],
        }

    high, low = "max_momentum", "base_momentum"
    up = phase(float(share * total) - 1, ("initial_lr", "max_lr"), (high, low))
    if not three:
        return [up, phase(total - 1, ("max_lr", "min_lr"), (low, high))]
    back = phase(float(2 * share * total) - 2, ("max_lr", "initial_lr"), (low, high))
    return [up, back, phase(total - 1, ("initial_lr", "min_lr"), (high, high))]


def require_strategy(name: str, strategy: str) -> None:
    """An ArgumentError for an unknown way from one rate to another."""
    known = " or ".join(map(repr, STRATEGIES))
    need(strategy in STRATEGIES, name, f"anneal_strategy is {strategy!r}; need {known}")


def momentums(
    name: str, optimizer: Optimizer, base: Any, most: Any, last_epoch: int
) -> tuple[list[float], list[float]]:
    """The least and the largest momentum of each group, which start at the largest."""
    low = for_groups(f"{name}: base_momentum", base, optimizer)
    high = for_groups(f"{name}: max_momentum", most, optimizer)
    if last_epoch == -1:
        turn_momentum(optimizer, high)
        for group, least, largest in zip(optimizer.param_groups, low, high, strict=True):
            group.update(max_momentum=largest, base_momentum=least)
    return low, high
