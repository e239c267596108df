"""Adafactor."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ambos.core.errors import ArgumentError, DTypeError
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import Group, Limit, Scalars, rates
from ambos.tensor.handle import Tensor
from ambos.tensor.limits import finfo


class Adafactor(Optimizer):
    """Adam's second moment as the product of a row's and a column's: little memory, relative steps.

    As in PyTorch, `lr` bounds the relative step and scales weight decay. `eps` is the least root of
    the second moment (None: the dtype's) and the least size of a parameter; `d` clips updates.

    Errors: ArgumentError for settings outside their range; DTypeError for complex parameters.
    Source: Shazeer and Stern (2018), "Adafactor: adaptive learning rates with sublinear memory
        cost".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = Adafactor([weight], lr=0.5)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.numpy().round(3)
        array([0.209, 1.209], dtype=float32)
    """

    replayed = True
    dials = ("beta2_decay", "eps", "d", "weight_decay")
    spreads = False
    limits = {
        "beta2_decay": Limit(-math.inf, 1e-12),
        "d": Limit(1.0),
        "eps": Limit(0.0, count=2, optional=True),
    }

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1e-2),
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, settings)

    def check(self, settings: Group) -> None:
        super().check(settings)
        if settings["eps"][1] is None:
            raise ArgumentError(f"Adafactor: eps is {settings['eps']!r}; need a number as second, "
                                "the least size of a parameter")  # fmt: skip

    def admit(self, params: list[Tensor]) -> None:
        if any(parameter.dtype.is_complex for parameter in params):
            raise DTypeError("Adafactor: a parameter is complex; need real ones: give view_as_real")

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        return ("row_var", "col_var") if parameter.ndim > 1 else ("variance",)

    def slot_shape(self, slot: str, parameter: Tensor) -> tuple[int, ...]:
        *outer, rows, columns = (1, *parameter.shape) if parameter.ndim < 2 else parameter.shape
        shapes = {"row_var": (*outer, rows, 1), "col_var": (*outer, 1, columns)}
        return shapes.get(slot, tuple(parameter.shape))

    def factors(self, group: Group, clock: Clock) -> Scalars:
        lr = group["lr"]
        fresh = clock.count ** group["beta2_decay"]
        bound = lr.minimum(1.0 / clock.count.sqrt())
        least, smallest = group["eps"]
        square = None if least is None else least * least
        left = 1.0 - lr * group["weight_decay"]
        return fresh, bound, group["d"], left, least, square, smallest

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        fresh, bound, most, left, least, square, smallest = factors
        if least is None:
            least = finfo(parameter.dtype).eps
            square = least * least
        size = _root_mean_square(parameter).maximum(smallest) * bound
        if group["weight_decay"]:
            parameter = parameter * left
        power = grad * grad
        if grad.ndim > 1:
            row = state["row_var"] = _towards(state["row_var"], power.mean(-1, True), fresh)
            column = state["col_var"] = _towards(state["col_var"], power.mean(-2, True), fresh)
            estimate = row * column / row.mean(-2, True).maximum(least)
        else:
            estimate = state["variance"] = _towards(state["variance"], power, fresh)
        step = grad / estimate.maximum(square).sqrt()
        clipped = (_root_mean_square(step) / most).maximum(1.0)
        return parameter - step * (size / clipped)


def _towards(average: Tensor, value: Tensor, weight: Tensor) -> Tensor:
    return average + (value - average) * weight


def _root_mean_square(x: Tensor) -> Tensor:
    return (x * x).mean().sqrt()
