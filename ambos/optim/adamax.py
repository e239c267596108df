"""Adamax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.optim.averages import drawn, penalized
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import Group, Scalars, rates
from ambos.tensor.handle import Tensor


class Adamax(Optimizer):
    """Adam with the largest gradient (decayed) in place of the mean square.

    Errors: ArgumentError for settings outside their range.
    Source: Kingma and Ba (2015), "Adam: a method for stochastic optimization", section 7.1.

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = Adamax([weight], lr=0.5)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.numpy().round(3)
        array([0.5, 1.5], dtype=float32)
    """

    replayed = True
    dials = ("betas", "eps", "weight_decay")

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 2e-3),
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, settings)

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def factors(self, group: Group, clock: Clock) -> Scalars:
        beta1, beta2 = group["betas"]
        size = group["lr"] / (1.0 - beta1**clock.count)
        return size, 1.0 - beta1, beta2, group["eps"], group["weight_decay"]

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        size, fresh, beta2, eps, decay = factors
        if group["weight_decay"]:
            grad = penalized(grad, parameter, decay)
        first = state["exp_avg"] = drawn(state["exp_avg"], grad, fresh)
        largest = (state["exp_inf"] * beta2).maximum(grad.abs() + eps)
        state["exp_inf"] = largest
        return parameter - first * size / largest
