"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.optim.averages import decay_of, drawn, penalized, squared
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import Group, Scalars, rates
from ambos.tensor.handle import Tensor


class Adam(Optimizer):
    """Adaptive moments; `weight_decay` is added to the gradient, unless `decoupled_weight_decay`.

    Errors: ArgumentError for settings outside their range.
    Source: Kingma and Ba (2015), "Adam: a method for stochastic optimization"; `amsgrad`: Reddi,
        Kale, Kumar (2018), "On the convergence of Adam and beyond".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = Adam([weight], lr=0.5)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.numpy().round(3)  # the first step is the learning rate, whatever the gradient
        array([0.5, 1.5], dtype=float32)
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
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1e-3),
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, settings)

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        names = ("exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names

    def factors(self, group: Group, clock: Clock) -> Scalars:
        (beta1, beta2), lr = group["betas"], group["lr"]
        size = lr / (1.0 - beta1**clock.count)
        spread = 1.0 / (1.0 - beta2**clock.count).sqrt()  # one division an element: divided once
        return size, spread, 1.0 - beta1, beta2, 1.0 - beta2, group["eps"], decay_of(group)

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        size, spread, fresh1, beta2, fresh2, eps, decay = factors
        if group["weight_decay"] and group["decoupled_weight_decay"]:
            parameter = parameter * decay
        elif group["weight_decay"]:
            grad = penalized(grad, parameter, decay)
        first = state["exp_avg"] = drawn(state["exp_avg"], grad, fresh1)
        second = state["exp_avg_sq"] = squared(state["exp_avg_sq"], grad, beta2, fresh2)
        if group["amsgrad"]:
            second = state["max_exp_avg_sq"] = state["max_exp_avg_sq"].maximum(second)
        return parameter - first * size / (second.sqrt() * spread + eps)


class AdamW(Adam):
    """Adam with weight decay apart from the moments.

    Errors: ArgumentError for settings outside their range.
    Source: Loshchilov and Hutter (2019), "Decoupled weight decay regularization".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> AdamW([weight], lr=0.1).param_groups[0]["weight_decay"]
        0.01
    """

    replayed = True

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        learning_rate: float | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad,
            foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
            learning_rate=learning_rate,
        )  # fmt: skip
