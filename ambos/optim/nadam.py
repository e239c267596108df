"""NAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.optim.averages import decay_of, drawn, penalized, squared
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import POSITIVE, Group, Scalars, rates
from ambos.tensor.handle import Tensor


class NAdam(Optimizer):
    """Adam that looks ahead with Nesterov's momentum, which warms up by `momentum_decay`.

    Errors: ArgumentError for settings outside their range.
    Source: Dozat (2016), "Incorporating Nesterov momentum into Adam".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = NAdam([weight], lr=0.5)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.numpy().round(3)
        array([0.472, 1.472], dtype=float32)
    """

    replayed = True
    dials = ("betas", "eps", "momentum_decay", "weight_decay")
    limits = {"momentum_decay": POSITIVE}

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 2e-3),
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, settings)

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def common(self, group: Group) -> dict[str, float | Tensor]:
        return {"mu_product": 1.0}

    def factors(self, group: Group, clock: Clock) -> Scalars:
        (beta1, beta2), lr, step = group["betas"], group["lr"], clock.count
        now, ahead = (
            beta1 * (1.0 - 0.5 * 0.96 ** (when * group["momentum_decay"]))
            for when in (step, step + 1.0)
        )
        product = clock.shared["mu_product"] = clock.shared["mu_product"] * now
        spread = 1.0 / (1.0 - beta2**step).sqrt()
        of_grad, of_first = lr * (1.0 - now) / (1.0 - product), lr * ahead / (1.0 - product * ahead)
        decay = decay_of(group)
        return of_grad, of_first, spread, 1.0 - beta1, beta2, 1.0 - beta2, group["eps"], decay

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        of_grad, of_first, spread, fresh1, beta2, fresh2, eps, decay = factors
        if group["weight_decay"] and group["decoupled_weight_decay"]:
            parameter = parameter * decay
        elif group["weight_decay"]:
            grad = penalized(grad, parameter, decay)
        first = state["exp_avg"] = drawn(state["exp_avg"], grad, fresh1)
        second = state["exp_avg_sq"] = squared(state["exp_avg_sq"], grad, beta2, fresh2)
        scale = second.sqrt() * spread + eps
        return parameter - (grad * of_grad + first * of_first) / scale
