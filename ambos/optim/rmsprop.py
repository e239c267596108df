"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.optim.averages import drawn, faded, penalized, squared
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import POSITIVE, Group, Scalars, rates
from ambos.tensor.handle import Tensor


class RMSprop(Optimizer):
    """Steps divided by the root of the mean squared gradient; `centered`: by its deviation.

    Errors: ArgumentError for settings outside their range.
    Source: Hinton (2012), "Neural networks for machine learning", lecture 6; `centered`: Graves
        (2013), "Generating sequences with recurrent neural networks".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = RMSprop([weight], lr=0.05)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.numpy().round(3)
        array([0.5, 1.5], dtype=float32)
    """

    replayed = True
    dials = ("alpha", "eps", "momentum", "weight_decay")
    limits = {"alpha": POSITIVE}

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1e-2),
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, settings)

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        velocity = ("momentum_buffer",) if group["momentum"] else ()
        mean = ("grad_avg",) if group["centered"] else ()
        return ("square_avg", *velocity, *mean)

    def factors(self, group: Group, clock: Clock) -> Scalars:
        alpha = group["alpha"]
        numbers = group["eps"], group["momentum"], group["weight_decay"]
        return group["lr"], alpha, 1.0 - alpha, *numbers

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        lr, alpha, fresh, eps, momentum, decay = factors
        if group["weight_decay"]:
            grad = penalized(grad, parameter, decay)
        spread = state["square_avg"] = squared(state["square_avg"], grad, alpha, fresh)
        if group["centered"]:
            mean = state["grad_avg"] = drawn(state["grad_avg"], grad, fresh)
            spread = spread - mean * mean
        step = grad / (spread.sqrt() + eps)
        if group["momentum"]:
            step = state["momentum_buffer"] = faded(state["momentum_buffer"] * momentum + step)
        return parameter - step * lr
