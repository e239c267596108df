"""Losses as modules."""

from __future__ import annotations

from typing import Any

from ambos.nn import functional as F
from ambos.nn.module import Module
from ambos.tensor.handle import Tensor


class CrossEntropyLoss(Module):
    """Cross entropy of logits against class indices or probabilities.

    Errors: ShapeError, DTypeError, IndexingError for a target that is no class.

    Example:
        >>> import ambos as am
        >>> CrossEntropyLoss()(am.tensor([[0.0, 0.0]]), am.tensor([1]))
        tensor(0.6931)
    """

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", None if weight is None else Tensor(weight))
        self.ignore_index, self.reduction = ignore_index, reduction
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class NLLLoss(Module):
    """Minus the log-probability of the target's classes.

    Errors: ShapeError, DTypeError, IndexingError for a target that is no class.

    Example:
        >>> import ambos as am
        >>> NLLLoss()(am.tensor([[-1.0, -2.0]]), am.tensor([1]))
        tensor(2.)
    """

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.register_buffer("weight", None if weight is None else Tensor(weight))
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class MSELoss(Module):
    """Squared differences.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> MSELoss()(am.tensor([1.0, 2.0]), am.tensor([1.0, 4.0]))
        tensor(2.)
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.mse_loss(input, target, self.reduction)


class L1Loss(Module):
    """Absolute differences.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> L1Loss()(am.tensor([1.0, 2.0]), am.tensor([1.0, 4.0]))
        tensor(1.)
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.l1_loss(input, target, self.reduction)


class BCEWithLogitsLoss(Module):
    """Cross entropy of yes-or-no logits.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> BCEWithLogitsLoss()(am.tensor([0.0]), am.tensor([1.0]))
        tensor(0.6931)
    """

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__()
        self.register_buffer("weight", None if weight is None else Tensor(weight))
        self.register_buffer("pos_weight", None if pos_weight is None else Tensor(pos_weight))
        self.reduction = reduction

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, self.reduction, self.pos_weight
        )
