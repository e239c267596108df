"""Losses of numbers: how far a prediction is from its target."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

from ambos.core.arguments import number
from ambos.nn import functional as F
from ambos.nn.layer import layer
from ambos.nn.loss import Loss
from ambos.tensor.handle import Tensor


@layer
class MSELoss(Loss):
    """Squared differences.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> MSELoss()(am.tensor([1.0, 2.0]), am.tensor([1.0, 4.0]))
        tensor(2.)
    """

    reduction: str = "mean"

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.mse_loss(input, target, self.reduction)


@layer
class L1Loss(Loss):
    """Absolute differences.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> L1Loss()(am.tensor([1.0, 2.0]), am.tensor([1.0, 4.0]))
        tensor(1.)
    """

    reduction: str = "mean"

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.l1_loss(input, target, self.reduction)


@layer
class SmoothL1Loss(Loss):
    """Absolute differences, and squared ones (over 2 beta) where they are below `beta`.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> SmoothL1Loss(reduction="none")(am.ones(2, 3), am.ones(2, 3)).shape
        (2, 3)
    """

    reduction: str = "mean"
    beta: float = 1.0

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)


@layer
class HuberLoss(Loss):
    """Half the squared differences, and absolute ones (times delta) above `delta`.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> HuberLoss(reduction="none")(am.ones(2, 3), am.ones(2, 3)).shape
        (2, 3)
    """

    reduction: str = "mean"
    delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.delta = number("HuberLoss: delta", self.delta)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.huber_loss(input, target, self.reduction, self.delta)


@layer
class PoissonNLLLoss(Loss):
    """Minus the log-likelihood of counts; the input is a rate, or the logarithm of one.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> PoissonNLLLoss(reduction="none")(am.ones(2, 3), am.ones(2, 3)).shape
        (2, 3)
    """

    log_input: bool = True
    full: bool = False
    eps: float = 1e-8
    reduction: str = "mean"

    def forward(self, log_input: Tensor, target: Any) -> Tensor:
        return F.poisson_nll_loss(
            log_input, target, self.log_input, self.full, self.eps, self.reduction
        )


@layer
class GaussianNLLLoss(Loss):
    """Minus the log-likelihood of normal numbers; `var` are their variances.

    Errors: ShapeError where the shapes differ; ArgumentError for a negative variance.

    Example:
        >>> import ambos as am
        >>> GaussianNLLLoss(reduction="none")(am.ones(2, 3), am.ones(2, 3), am.ones(2, 3)).shape
        (2, 3)
    """

    _: KW_ONLY
    full: bool = False
    eps: float = 1e-6
    reduction: str = "mean"

    def forward(self, input: Tensor, target: Any, var: Any) -> Tensor:
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)
