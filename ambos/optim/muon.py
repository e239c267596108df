"""Muon."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ambos.core.dtype import bfloat16, float32
from ambos.core.errors import ArgumentError, ShapeError
from ambos.optim.averages import drawn
from ambos.optim.clock import Clock
from ambos.optim.optimizer import Optimizer
from ambos.optim.saved import State
from ambos.optim.settings import Group, Scalars, rates
from ambos.tensor.handle import Tensor


class Muon(Optimizer):
    """Momentum, orthogonalised: for the matrices inside a network, beside AdamW for all else.

    `adjust_lr_fn` fits the rate to a matrix's shape: "original" (Jordan; the default) or
    "match_rms_adamw" (Moonshot: take AdamW's learning rate and decay).

    Errors: ArgumentError for settings outside their range; ShapeError for what is no matrix.
    Source: Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks"; Liu et
        al. (2025), "Muon is scalable for LLM training".

    Example:
        >>> import ambos as am
        >>> weight = am.eye(2).requires_grad_()
        >>> optimizer = Muon([weight], lr=0.5)
        >>> (weight * weight).sum().backward()
        >>> optimizer.step()
        >>> bool((weight < am.eye(2)).diagonal().all())
        True
    """

    replayed = True
    spreads = False
    counts_steps = False
    dials = ("momentum", "weight_decay", "ns_coefficients", "eps")

    def __init__(
        self,
        params: Iterable[Any] | None = None,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        learning_rate: float | None = None,
    ) -> None:
        settings = {
            "lr": rates(lr, learning_rate, 1e-3),
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, settings)

    def check(self, settings: Group) -> None:
        super().check(settings)
        if settings["adjust_lr_fn"] not in ADJUSTED:
            raise ArgumentError(f"Muon: adjust_lr_fn is {settings['adjust_lr_fn']!r}; need one of "
                                f"{', '.join(map(repr, ADJUSTED))}")  # fmt: skip
        if len(settings["ns_coefficients"]) != 3 or not 0 <= settings["ns_steps"] < 100:
            raise ArgumentError(
                f"Muon: ns_coefficients is {settings['ns_coefficients']} and ns_steps "
                f"{settings['ns_steps']}; need three numbers and less than 100 steps"
            )

    def admit(self, params: list[Tensor]) -> None:
        for parameter in params:
            if parameter.ndim != 2 or parameter.dtype.is_complex:
                raise ShapeError(
                    f"Muon: a parameter is {parameter.dtype.name} of shape "
                    f"{tuple(parameter.shape)}; need real matrices. Give biases, embeddings and "
                    "convolutions to another optimizer, such as AdamW"
                )

    def slots(self, parameter: Tensor, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def factors(self, group: Group, clock: Clock) -> Scalars:
        lr, momentum = group["lr"], group["momentum"]
        numbers = *group["ns_coefficients"], group["eps"]  # a tuple: in the iteration's precision
        return lr, momentum, 1.0 - momentum, 1.0 - lr * group["weight_decay"], numbers

    def update(
        self, parameter: Tensor, grad: Tensor, state: State, group: Group, factors: Scalars
    ) -> Tensor:
        lr, momentum, fresh, left, numbers = factors
        held = state["momentum_buffer"] = drawn(state["momentum_buffer"], grad, fresh)
        step = grad + (held - grad) * momentum if group["nesterov"] else held
        *coefficients, eps = (number.to(float32) for number in numbers)
        step = orthogonal(step, coefficients, group["ns_steps"], eps)
        adjusted = lr * ADJUSTED[group["adjust_lr_fn"]](*parameter.shape)
        return parameter * left - step.to(parameter.dtype) * adjusted


ADJUSTED: dict[str | None, Callable[[int, int], float]] = {
    None: lambda rows, columns: math.sqrt(max(1.0, rows / columns)),
    "original": lambda rows, columns: math.sqrt(max(1.0, rows / columns)),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
}


def orthogonal(
    matrix: Tensor, coefficients: Sequence[Tensor | float], steps: int, eps: Tensor | float
) -> Tensor:
    """About U V^T of a matrix U S V^T: Newton and Schulz's iteration, whose polynomial draws all
    singular values to about one. Rounded to bfloat16 where PyTorch does; sums are float32.

    Example:
        >>> import ambos as am
        >>> orthogonal(am.eye(2) * 5, (3.4445, -4.775, 2.0315), 5, 1e-7).numpy().round(2)[0]
        array([1.12, 0.  ], dtype=float32)
    """
    a, b, c = coefficients
    wide = matrix.shape[0] <= matrix.shape[1]
    x = _rounded(matrix if wide else matrix.T)
    x = _rounded(x / _rounded((x * x).sum().sqrt()).maximum(eps))
    for _ in range(steps):
        gram = _rounded(x @ x.T)
        polynomial = _rounded(gram * b + (gram @ gram) * c)
        x = _rounded(x * a + polynomial @ x)
    return x if wide else x.T


def _rounded(x: Tensor) -> Tensor:
    return x.to(bfloat16).to(float32)
