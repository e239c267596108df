"""Schedules that multiply the present rate by a factor."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ambos.core.errors import ArgumentError, ArgumentTypeError
from ambos.optim.lr_scheduler.base import LRScheduler, Rate, for_groups, need, owned
from ambos.optim.optimizer import Optimizer

Factor = Callable[[int], float]


def _functions(name: str, given: Any, optimizer: Any) -> list[Factor]:
    found = for_groups(f"{name}: lr_lambda", given, owned(name, optimizer))
    for function in found:
        if not callable(function):
            raise ArgumentError(f"{name}: lr_lambda is {function!r}; need a function of the epoch")
    return found


class LambdaLR(LRScheduler):
    """The starting rate times a function of the epoch: one for all groups, or a list.

    Errors: ArgumentError for what is no optimizer or no function.

    Example:
        >>> import ambos as am
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> LambdaLR(rule, lambda epoch: 0.5 ** (epoch + 1)).get_last_lr()
        [0.5]
    """

    functions = ("lr_lambdas",)

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1
    ) -> None:
        self.lr_lambdas = _functions("LambdaLR", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Sequence[Rate]:
        return [
            base * function(self.last_epoch)
            for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]


class MultiplicativeLR(LRScheduler):
    """The present rate times a function of the epoch.

    Errors: ArgumentError for what is no optimizer or no function.

    Example:
        >>> import ambos as am
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> MultiplicativeLR(rule, lambda epoch: 0.5).get_last_lr()
        [1.0]
    """

    functions = ("lr_lambdas",)

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1
    ) -> None:
        self.lr_lambdas = _functions("MultiplicativeLR", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Sequence[Rate]:
        if self._is_initial:
            return self.rates()
        return [
            rate * function(self.last_epoch)
            for rate, function in zip(self.rates(), self.lr_lambdas, strict=True)
        ]


class StepLR(LRScheduler):
    """The rate times `gamma` after every `step_size` epochs.

    Errors: ArgumentError for what is no optimizer, and unless step_size >= 1.

    Example:
        >>> import ambos as am
        >>> weight = am.ones(2, requires_grad=True)
        >>> rule = am.optim.SGD([weight], lr=1.0)
        >>> schedule = StepLR(rule, step_size=1, gamma=0.5)
        >>> weight.sum().backward()
        >>> rule.step()
        >>> schedule.step()
        >>> rule.lr
        0.5
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        need(step_size >= 1, "StepLR", f"step_size is {step_size}; need at least 1")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Sequence[Rate]:
        turns = self.last_epoch and self.last_epoch % self.step_size == 0
        return self.scaled(self.gamma) if turns else self.rates()

    def _get_closed_form_lr(self) -> Sequence[Rate]:
        factor = self.gamma ** (self.last_epoch // self.step_size)
        return [base * factor for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """The rate times `gamma` at each of the `milestones`.

    Errors: ArgumentError for what is no optimizer.

    Example:
        >>> import ambos as am
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> MultiStepLR(rule, milestones=[30, 80]).get_last_lr()
        [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(milestones, Iterable):
            raise ArgumentTypeError(f"MultiStepLR: milestones is {milestones!r}; need a list of "
                                    "epochs")  # fmt: skip
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Sequence[Rate]:
        times = self.milestones.get(self.last_epoch, 0)
        return self.scaled(self.gamma**times) if times else self.rates()

    def _get_closed_form_lr(self) -> Sequence[Rate]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """The rate times `factor` until epoch `total_iters`.

    Errors: ArgumentError for what is no optimizer, and unless 0 <= factor <= 1.

    Example:
        >>> import ambos as am
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> ConstantLR(rule, factor=0.5).get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        need(0 <= factor <= 1, "ConstantLR", f"factor is {factor}; need 0 <= factor <= 1")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Sequence[Rate]:
        if self.last_epoch == 0:
            return self.scaled(self.factor)
        return (
            self.scaled(1.0 / self.factor) if self.last_epoch == self.total_iters else self.rates()
        )

    def _get_closed_form_lr(self) -> Sequence[Rate]:
        share = self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor)
        return [base * share for base in self.base_lrs]


class LinearLR(LRScheduler):
    """The rate times a factor that goes from `start_factor` to `end_factor` in `total_iters`.

    Errors: ArgumentError for what is no optimizer, and for factors outside of 0 to 1.

    Example:
        >>> import ambos as am
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> LinearLR(rule, start_factor=0.5).get_last_lr()
        [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        start, end = start_factor, end_factor
        need(0 < start <= 1, "LinearLR", f"start_factor is {start}; need 0 < start_factor <= 1")
        need(0 <= end <= 1, "LinearLR", f"end_factor is {end}; need 0 <= end_factor <= 1")
        self.start_factor, self.end_factor, self.total_iters = start, end, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Sequence[Rate]:
        if self.last_epoch == 0:
            return self.scaled(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self.rates()
        way = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * way
        return self.scaled(1.0 + way / before)

    def _get_closed_form_lr(self) -> Sequence[Rate]:
        passed = min(self.total_iters, self.last_epoch) / self.total_iters
        share = self.start_factor + (self.end_factor - self.start_factor) * passed
        return [base * share for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """The rate times `gamma` every epoch.

    Errors: ArgumentError for what is no optimizer.

    Example:
        >>> import ambos as am
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> ExponentialLR(rule, gamma=0.5).get_last_lr()
        [1.0]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Sequence[Rate]:
        return self.rates() if self._is_initial else self.scaled(self.gamma)

    def _get_closed_form_lr(self) -> Sequence[Rate]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """Down to zero in `total_iters` epochs, along a polynomial of degree `power`.

    Errors: ArgumentError for what is no optimizer.

    Example:
        >>> import ambos as am
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> PolynomialLR(rule, total_iters=4).get_last_lr()
        [1.0]
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> Sequence[Rate]:
        if self._is_initial or self.last_epoch > self.total_iters:
            return self.rates()
        left, before = (
            1.0 - epoch / self.total_iters for epoch in (self.last_epoch, self.last_epoch - 1)
        )
        return self.scaled((left / before) ** self.power)

    def _get_closed_form_lr(self) -> Sequence[Rate]:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]
