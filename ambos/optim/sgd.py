"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.optim.averages import faded
from ambos.optim.optimizer import Group, Optimizer, State, rates
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

    counts_steps = False

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | None = None,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        learning_rate: float | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": rates(lr, learning_rate, 1e-3),
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
            },
        )

    def check(self, settings: Group) -> None:
        super().check(settings)
        if settings.get("nesterov") and not (settings["momentum"] and not settings["dampening"]):
            raise ArgumentError(
                f"SGD: nesterov with momentum={settings['momentum']} and "
                f"dampening={settings['dampening']}; need momentum > 0 and dampening=0"
            )

    def slots(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, lr: Tensor
    ) -> Tensor:
        momentum, dampening = group["momentum"], group["dampening"]
        if group["weight_decay"]:
            grad = grad + parameter * group["weight_decay"]
        if momentum:
            # The first velocity is the gradient itself, undampened; on zeros the general form
            # gives just that, unless there is dampening.
            guard(lambda: bool(dampening) and parameter in self.state)
            first = dampening and parameter not in self.state
            fresh = grad if first or not dampening else grad * (1 - dampening)
            velocity = faded(state["momentum_buffer"] * momentum + fresh)
            state["momentum_buffer"] = velocity
            grad = grad + velocity * momentum if group["nesterov"] else velocity
        return parameter - grad * lr.to(parameter.dtype)
