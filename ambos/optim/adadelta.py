"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.optim.averages import penalized, squared
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import Group, Limit, Scalars, rates
from ambos.tensor.handle import Tensor


class Adadelta(Optimizer):
    """Steps in the units of the parameter: the root of past steps over that of past gradients.

    Errors: ArgumentError for settings outside their range.
    Source: Zeiler (2012), "ADADELTA: an adaptive learning rate method".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = Adadelta([weight])
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.numpy().round(3)
        array([0.997, 1.997], dtype=float32)
    """

    replayed = True
    dials = ("rho", "eps", "weight_decay")
    limits = {"rho": Limit(0.0, 1.0 + 1e-9)}

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1.0),
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, settings)

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def factors(self, group: Group, clock: Clock) -> Scalars:
        rho = group["rho"]
        return group["lr"], rho, 1.0 - rho, group["eps"], group["weight_decay"]

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        lr, rho, fresh, eps, decay = factors
        if group["weight_decay"]:
            grad = penalized(grad, parameter, decay)
        squares = state["square_avg"] = squared(state["square_avg"], grad, rho, fresh)
        step = (state["acc_delta"] + eps).sqrt() / (squares + eps).sqrt() * grad
        state["acc_delta"] = squared(state["acc_delta"], step, rho, fresh)
        return parameter - step * lr
