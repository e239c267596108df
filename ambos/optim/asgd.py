"""ASGD."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.optim.averages import penalized
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import POSITIVE, Group, Scalars, rate_of, rates
from ambos.tensor.handle import Tensor


class ASGD(Optimizer):
    """Gradient descent whose iterates are averaged (state "ax") from step `t0` on.

    Errors: ArgumentError for settings outside their range.
    Source: Polyak and Juditsky (1992), "Acceleration of stochastic approximation by averaging".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = ASGD([weight], lr=0.25)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.numpy().round(3)
        array([0.5, 1. ], dtype=float32)
    """

    replayed = True
    dials = ("lambd", "alpha", "t0", "weight_decay")
    limits = {"lambd": POSITIVE, "alpha": POSITIVE, "t0": POSITIVE}

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        *,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1e-2),
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, settings)

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        return ("ax",)

    def common(self, group: Group) -> dict[str, float | Tensor]:
        return {"eta": rate_of("ASGD", group["lr"]), "mu": 1.0}

    def factors(self, group: Group, clock: Clock) -> Scalars:
        eta, mu, step, lr = clock.shared["eta"], clock.shared["mu"], clock.count, group["lr"]
        clock.shared["eta"] = lr / (1.0 + group["lambd"] * lr * step) ** group["alpha"]
        clock.shared["mu"] = 1.0 / (step - group["t0"]).maximum(1.0)
        return eta, 1.0 - group["lambd"] * eta, mu, 1.0 - mu, group["weight_decay"]

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        eta, left, mu, rest, decay = factors
        if group["weight_decay"]:
            grad = penalized(grad, parameter, decay)
        parameter = parameter * left - grad * eta
        state["ax"] = state["ax"] * rest + parameter * mu
        return parameter
