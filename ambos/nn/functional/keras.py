"""Losses that Keras has and PyTorch has not, in PyTorch's order: input, target, reduction.

A prediction is never broadcast against its target.
"""

from __future__ import annotations

import math
from typing import Any

from ambos.nn.functional.shared import loss_of, prediction_and_target
from ambos.nn.functional.smooth import softplus
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where

EPSILON = 1e-7  # Keras's own


def absolute_percentage_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """100 * |target - input| / |target|; targets nearer to 0 than 1e-7 count as 1e-7.

    Shapes: input and target alike.
    Errors: ShapeError where the shapes differ; ArgumentError for another reduction.
    Source: Keras, `losses.MeanAbsolutePercentageError`.

    Example:
        >>> import ambos as am
        >>> absolute_percentage_loss(am.tensor([1.0, 3.0]), am.tensor([2.0, 4.0]), "none").tolist()
        [50.0, 25.0]
    """
    x, t = prediction_and_target("absolute_percentage_loss", input, target)
    share = (t - x).abs() / t.abs().clip(EPSILON)
    return loss_of("absolute_percentage_loss", 100.0 * share, reduction)


def squared_logarithmic_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """(log(1 + target) - log(1 + input)) ** 2; numbers below 1e-7 count as 1e-7.

    Shapes: input and target alike.
    Errors: ShapeError where the shapes differ; ArgumentError for another reduction.
    Source: Keras, `losses.MeanSquaredLogarithmicError`.

    Example:
        >>> import ambos as am
        >>> squared_logarithmic_loss(am.tensor([3.0]), am.tensor([3.0]), "none").tolist()
        [0.0]
    """
    x, t = prediction_and_target("squared_logarithmic_loss", input, target)
    away = x.clip(EPSILON).log1p() - t.clip(EPSILON).log1p()
    return loss_of("squared_logarithmic_loss", away * away, reduction)


def log_cosh_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """log(cosh(input - target)): half the square of small differences, straight lines beyond.

    Shapes: input and target alike.
    Errors: ShapeError where the shapes differ; ArgumentError for another reduction.
    Source: Keras, `losses.LogCosh`.

    Example:
        >>> import ambos as am
        >>> log_cosh_loss(am.tensor([2.0, 200.0]), am.tensor([2.0, 0.0]), "none").numpy().round(2)
        array([  0.  , 199.31], dtype=float32)
    """
    x, t = prediction_and_target("log_cosh_loss", input, target)
    away = (x - t).abs()
    return loss_of("log_cosh_loss", away + softplus(-2.0 * away) - math.log(2.0), reduction)


def hinge_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """max(1 - target * input, 0) of scores; a target is 1, or -1 or 0 for the other class.

    Shapes: input and target alike.
    Errors: ShapeError where the shapes differ; ArgumentError for another reduction.
    Source: Keras, `losses.Hinge`; here 0 is -1 one by one, there only in a target without -1.

    Example:
        >>> import ambos as am
        >>> hinge_loss(am.tensor([0.5, 0.5, 3.0]), am.tensor([1.0, 0.0, 1.0]), "none").tolist()
        [0.5, 1.5, 0.0]
    """
    return loss_of("hinge_loss", _short_of_one("hinge_loss", input, target), reduction)


def squared_hinge_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """max(1 - target * input, 0) ** 2 of scores; a target is 1, or -1 or 0 for the other class.

    Shapes: input and target alike.
    Errors: ShapeError where the shapes differ; ArgumentError for another reduction.
    Source: Keras, `losses.SquaredHinge`.

    Example:
        >>> import ambos as am
        >>> squared_hinge_loss(am.tensor([0.5, 0.5]), am.tensor([1.0, 0.0]), "none").tolist()
        [0.25, 2.25]
    """
    short = _short_of_one("squared_hinge_loss", input, target)
    return loss_of("squared_hinge_loss", short * short, reduction)


def _short_of_one(op: str, input: Any, target: Any) -> Tensor:
    x, t = prediction_and_target(op, input, target)
    return (1.0 - where(t == 0, -1.0, t) * x).clip(0.0)
