"""LRScheduler: learning rates that change from step to step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, TracingError
from ambos.optim.optimizer import Optimizer
from ambos.tensor.handle import Tensor
from ambos.tensor.tracing import current

Rate = Any  # a float, or a tensor of one


class LRScheduler(metaclass=Checked):
    """Base of schedules: call `step()` after the optimizer's, once an epoch or once a batch.

    A schedule defines `get_lr`: the rates at `last_epoch`, from those that groups have now
    (`rates()`) or had at the start (`base_lrs`). Written from the present rates, as PyTorch's are,
    schedules may be chained. One with a closed form states it as `_get_closed_form_lr`, for
    `step(epoch)`. The optimizer's step may be jitted: rates are data, so nothing is compiled anew.

    Errors: ArgumentError for what is no optimizer, and where `last_epoch` says that training goes
        on but no group has an "initial_lr"; TracingError for a step inside of a jitted function.

    Example:
        >>> import ambos as am
        >>> class Halving(LRScheduler):
        ...     def get_lr(self):
        ...         return [base / 2**self.last_epoch for base in self.base_lrs]
        >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)], lr=1.0)
        >>> schedule = Halving(rule)
        >>> rule.param_groups[0]["params"][0].grad = am.ones(2)
        >>> rule.step()
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.5]
    """

    functions: ClassVar[tuple[str, ...]] = ()  # attributes that hold functions of the user's

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = optimizer = owned(type(self).__name__, optimizer)
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise ArgumentError(
                    f"{type(self).__name__}: last_epoch is {last_epoch}, but group {number} has no "
                    "'initial_lr'; need the optimizer's state_dict loaded first, or last_epoch=-1"
                )
        self.base_lrs: list[Rate] = [
            copied(group["initial_lr"]) for group in optimizer.param_groups
        ]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> Sequence[Rate]:
        """The rates of the groups at `last_epoch`."""
        raise NotImplementedError(type(self).__name__)

    def get_last_lr(self) -> list[Rate]:
        """The learning rate of each group."""
        return self._last_lr

    def rates(self) -> list[Rate]:
        """The present learning rate of each group."""
        return [copied(group["lr"]) for group in self.optimizer.param_groups]

    def scaled(self, factor: float) -> list[Rate]:
        """The present rates times `factor`."""
        return [rate * factor for rate in self.rates()]

    def step(self, epoch: int | None = None) -> None:
        """Go on by one epoch, or to `epoch`."""
        if current.trace is not None:
            raise TracingError(
                f"{type(self).__name__}.step: inside of a jitted function it would run once, while "
                "that is recorded; need it outside, after the call. The step reads the new rate"
            )
        if self._step_count == 1 and not self.optimizer.stepped:
            warnings.warn(
                f"{type(self).__name__}.step: called before optimizer.step(), so the first rate of "
                "the schedule is never used; need optimizer.step() first",
                stacklevel=3,
            )
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed: Callable[[], Sequence[Rate]] | None = getattr(self, "_get_closed_form_lr", None)
        self._set(self.get_lr() if epoch is None or closed is None else closed())

    def _set(self, rates: Sequence[Rate]) -> None:
        groups = self.optimizer.param_groups
        if len(rates) != len(groups):
            raise ArgumentError(
                f"{type(self).__name__}.step: {len(rates)} rates for {len(groups)} groups; need "
                "all groups in the optimizer before the schedule is made"
            )
        for group, rate in zip(groups, rates, strict=True):
            put(group, rate)
        self._last_lr: list[Rate] = self.rates()

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs, with PyTorch's keys. Of a function it has
        nothing, of a callable object its attributes."""
        found = {k: v for k, v in self.__dict__.items() if k not in ("optimizer", *self.functions)}
        for key in self.functions:
            held = getattr(self, key)
            found[key] = [*map(_attributes, held)] if isinstance(held, list) else _attributes(held)
        return found

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, here or in PyTorch."""
        for key, value in state_dict.items():
            if key not in self.functions:
                self.__dict__[key] = value
                continue
            held = getattr(self, key)
            pairs = zip(held, value, strict=True) if isinstance(held, list) else [(held, value)]
            for function, attributes in pairs:
                if attributes is not None:
                    function.__dict__.update(attributes)


def _attributes(function: Any) -> dict[str, Any] | None:
    plain = function is None or hasattr(function, "__code__")
    return None if plain else dict(function.__dict__)


def owned(name: str, optimizer: Any) -> Optimizer:
    """`optimizer`, or an ArgumentError for what is none.

    Example:
        >>> import ambos as am
        >>> owned("StepLR", am.optim.SGD(lr=0.5)).lr
        0.5
    """
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"{name}: got {type(optimizer).__name__}; need an optimizer")
    return optimizer


def copied(rate: Rate) -> Rate:
    """A rate that does not change with the group's."""
    return rate.detach() if isinstance(rate, Tensor) else rate


def put(group: dict[str, Any], rate: Rate) -> None:
    """Give a group its rate. A tensor stays, with another number in it."""
    held = group["lr"]
    if isinstance(held, Tensor):
        number = rate.item() if isinstance(rate, Tensor) else rate
        held.data = Tensor(np.full(tuple(held.shape), number, held.dtype.name))
    else:
        group["lr"] = rate


def for_groups(name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """A setting for each group: one of all, or a list.

    Errors: ArgumentError for a list of another length.

    Example:
        >>> import ambos as am
        >>> for_groups("CyclicLR: max_lr", 0.5, am.optim.SGD([am.ones(2)]))
        [0.5]
    """
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ArgumentError(f"{name} has {len(value)} values; need {count}, one a group")
    return list(value)


def turn_momentum(optimizer: Optimizer, momentums: Sequence[float]) -> None:
    """Give each group its momentum, or its first beta where a rule has those."""
    for group, momentum in zip(optimizer.param_groups, momentums, strict=True):
        if "betas" in optimizer.defaults:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


def require_momentum(name: str, optimizer: Optimizer) -> None:
    """An ArgumentError for a rule without momentum."""
    if not {"momentum", "betas"} & set(optimizer.defaults):
        raise ArgumentError(
            f"{name}: {type(optimizer).__name__} has neither momentum nor betas to turn; need "
            "cycle_momentum=False"
        )


def need(holds: bool, name: str, message: str) -> None:
    """An ArgumentError unless something holds.

    Example:
        >>> need(True, "StepLR", "step_size is 0; need at least 1")
    """
    if not holds:
        raise ArgumentError(f"{name}: {message}")
