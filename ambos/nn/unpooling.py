"""Poolings back, and poolings over windows drawn at random, as layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ambos.core.errors import ArgumentError
from ambos.nn import functional as F
from ambos.nn.functional.shared import per_axis
from ambos.nn.layer import Sizes, layer
from ambos.nn.module import Module
from ambos.tensor.handle import Tensor

Function = Callable[..., Any]


@layer
class _MaxUnpool(Module):
    kernel_size: Sizes
    stride: Sizes | None = None
    padding: Sizes = 0

    rank: ClassVar[int]
    unpool: ClassVar[Function]

    def __post_init__(self) -> None:
        kind = type(self).__name__
        kernel = per_axis(kind, "kernel_size", self.kernel_size, self.rank)
        step, self.kernel_size = self.stride, kernel
        self.stride = kernel if step is None else per_axis(kind, "stride", step, self.rank)
        self.padding = per_axis(kind, "padding", self.padding, self.rank, least=0)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Any:
        return type(self).unpool(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool1d(_MaxUnpool):
    """The way back from MaxPool1d: its results where its indices say, zeros elsewhere.

    Shapes: (N, C, L) and indices of that shape to (N, C, L'), or without N.
    Errors: ShapeError, ArgumentError; IndexingError for an index outside.

    Example:
        >>> MaxUnpool1d(2)
        MaxUnpool1d(kernel_size=(2,), stride=(2,), padding=(0,))
    """

    rank, unpool = 1, staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """The way back from MaxPool2d: its results where its indices say, zeros elsewhere.

    Shapes: (N, C, H, W) and indices of that shape to (N, C, H', W'), or without N.
    Errors: ShapeError, ArgumentError; IndexingError for an index outside.

    Example:
        >>> MaxUnpool2d(2)
        MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))
    """

    rank, unpool = 2, staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """The way back from MaxPool3d: its results where its indices say, zeros elsewhere.

    Shapes: (N, C, D, H, W) and indices of that shape to (N, C, D', H', W'), or without N.
    Errors: ShapeError, ArgumentError; IndexingError for an index outside.

    Example:
        >>> MaxUnpool3d(2)
        MaxUnpool3d(kernel_size=(2, 2, 2), stride=(2, 2, 2), padding=(0, 0, 0))
    """

    rank, unpool = 3, staticmethod(F.max_unpool3d)


@layer
class _FractionalMaxPool(Module):
    kernel_size: Sizes
    output_size: Sizes | None = None
    output_ratio: float | Sequence[float] | None = None
    return_indices: bool = False
    _random_samples: Any = None

    rank: ClassVar[int]
    pool: ClassVar[Function]

    def __post_init__(self) -> None:
        kind, rank = type(self).__name__, self.rank
        self.kernel_size = per_axis(kind, "kernel_size", self.kernel_size, rank)
        samples = self._random_samples
        del self._random_samples  # the setting makes way for the buffer of its name
        self.register_buffer("_random_samples", None if samples is None else Tensor(samples))
        if (self.output_size is None) == (self.output_ratio is None):
            raise ArgumentError(f"{kind}: need either output_size or output_ratio")
        if self.output_size is not None:
            self.output_size = per_axis(kind, "output_size", self.output_size, rank)
        if isinstance(self.output_ratio, float):
            self.output_ratio = (self.output_ratio,) * rank
        ratios = self.output_ratio
        if ratios is not None and not all(0 < float(ratio) < 1 for ratio in ratios):
            raise ArgumentError(f"{kind}: output_ratio is {ratios}; need numbers between 0 and 1")

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
            self._random_samples,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return ""


class FractionalMaxPool2d(_FractionalMaxPool):
    """The largest element of images in windows that are drawn at random at each call.

    Shapes: (N, C, H, W) to (N, C, *output_size), or without N.
    Errors: ShapeError, ArgumentError.
    Source: Graham (2014), "Fractional max-pooling".

    Example:
        >>> import ambos as am
        >>> FractionalMaxPool2d(2, output_size=3)(am.ones(1, 2, 6, 6)).shape
        (1, 2, 3, 3)
    """

    rank, pool = 2, staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPool):
    """The largest element of volumes in windows that are drawn at random at each call.

    Shapes: (N, C, D, H, W) to (N, C, *output_size), or without N.
    Errors: ShapeError, ArgumentError.
    Source: Graham (2014), "Fractional max-pooling".

    Example:
        >>> import ambos as am
        >>> FractionalMaxPool3d(2, output_size=3)(am.ones(1, 2, 6, 6, 6)).shape
        (1, 2, 3, 3, 3)
    """

    rank, pool = 3, staticmethod(F.fractional_max_pool3d)
