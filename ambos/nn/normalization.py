"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ambos.core.arguments import positive
from ambos.core.errors import ShapeError
from ambos.nn import functional as F
from ambos.nn.functional.shared import as_tensor
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter
from ambos.tensor.handle import Tensor
from ambos.tensor.tracing import current


class _BatchNorm(Module):
    ranks: ClassVar[tuple[int, ...]]
    layout: ClassVar[str]
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = positive("num_features", num_features)
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        ones, zeros = np.ones(num_features, np.float32), np.zeros(num_features, np.float32)
        self.register_parameter("weight", Parameter(Tensor(ones)) if affine else None)
        self.register_parameter("bias", Parameter(Tensor(zeros)) if affine else None)
        track = track_running_stats
        self.register_buffer("running_mean", Tensor(zeros) if track else None)
        self.register_buffer("running_var", Tensor(ones) if track else None)
        count = Tensor(np.asarray(0, np.int64)) if track else None
        self.register_buffer("num_batches_tracked", count)

    def forward(self, x: Tensor) -> Tensor:
        kind, x = type(self).__name__, as_tensor(x)
        if x.ndim not in self.ranks:
            raise ShapeError(f"{kind}: got {tuple(x.shape)}; need {self.layout}")
        if x.shape[1] != self.num_features:
            raise ShapeError(
                f"{kind}: got {x.shape[1]} channels in {tuple(x.shape)}; the layer has "
                f"num_features={self.num_features}; use nn.{kind}({x.shape[1]})"
            )
        use_batch = self.training or self.running_mean is None
        momentum: float | Tensor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            count = self._counted(self.num_batches_tracked)
            if self.momentum is None:  # the plain average of all batches so far
                momentum = 1.0 / count
        update = self.training and self.track_running_stats
        return F.batch_norm(
            x,
            self.running_mean if update or not use_batch else None,
            self.running_var if update or not use_batch else None,
            self.weight,
            self.bias,
            use_batch,
            momentum,
            self.eps,
        )

    @staticmethod
    def _counted(tracked: Tensor) -> float | Tensor:
        """One batch more."""
        if current.trace is not None:
            tracked.data = tracked + 1
            return tracked.float()
        # Counted in Python: nothing else depends on it, so that as an expression it would stay
        # pending and grow by one node a step.
        count = tracked.item() + 1
        tracked.data = Tensor(np.asarray(count, np.int64))
        return count

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of features or sequences.

    Shapes: (N, num_features) or (N, num_features, L), kept.
    Errors: ShapeError for another shape, and for one value per channel in training.
    Source: Ioffe and Szegedy (2015), "Batch normalization".

    Example:
        >>> import ambos as am
        >>> BatchNorm1d(2)(am.tensor([[1.0, 5.0], [3.0, 5.0]])).numpy().round(3)
        array([[-1.,  0.],
               [ 1.,  0.]], dtype=float32)
    """

    ranks, layout = (2, 3), "(batch, features) or (batch, features, length)"


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images.

    Shapes: (N, num_features, H, W), kept.
    Errors: ShapeError for another shape, and for one value per channel in training.
    Source: Ioffe and Szegedy (2015), "Batch normalization".

    Example:
        >>> import ambos as am
        >>> BatchNorm2d(3)(am.ones(2, 3, 4, 4)).shape
        (2, 3, 4, 4)
    """

    ranks, layout = (4,), "(batch, channels, height, width)"


class LayerNorm(Module):
    """Each example's last axes with mean 0 and variance 1, then scaled and shifted.

    Shapes: (..., *normalized_shape), kept.
    Errors: ShapeError where the input does not end in `normalized_shape`.
    Source: Ba, Kiros, Hinton (2016), "Layer normalization".

    Example:
        >>> import ambos as am
        >>> LayerNorm(2, eps=0.0)(am.tensor([[1.0, 3.0]])).numpy()
        array([[-1.,  1.]], dtype=float32)
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        one = isinstance(normalized_shape, int)
        sizes = [normalized_shape] if one else normalized_shape
        self.normalized_shape = tuple(positive("normalized_shape", n) for n in sizes)  # type: ignore[union-attr]
        self.eps, self.elementwise_affine = eps, elementwise_affine
        ones = np.ones(self.normalized_shape, np.float32)
        scale = Parameter(Tensor(ones)) if elementwise_affine else None
        shift = Parameter(Tensor(ones * 0)) if elementwise_affine and bias else None
        self.register_parameter("weight", scale)
        self.register_parameter("bias", shift)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )
