"""Losses between numbers, and between a distribution's parameters and what was drawn from it.

A prediction is never broadcast against its target.
"""

from __future__ import annotations

import math
from typing import Any

from ambos.core.errors import ArgumentError, ShapeError
from ambos.nn.functional.shared import check_reduction, inexact, loss_of, prediction_and_target
from ambos.tensor.checks import require_between
from ambos.tensor.handle import Tensor
from ambos.tensor.movement import broadcast_to
from ambos.tensor.pointwise import where
from ambos.tensor.special.functions import xlogy


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Squared differences up to beta (over 2 beta), straight lines beyond.

    Shapes: input and target alike.
    Errors: ShapeError where the shapes differ; ArgumentError for a negative beta.
    Source: Girshick (2015), "Fast R-CNN".

    Example:
        >>> import ambos as am
        >>> smooth_l1_loss(am.tensor([1.0, 2.0]), am.tensor([1.0, 4.0]), "none").tolist()
        [0.0, 1.5]
    """
    x, t = prediction_and_target("smooth_l1_loss", input, target)
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: beta is {beta}; need at least 0")
    away = x - t
    size = away.abs()
    if beta == 0:
        return loss_of("smooth_l1_loss", size, reduction)
    bent = away * away * (0.5 / beta)
    return loss_of("smooth_l1_loss", where(size < beta, bent, size - 0.5 * beta), reduction)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Half the squared difference up to delta, straight lines of slope delta beyond.

    Shapes: input and target alike.
    Errors: ShapeError where the shapes differ; ArgumentError unless delta is positive.
    Source: Huber (1964), "Robust estimation of a location parameter".

    Example:
        >>> import ambos as am
        >>> huber_loss(am.tensor([1.0, 2.0]), am.tensor([1.0, 5.0]), "none", 2.0).tolist()
        [0.0, 4.0]
    """
    x, t = prediction_and_target("huber_loss", input, target)
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta is {delta}; need a positive number")
    away = x - t
    size = away.abs()
    loss = where(size <= delta, away * away * 0.5, (size - 0.5 * delta) * delta)
    return loss_of("huber_loss", loss, reduction)


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """target * (log(target) - input), summed: how far the distribution of logarithms `input` is
    from the target's. `reduction="batchmean"` is what the mathematics asks for.

    Shapes: input and target alike.
    Errors: ShapeError where the shapes differ; ArgumentError for another reduction.
    Source: Kullback and Leibler (1951), "On information and sufficiency".

    Example:
        >>> import ambos as am
        >>> half = am.tensor([[0.5, 0.5]])
        >>> kl_div(half.log(), half, "batchmean").item()
        0.0
    """
    x, t = prediction_and_target("kl_div", input, target)
    check_reduction("kl_div", reduction, "batchmean")
    loss = t.exp() * (t - x) if log_target else xlogy(t, t) - t * x
    if reduction == "batchmean":
        return loss.sum() / (x.shape[0] if x.ndim else 1)
    return loss_of("kl_div", loss, reduction)


def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Minus the log-probability of counts under Poisson distributions whose means (or, with
    `log_input`, their logarithms) are the input. `full` adds Stirling's approximation of the term
    that depends on the target only.

    Shapes: input and target alike.
    Dtypes: integers are computed as float32.
    Errors: ShapeError where the shapes differ.

    Example:
        >>> import ambos as am
        >>> poisson_nll_loss(am.tensor([0.0]), am.tensor([3.0])).item()
        1.0
    """
    x, t = prediction_and_target("poisson_nll_loss", inexact(input), target)
    loss = x.exp() - t * x if log_input else x - t * (x + eps).log()
    if full:
        many = where(t > 1, t, 1.0)  # the logarithm of what is not chosen stays finite
        stirling = many * many.log() - many + 0.5 * (2 * math.pi * many).log()
        loss = loss + where(t > 1, stirling, 0.0)
    return loss_of("poisson_nll_loss", loss, reduction)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Minus the log-probability of the target under normal distributions with mean `input` and
    variance `var`, which counts as at least `eps` (its gradient goes on as if it did not). `full`
    adds log(2 pi) / 2.

    Shapes: input and target alike; var like them, or without the last axis, or with 1 there.
    Errors: ShapeError, where the shapes differ; ArgumentError for a negative variance.
    Source: Nix and Weigend (1994), "Estimating the mean and variance of the target distribution".

    Example:
        >>> import ambos as am
        >>> gaussian_nll_loss(am.tensor([1.0]), am.tensor([3.0]), am.tensor([1.0])).item()
        2.0
    """
    x, t = prediction_and_target("gaussian_nll_loss", input, target)
    check_reduction("gaussian_nll_loss", reduction)
    spread = _variance(var, x)
    low = spread < eps
    spread = where(low, eps + (spread - spread.detach()), spread)
    away = x - t
    loss = (spread.log() + away * away / spread) * 0.5
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return loss_of("gaussian_nll_loss", loss, reduction)


def _variance(var: Any, x: Tensor) -> Tensor:
    """`var` in the shape of `x`."""
    spread = (Tensor(var) if not isinstance(var, Tensor) else var).to(x.dtype)
    if spread._node.value is not None and bool((spread < 0).any()):
        raise ArgumentError("gaussian_nll_loss: var has a negative entry; need variances: square "
                            "standard deviations, or use exp of logarithms")  # fmt: skip
    if spread.ndim == 0 or spread.shape == x.shape:
        return broadcast_to(spread, x.shape)
    if spread.shape == x.shape[:-1]:
        spread = spread.unsqueeze(-1)
    if spread.ndim != x.ndim or sum(
        n for n, full in zip(spread.shape, x.shape, strict=True) if n != full
    ) > 1:  # fmt: skip
        raise ShapeError(f"gaussian_nll_loss: the prediction is {x.shape} and var {spread.shape}; "
                         f"need {x.shape}, {x.shape[:-1]}, or 1 in place of one axis")  # fmt: skip
    return broadcast_to(spread, x.shape)


def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """Cross entropy of probabilities of yes, against such probabilities. Logarithms count as at
    least -100, so that certain and wrong is finite. (`binary_cross_entropy_with_logits` is more
    accurate where the probabilities come from a sigmoid.)

    Shapes: input and target alike; weight broadcasts to them.
    Errors: ShapeError where the shapes differ; ArgumentError for known values outside [0, 1].
        Predictions still to be computed are not waited for: outside, the loss is NaN.

    Example:
        >>> import ambos as am
        >>> binary_cross_entropy(am.tensor([0.5, 0.0]), am.tensor([1.0, 1.0]), reduction="none")
        tensor([  0.6931, 100.    ])
    """
    x, t = prediction_and_target("binary_cross_entropy", input, target)
    hint = " (of logits am.nn.functional.binary_cross_entropy_with_logits is the loss)"
    for name, value, fix in (("input", x, hint), ("target", t, "")):
        start = f"binary_cross_entropy: a value of {name} is "
        require_between(value._node, 0, 1, False, start, f"; need 0 <= {name} <= 1{fix}")
    loss = -(t * _bounded_log(x) + (1 - t) * _bounded_log(1 - x))
    if weight is not None:
        loss = loss * broadcast_to(weight, x.shape)
    return loss_of("binary_cross_entropy", loss, reduction)


def _bounded_log(x: Tensor) -> Tensor:
    """log(x), at least -100, with a slope of at most 1e12: at 0 it still says which way to go."""
    near = x < 1e-12
    value = where(near, 1.0, x).log()
    line = x.detach().log().clamp_min(-100.0) + (x - x.detach()) * 1e12
    return where(near, line, value)
