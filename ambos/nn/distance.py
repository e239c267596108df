"""Distances between vectors as layers."""

from __future__ import annotations

from ambos.nn import functional as F
from ambos.nn.layer import layer
from ambos.nn.module import Module
from ambos.tensor.handle import Tensor


@layer
class CosineSimilarity(Module):
    """The cosine of the angle between vectors along `dim`.

    Shapes: two that broadcast, to theirs without `dim`.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> CosineSimilarity()(am.ones(2, 3), am.ones(2, 3)).shape
        (2,)
    """

    dim: int = 1
    eps: float = 1e-8

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)

    def extra_repr(self) -> str:
        return ""


@layer
class PairwiseDistance(Module):
    """The p-norm of the differences of vectors along the last axis.

    Shapes: two that broadcast, to theirs without the last axis (of size 1 with `keepdim`).
    Errors: ShapeError.

    Example:
        >>> import ambos as am
        >>> PairwiseDistance()(am.ones(2, 3), am.ones(2, 3)).shape
        (2,)
    """

    p: float = 2.0
    eps: float = 1e-6
    keepdim: bool = False

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)

    def extra_repr(self) -> str:
        return ""
