"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import ref

from ambos.core.errors import ArgumentError
from ambos.optim.averages import faded, penalized
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import Group, Scalars, rates
from ambos.tensor.handle import Tensor
from ambos.tensor.tracing import guard


class SGD(Optimizer):
    """Gradient descent, with momentum if asked for.

    Errors: ArgumentError for settings outside their range.
    Source: Sutskever, Martens, Dahl, Hinton (2013), "On the importance of initialization and
        momentum in deep learning", in PyTorch's form (the learning rate multiplies the velocity).

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = SGD([weight], lr=0.5)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.numpy()
        array([0., 0.], dtype=float32)
    """

    replayed = True
    counts_steps = False
    dials = ("momentum", "dampening", "weight_decay")

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1e-3),
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, settings)

    def check(self, settings: Group) -> None:
        super().check(settings)
        if settings.get("nesterov") and not (settings["momentum"] and not settings["dampening"]):
            raise ArgumentError(
                f"SGD: nesterov with momentum={settings['momentum']} and "
                f"dampening={settings['dampening']}; need momentum > 0 and dampening=0"
            )

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        if not group["momentum"]:
            return ()
        if group["dampening"]:  # the first velocity is the gradient itself, undampened
            of = ref(self)
            guard(lambda: (rule := of()) and parameter in rule.state)
            return ("momentum_buffer",) if parameter in self.state else ()
        return ("momentum_buffer",)

    def factors(self, group: Group, clock: Clock) -> Scalars:
        return group["lr"], group["momentum"], 1.0 - group["dampening"], group["weight_decay"]

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        lr, momentum, fresh, decay = factors
        if group["weight_decay"]:
            grad = penalized(grad, parameter, decay)
        if group["momentum"]:
            before = state.get("momentum_buffer")
            damped = grad * fresh if group["dampening"] else grad
            velocity = grad if before is None else faded(before * momentum + damped)
            state["momentum_buffer"] = velocity
            grad = grad + velocity * momentum if group["nesterov"] else velocity
        return parameter - grad * lr
