"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.optim.averages import alike, penalized
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import POSITIVE, Group, Scalars, rates
from ambos.tensor.handle import Tensor


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients.

    Errors: ArgumentError for settings outside their range.
    Source: Duchi, Hazan, Singer (2011), "Adaptive subgradient methods for online learning and
        stochastic optimization".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = Adagrad([weight], lr=0.5)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.numpy().round(3)
        array([0.5, 1.5], dtype=float32)
    """

    replayed = True
    dials = ("lr_decay", "eps", "weight_decay")
    limits = {"lr_decay": POSITIVE, "initial_accumulator_value": POSITIVE}

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1e-2),
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, settings)

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        return ("sum",)

    def begin(self, slot: str, parameter: Tensor, group: Group) -> Tensor:
        value = group["initial_accumulator_value"]
        return alike(parameter, complex(value, value) if parameter.dtype.is_complex else value)

    def factors(self, group: Group, clock: Clock) -> Scalars:
        size = group["lr"] / (1.0 + (clock.count - 1.0) * group["lr_decay"])
        return size, group["eps"], group["weight_decay"]

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        size, eps, decay = factors
        if group["weight_decay"]:
            grad = penalized(grad, parameter, decay)
        total = state["sum"] = state["sum"] + grad * grad
        return parameter - grad * size / (total.sqrt() + eps)
