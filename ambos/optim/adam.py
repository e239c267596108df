"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from ambos.core.dtype import DType
from ambos.core.errors import ArgumentError
from ambos.optim.averages import faded
from ambos.optim.optimizer import Group, Optimizer, State, rates
from ambos.tensor.handle import Tensor


class Adam(Optimizer):
    """Adaptive moments; `weight_decay` is added to the gradient.

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

    decoupled = False  # is weight decay kept out of the moments?

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        learning_rate: float | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": rates(lr, learning_rate, 1e-3),
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
            },
        )

    def check(self, settings: Group) -> None:
        super().check(settings)
        betas = settings.get("betas", (0.9, 0.999))
        if not (isinstance(betas, (tuple, list)) and len(betas) == 2
                and all(isinstance(b, (int, float)) and 0 <= b < 1 for b in betas)):  # fmt: skip
            raise ArgumentError(
                f"{type(self).__name__}: betas is {betas!r}; need two numbers, 0 <= beta < 1"
            )

    def slots(self, group: Group) -> tuple[str, ...]:
        names = ("exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, lr: Tensor
    ) -> Tensor:
        (beta1, beta2), decay = group["betas"], group["weight_decay"]
        clock, dtype = state["step"], parameter.dtype
        size, spread, left = self.once(
            (clock, group, lr, dtype), lambda: _factors(clock.count, group, lr, dtype)
        )
        if decay and self.decoupled:
            parameter = parameter * left()
        elif decay:
            grad = grad + parameter * decay
        first, second = state["exp_avg"], state["exp_avg_sq"]
        first = state["exp_avg"] = faded(first + (grad - first) * (1 - beta1))
        second = state["exp_avg_sq"] = faded(second * beta2 + grad * (1 - beta2) * grad)
        if group["amsgrad"]:
            second = state["max_exp_avg_sq"] = state["max_exp_avg_sq"].maximum(second)
        scale = second.sqrt() * spread + group["eps"]
        return parameter - first * size / scale


def _factors(
    step: Tensor, group: Group, lr: Tensor, dtype: DType
) -> tuple[Tensor, Tensor, Callable[[], Tensor]]:
    """What is the same for all elements of all parameters that step together: the size of the
    step, the factor of the second moment's root (one division an element: this is divided once),
    and, when it is asked for, what decay leaves of a parameter."""
    beta1, beta2 = group["betas"]
    size = lr / (1.0 - beta1**step)
    spread = 1.0 / (1.0 - beta2**step).sqrt()
    left = cache(lambda: (1.0 - lr * group["weight_decay"]).to(dtype))
    return size.to(dtype), spread.to(dtype), left


class AdamW(Adam):
    """Adam with weight decay apart from the moments.

    Errors: ArgumentError for settings outside their range.
    Source: Loshchilov and Hutter (2019), "Decoupled weight decay regularization".

    Example:
        >>> import ambos as am
        >>> weight = am.tensor([1.0, 2.0], requires_grad=True)
        >>> AdamW([weight], lr=0.1)
        AdamW(lr=0.1, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01, amsgrad=False)
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        learning_rate: float | None = None,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, learning_rate=learning_rate)
