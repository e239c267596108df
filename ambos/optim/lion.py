"""Lion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.optim.averages import drawn
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import Group, Scalars, rates
from ambos.tensor.handle import Tensor


class Lion(Optimizer):
    """The sign of a momentum that looks ahead: all steps have the size of the learning rate.

    Use a third to a tenth of Adam's learning rate, and as much more weight decay.

    Errors: ArgumentError for settings outside their range.
    Source: Chen et al. (2023), "Symbolic discovery of optimization algorithms".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = Lion([weight], lr=0.5)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.numpy().round(3)
        array([0.5, 1.5], dtype=float32)
    """

    replayed = True
    counts_steps = False
    dials = ("betas", "weight_decay")

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1e-4),
            "betas": betas,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
        }
        super().__init__(params, settings)

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        return ("exp_avg",)

    def factors(self, group: Group, clock: Clock) -> Scalars:
        (beta1, beta2), lr = group["betas"], group["lr"]
        return lr, 1.0 - beta1, 1.0 - beta2, 1.0 - lr * group["weight_decay"]

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        lr, ahead, fresh, left = factors
        held = state["exp_avg"]
        direction = (held + (grad - held) * ahead).sign()
        state["exp_avg"] = drawn(held, grad, fresh)
        if group["weight_decay"]:
            parameter = parameter * left
        return parameter - direction * lr
