"""Losses with a margin, and of likeness: what differs is to be far apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Any

from ambos.nn import functional as F
from ambos.nn.distance import PairwiseDistance
from ambos.nn.layer import layer
from ambos.nn.loss import Loss
from ambos.tensor.handle import Tensor


@layer
class SoftMarginLoss(Loss):
    """log(1 + exp(-target * input)), the target being 1 or -1.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> SoftMarginLoss(reduction="none")(am.ones(2, 3), am.ones(2, 3)).shape
        (2, 3)
    """

    reduction: str = "mean"

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.soft_margin_loss(input, target, self.reduction)


@layer
class HingeEmbeddingLoss(Loss):
    """The input where the target is 1, how far it is below `margin` where it is -1.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> HingeEmbeddingLoss(reduction="none")(am.ones(2, 3), am.ones(2, 3)).shape
        (2, 3)
    """

    margin: float = 1.0
    reduction: str = "mean"

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.hinge_embedding_loss(input, target, self.margin, self.reduction)


@layer
class MarginRankingLoss(Loss):
    """How far `input1` lacks `margin` to rank above `input2` (target 1) or below (-1).

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> MarginRankingLoss(reduction="none")(am.ones(3), am.ones(3), am.ones(3)).shape
        (3,)
    """

    margin: float = 0.0
    reduction: str = "mean"

    def forward(self, input1: Tensor, input2: Tensor, target: Any) -> Tensor:
        return F.margin_ranking_loss(input1, input2, target, self.margin, self.reduction)


@layer
class CosineEmbeddingLoss(Loss):
    """1 - cosine of the vectors where the target is 1, cosine - margin, if above 0, where it is -1.

    Shapes: (N, D), (N, D), (N,).
    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> CosineEmbeddingLoss(reduction="none")(am.ones(2, 3), am.ones(2, 3), am.ones(2)).shape
        (2,)
    """

    margin: float = 0.0
    reduction: str = "mean"

    def forward(self, input1: Tensor, input2: Tensor, target: Any) -> Tensor:
        return F.cosine_embedding_loss(input1, input2, target, self.margin, self.reduction)


@layer
class TripletMarginLoss(Loss):
    """How far the negative lacks `margin` to be farther from the anchor than the positive.

    Shapes: (N, D) or (D,), three times.
    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> TripletMarginLoss(reduction="none")(am.ones(2, 3), am.ones(2, 3), am.ones(2, 3)).shape
        (2,)
    """

    margin: float = 1.0
    p: float = 2.0
    eps: float = 1e-6
    swap: bool = False
    reduction: str = "mean"

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, self.reduction
        )


@layer
class TripletMarginWithDistanceLoss(Loss):
    """TripletMarginLoss with a distance of one's own; PairwiseDistance where there is none.

    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> x = am.ones(2, 3)
        >>> TripletMarginWithDistanceLoss(reduction="none")(x, x, x).shape
        (2,)
    """

    _: KW_ONLY
    distance_function: Callable[[Any, Any], Tensor] | None = None
    margin: float = 1.0
    swap: bool = False
    reduction: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distance_function is None:
            self.distance_function = PairwiseDistance()

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_with_distance_loss(
            anchor, positive, negative, distance_function=self.distance_function,
            margin=self.margin, swap=self.swap, reduction=self.reduction,
        )  # fmt: skip


@layer
class MultiMarginLoss(Loss):
    """How far other classes lack `margin` to be below the target's, to the power `p`.

    Shapes: (N, C) and (N,).
    Errors: ShapeError, DTypeError, IndexingError for a target that is no class.

    Example:
        >>> import ambos as am
        >>> MultiMarginLoss(reduction="none")(am.ones(2, 3), am.tensor([0, 2])).shape
        (2,)
    """

    p: int = 1
    margin: float = 1.0
    weight: Any = None
    reduction: str = "mean"

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, self.reduction)


@layer
class MultiLabelMarginLoss(Loss):
    """How far other classes lack 1 to be below those of the target: indices, up to the first -1.

    Shapes: (N, C) and (N, C).
    Errors: ShapeError, DTypeError, IndexingError for a target that is no class.

    Example:
        >>> import ambos as am
        >>> MultiLabelMarginLoss(reduction="none")(am.ones(2, 3), am.ones(2, 3).long()).shape
        (2,)
    """

    reduction: str = "mean"

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.multilabel_margin_loss(input, target, self.reduction)


@layer
class MultiLabelSoftMarginLoss(Loss):
    """Cross entropies of yes-or-no logits, averaged over the classes.

    Shapes: (N, C) and (N, C).
    Errors: ShapeError where the shapes differ; ArgumentError for another `reduction`.

    Example:
        >>> import ambos as am
        >>> MultiLabelSoftMarginLoss(reduction="none")(am.ones(2, 3), am.ones(2, 3)).shape
        (2,)
    """

    weight: Any = None
    reduction: str = "mean"

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.multilabel_soft_margin_loss(input, target, self.weight, self.reduction)
