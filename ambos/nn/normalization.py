"""Normalisation over the batch, and over each example's channels, with running statistics."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape
from ambos.nn import functional as F
from ambos.nn import init
from ambos.nn.functional.shared import as_tensor, channels_first
from ambos.nn.lazy import open_parameter
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter, UninitializedBuffer, unset
from ambos.tensor.handle import Tensor
from ambos.tensor.tracing import current


class Norm(Module):
    """What the layers share: a weight, a bias and running statistics for each channel."""

    ranks: ClassVar[tuple[int, ...]]
    layout: ClassVar[str]
    may_lack = ("num_batches_tracked",)  # states from before there was such a count
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int | None,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = 0 if num_features is None else positive("num_features", num_features)
        if not eps > 0:
            raise ArgumentError(f"{self.kind}: eps is {eps!r}; need a positive number")
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        is_open = num_features is None

        def per_channel() -> Parameter:
            if is_open:
                return open_parameter((None,), device, dtype)
            return unset((self.num_features,), device, dtype)

        def statistic() -> Tensor:
            if is_open:
                return UninitializedBuffer(dtype or "float32", (None,))
            return per_channel().detach()

        self.register_parameter("weight", per_channel() if affine else None)
        self.register_parameter("bias", per_channel() if affine and bias else None)
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, statistic() if track_running_stats else None)
        count = Tensor(np.asarray(0, np.int64)) if track_running_stats else None
        self.register_buffer("num_batches_tracked", count)
        if not is_open:
            self.reset_parameters()

    def reset_running_stats(self) -> None:
        """As before the first batch: mean 0 and variance 1."""
        if self.running_mean is not None and self.running_var is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.data = Tensor(np.asarray(0, np.int64))

    def reset_parameters(self) -> None:
        """Weights 1, biases 0, and no statistics yet."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def features_of(self, x: Tensor) -> int:
        """The number of channels of an input."""
        if x.ndim not in self.ranks:
            raise ShapeError(f"{self.kind}: got {tuple(x.shape)}; need {self.layout}")
        return int(x.shape[1])

    @property
    def kind(self) -> str:
        return type(self).__name__.removeprefix("Lazy")

    def _checked(self, input: Any) -> Tensor:
        x = as_tensor(input)
        found = self.features_of(x)
        if found != self.num_features:
            raise ShapeError(
                f"{self.kind}: got {found} channels in {tuple(x.shape)}; the layer has "
                f"num_features={self.num_features}{channels_first(x, 1, self.num_features)}; use "
                f"nn.{self.kind}({found})"
            )
        return x

    def features_in(self, shape: Shape) -> int:
        """The number of channels of a weight."""
        return shape[0]

    def settle(self, features: int) -> dict[str, Shape]:
        """Take over the number of channels; the shapes of the tensors."""
        self.num_features = features
        return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (features,))

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(Norm):
    def forward(self, input: Tensor) -> Tensor:
        x = self._checked(input)
        use_batch = self.training or self.running_mean is None
        momentum: float | Tensor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            count = self._counted(self.num_batches_tracked)
            if self.momentum is None:  # the plain average of all batches so far
                momentum = 1.0 / count
        known = not use_batch or (self.training and self.track_running_stats)
        return F.batch_norm(
            x,
            self.running_mean if known else None,
            self.running_var if known else None,
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


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of volumes.

    Shapes: (N, num_features, D, H, W), kept.
    Errors: ShapeError for another shape, and for one value per channel in training.
    Source: Ioffe and Szegedy (2015), "Batch normalization".

    Example:
        >>> import ambos as am
        >>> BatchNorm3d(3)(am.ones(2, 3, 4, 4, 4)).shape
        (2, 3, 4, 4, 4)
    """

    ranks, layout = (5,), "(batch, channels, depth, height, width)"


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation of anything, by the statistics of all processes. There is one.

    Shapes: (N, num_features, ...), kept.
    Errors: ShapeError for another shape, and for one value per channel in training.
    Source: Ioffe and Szegedy (2015), "Batch normalization".

    Example:
        >>> import ambos as am
        >>> net = am.nn.Sequential(am.nn.Conv2d(3, 4, 3), am.nn.BatchNorm2d(4))
        >>> type(SyncBatchNorm.convert_sync_batchnorm(net)[1]).__name__
        'SyncBatchNorm'
    """

    ranks, layout = tuple(range(2, 65)), "(batch, channels, ...)"

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """`module` with one of these in the place of every BatchNorm, with its tensors."""
        result: Module = module
        if isinstance(module, _BatchNorm):
            result = cls(
                module.num_features, module.eps, module.momentum, module.affine,
                module.track_running_stats, process_group,
            )  # fmt: skip
            result.train(module.training)
            for name, parameter in module._parameters.items():
                result.register_parameter(name, parameter)
            for name, buffer in module._buffers.items():
                result.register_buffer(name, buffer)
        for name, child in [*module.named_children()]:
            result.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return result


class _InstanceNorm(Norm):
    def __init__(
        self,
        num_features: int | None,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def features_of(self, x: Tensor) -> int:
        """The number of channels of an input, which may be without a batch."""
        if x.ndim not in self.ranks:
            raise ShapeError(f"{self.kind}: got {tuple(x.shape)}; need {self.layout}")
        return int(x.shape[x.ndim - max(self.ranks) + 1])

    def forward(self, input: Tensor) -> Tensor:
        x = self._checked(input)
        alone = x.ndim < max(self.ranks)
        result = F.instance_norm(
            x[None] if alone else x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return result[0] if alone else result


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each of the sequences with mean 0 and variance 1.

    Shapes: (N, num_features, L) or (num_features, L), kept.
    Errors: ShapeError for another shape, and for one value per channel in training.
    Source: Ulyanov, Vedaldi, Lempitsky (2016), "Instance normalization".

    Example:
        >>> import ambos as am
        >>> InstanceNorm1d(3)(am.ones(2, 3, 4)).shape
        (2, 3, 4)
    """

    ranks, layout = (2, 3), "(batch, channels, length) or (channels, length)"


class InstanceNorm2d(_InstanceNorm):
    """Each channel of each of the images with mean 0 and variance 1.

    Shapes: (N, num_features, H, W) or (num_features, H, W), kept.
    Errors: ShapeError for another shape, and for one value per channel in training.
    Source: Ulyanov, Vedaldi, Lempitsky (2016), "Instance normalization".

    Example:
        >>> import ambos as am
        >>> InstanceNorm2d(3)(am.ones(2, 3, 4, 4)).shape
        (2, 3, 4, 4)
    """

    ranks, layout = (3, 4), "(batch, channels, height, width) or (channels, height, width)"


class InstanceNorm3d(_InstanceNorm):
    """Each channel of each of the volumes with mean 0 and variance 1.

    Shapes: (N, num_features, D, H, W) or (num_features, D, H, W), kept.
    Errors: ShapeError for another shape, and for one value per channel in training.
    Source: Ulyanov, Vedaldi, Lempitsky (2016), "Instance normalization".

    Example:
        >>> import ambos as am
        >>> InstanceNorm3d(3)(am.ones(2, 3, 4, 4, 4)).shape
        (2, 3, 4, 4, 4)
    """

    ranks, layout = (
        (4, 5),
        "(batch, channels, depth, height, width) or (channels, depth, height, width)",
    )
