"""Adam for embeddings: rows without a gradient stay as they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ambos.optim.averages import drawn, squared
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import Group, Scalars, rates
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where


class SparseAdam(Optimizer):
    """Adam whose moments and parameters change only in rows with a gradient that is not zero: the
    words of a batch. Gradients here are dense, and a row of zeros is one that PyTorch's sparse
    gradients leave out.

    Errors: ArgumentError for settings outside their range.
    Source: Kingma and Ba (2015), "Adam: a method for stochastic optimization".

    Example:
        >>> import ambos as am
        >>> words = am.nn.Embedding(3, 1)
        >>> words.weight.data = am.ones(3, 1)
        >>> optimizer = SparseAdam(words.parameters(), lr=0.5)
        >>> words(am.tensor([1])).sum().backward()
        >>> optimizer.step()
        >>> words.weight.detach().numpy().round(3).ravel()
        array([1. , 0.5, 1. ], dtype=float32)
    """

    replayed = True
    dials = ("betas", "eps")

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
        *,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1e-3), "betas": betas, "eps": eps, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, settings)

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def factors(self, group: Group, clock: Clock) -> Scalars:
        (beta1, beta2), lr = group["betas"], group["lr"]
        size = lr * (1.0 - beta2**clock.count).sqrt() / (1.0 - beta1**clock.count)
        return size, 1.0 - beta1, beta2, 1.0 - beta2, group["eps"]

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        size, fresh1, beta2, fresh2, eps = factors
        axes = tuple(range(1, grad.ndim))
        touched = (grad != 0).any(axes, keepdims=True) if axes else grad != 0
        before = state["exp_avg"], state["exp_avg_sq"]
        first = drawn(before[0], grad, fresh1)
        second = squared(before[1], grad, beta2, fresh2)
        for name, new, old in zip(("exp_avg", "exp_avg_sq"), (first, second), before, strict=True):
            state[name] = where(touched, new, old)
        return where(touched, parameter - first * size / (second.sqrt() + eps), parameter)
