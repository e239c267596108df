"""RAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.optim.averages import decay_of, drawn, penalized, squared
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import Group, Scalars, rates
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where


class RAdam(Optimizer):
    """Adam that adapts its steps only once the second moment's variance can be told.

    Errors: ArgumentError for settings outside their range.
    Source: Liu et al. (2020), "On the variance of the adaptive learning rate and beyond".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = RAdam([weight], lr=0.5)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.numpy().round(3)
        array([0., 0.], dtype=float32)
    """

    replayed = True
    dials = ("betas", "eps", "weight_decay")

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1e-3),
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, settings)

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def factors(self, group: Group, clock: Clock) -> Scalars:
        (beta1, beta2), lr, step = group["betas"], group["lr"], clock.count
        grown = 1.0 - beta2**step
        most = 2.0 / (1.0 - beta2) - 1.0  # the length of the average in the end
        length = most - 2.0 * step * beta2**step / grown
        rectified = (length - 4.0) * (length - 2.0) * most
        rectified = rectified / ((most - 4.0) * (most - 2.0) * length)
        tells = length > 5.0
        adaptive = (where(tells, rectified, 1.0) * grown).sqrt()
        size, decay = lr / (1.0 - beta1**step), decay_of(group)
        # Adaptive: size * adaptive / (root + eps); before that: size / 1.
        share = where(tells, 1.0, 0.0)
        size = where(tells, size * adaptive, size)
        return size, share, 1.0 - beta1, beta2, 1.0 - beta2, group["eps"], decay

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        size, share, fresh1, beta2, fresh2, eps, decay = factors
        if group["weight_decay"] and group["decoupled_weight_decay"]:
            parameter = parameter * decay
        elif group["weight_decay"]:
            grad = penalized(grad, parameter, decay)
        first = state["exp_avg"] = drawn(state["exp_avg"], grad, fresh1)
        second = state["exp_avg_sq"] = squared(state["exp_avg_sq"], grad, beta2, fresh2)
        scale = where(share > 0.0, second.sqrt() + eps, 1.0)
        return parameter - first * size / scale
