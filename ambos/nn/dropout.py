"""Dropout as layers: noise in training, the input otherwise."""

from __future__ import annotations

from ambos.core.arguments import share
from ambos.nn import functional as F
from ambos.nn.layer import layer
from ambos.nn.module import Module
from ambos.tensor.handle import Tensor


@layer
class _Dropout(Module):
    p: float = 0.5
    inplace: bool = False

    def __post_init__(self) -> None:
        self.p = share(f"{type(self).__name__}: p", self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, zeros with probability `p`, the rest divided by 1 - p; otherwise the input.

    Errors: ArgumentError unless 0 <= p <= 1; DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> Dropout(0.5).eval()(am.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)


class Dropout1d(_Dropout):
    """Dropout of whole channels of sequences.

    Shapes: (N, C, L) or (C, L), kept.
    Errors: as Dropout; ShapeError for another shape.

    Example:
        >>> Dropout1d(0.2)
        Dropout1d(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training)


class Dropout2d(_Dropout):
    """Dropout of whole channels of images.

    Shapes: (N, C, H, W) or (N, C, L), kept.
    Errors: as Dropout; ShapeError for another shape.

    Example:
        >>> Dropout2d(0.2)
        Dropout2d(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training)


class Dropout3d(_Dropout):
    """Dropout of whole channels of volumes.

    Shapes: (N, C, D, H, W) or (C, D, H, W), kept.
    Errors: as Dropout; ShapeError for another shape.

    Example:
        >>> Dropout3d(0.2)
        Dropout3d(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1: what is dropped becomes the least value of SELU.

    Errors: as Dropout.
    Source: Klambauer, Unterthiner, Mayr, Hochreiter (2017), "Self-normalizing neural networks".

    Example:
        >>> AlphaDropout(0.2)
        AlphaDropout(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels.

    Errors: as Dropout.

    Example:
        >>> FeatureAlphaDropout(0.2)
        FeatureAlphaDropout(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training)
