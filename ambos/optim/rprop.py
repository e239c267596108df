"""Rprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.optim.averages import alike
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import Group, Scalars, rate_of, rates
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where


class Rprop(Optimizer):
    """Steps of a size of their own, larger while the sign of the gradient stays: for whole batches.

    `etas` are the factors after a change of sign and without one; `step_sizes` the smallest and the
    largest step; `lr` is the first.

    Errors: ArgumentError for settings outside their range.
    Source: Riedmiller and Braun (1993), "A direct adaptive method for faster backpropagation
        learning: the RPROP algorithm".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = Rprop([weight], lr=0.5)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.numpy().round(3)
        array([0.5, 1.5], dtype=float32)
    """

    replayed = True
    dials = ("etas", "step_sizes")

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1e-2),
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, settings)

    def check(self, settings: Group) -> None:
        super().check(settings)
        down, up = settings["etas"]
        if not 0.0 < down < 1.0 < up:
            raise ArgumentError(f"Rprop: etas is {(down, up)}; need 0 < etas[0] < 1 < etas[1]")

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        return ("prev", "step_size")

    def begin(self, slot: str, parameter: Tensor, group: Group) -> Tensor:
        if slot == "prev":
            return super().begin(slot, parameter, group)
        lr = rate_of("Rprop", group["lr"])
        return alike(parameter, complex(lr, lr) if parameter.dtype.is_complex else lr)

    def factors(self, group: Group, clock: Clock) -> Scalars:
        return *group["etas"], *group["step_sizes"]

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        down, up, least, most = factors
        agreed = grad * state["prev"]
        turn = where(agreed > 0, up, where(agreed < 0, down, 1.0))
        size = state["step_size"] = (state["step_size"] * turn).maximum(least).minimum(most)
        grad = state["prev"] = where(agreed < 0, 0.0, grad)  # a turn: one step back to think
        return parameter - grad.sign() * size
