"""Poolings as layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ambos.core.arguments import number
from ambos.nn import functional as F
from ambos.nn.functional.shared import per_axis
from ambos.nn.layer import Sizes, layer
from ambos.nn.module import Module
from ambos.tensor.handle import Tensor

Cells = int | Sequence[int | None] | None
Function = Callable[..., Any]


@layer
class _MaxPool(Module):
    kernel_size: Sizes
    stride: Sizes | None = None
    padding: Sizes = 0
    dilation: Sizes = 1
    return_indices: bool = False
    ceil_mode: bool = False

    pool: ClassVar[Function]

    def __post_init__(self) -> None:
        if self.stride is None:
            self.stride = self.kernel_size

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window of sequences; with `return_indices` also where it is.

    Shapes: (N, C, L) to (N, C, L'), or without N.
    Errors: ShapeError where a window is larger than the input; ArgumentError.

    Example:
        >>> import ambos as am
        >>> MaxPool1d(2)(am.ones(1, 3, 8)).shape
        (1, 3, 4)
    """

    pool = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest element of each window of images; with `return_indices` also where it is.

    Shapes: (N, C, H, W) to (N, C, H', W'), or without N.
    Errors: ShapeError where a window is larger than the input; ArgumentError.

    Example:
        >>> import ambos as am
        >>> MaxPool2d(2)(am.ones(1, 3, 8, 6)).shape
        (1, 3, 4, 3)
    """

    pool = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """The largest element of each window of volumes; with `return_indices` also where it is.

    Shapes: (N, C, D, H, W) to (N, C, D', H', W'), or without N.
    Errors: ShapeError where a window is larger than the input; ArgumentError.

    Example:
        >>> import ambos as am
        >>> MaxPool3d(2)(am.ones(1, 3, 8, 6, 4)).shape
        (1, 3, 4, 3, 2)
    """

    pool = staticmethod(F.max_pool3d)


class _AvgPool(Module):
    kernel_size: Sizes
    stride: Sizes | None
    padding: Sizes

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


@layer
class AvgPool1d(_AvgPool):
    """The average of each window of sequences.

    Shapes: (N, C, L) to (N, C, L'), or without N.
    Errors: ShapeError where a window is larger than the input; ArgumentError.

    Example:
        >>> import ambos as am
        >>> AvgPool1d(2)(am.ones(1, 3, 8)).shape
        (1, 3, 4)
    """

    kernel_size: Sizes
    stride: Sizes | None = None
    padding: Sizes = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    def __post_init__(self) -> None:
        kernel = per_axis("AvgPool1d", "kernel_size", self.kernel_size, 1)
        step = self.stride
        self.kernel_size = kernel
        self.stride = kernel if step is None else per_axis("AvgPool1d", "stride", step, 1)
        self.padding = per_axis("AvgPool1d", "padding", self.padding, 1, least=0)

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad,
        )  # fmt: skip


@layer
class _AvgPoolOver(_AvgPool):
    kernel_size: Sizes
    stride: Sizes | None = None
    padding: Sizes = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None

    pool: ClassVar[Function]

    def __post_init__(self) -> None:
        if self.stride is None:
            self.stride = self.kernel_size

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip


class AvgPool2d(_AvgPoolOver):
    """The average of each window of images.

    Shapes: (N, C, H, W) to (N, C, H', W'), or without N.
    Errors: ShapeError where a window is larger than the input; ArgumentError.

    Example:
        >>> import ambos as am
        >>> AvgPool2d(2)(am.ones(1, 3, 8, 6)).shape
        (1, 3, 4, 3)
    """

    pool = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPoolOver):
    """The average of each window of volumes.

    Shapes: (N, C, D, H, W) to (N, C, D', H', W'), or without N.
    Errors: ShapeError where a window is larger than the input; ArgumentError.

    Example:
        >>> import ambos as am
        >>> AvgPool3d(2)(am.ones(1, 3, 8, 6, 4)).shape
        (1, 3, 4, 3, 2)
    """

    pool = staticmethod(F.avg_pool3d)


@layer
class _LPPool(Module):
    norm_type: float
    kernel_size: Sizes
    stride: Sizes | None = None
    ceil_mode: bool = False

    pool: ClassVar[Function]

    def __post_init__(self) -> None:
        number(f"{type(self).__name__}: norm_type", self.norm_type)

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool1d(_LPPool):
    """The norm of each window of sequences: the root of its sum of powers.

    Shapes: (N, C, L) to (N, C, L'), or without N.
    Errors: ShapeError where a window is larger than the input; ArgumentError.

    Example:
        >>> import ambos as am
        >>> LPPool1d(2, 2)(am.ones(1, 3, 8)).shape
        (1, 3, 4)
    """

    pool = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool):
    """The norm of each window of images: the root of its sum of powers.

    Shapes: (N, C, H, W) to (N, C, H', W'), or without N.
    Errors: ShapeError where a window is larger than the input; ArgumentError.

    Example:
        >>> import ambos as am
        >>> LPPool2d(2, 2)(am.ones(1, 3, 8, 6)).shape
        (1, 3, 4, 3)
    """

    pool = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPool):
    """The norm of each window of volumes: the root of its sum of powers.

    Shapes: (N, C, D, H, W) to (N, C, D', H', W'), or without N.
    Errors: ShapeError where a window is larger than the input; ArgumentError.

    Example:
        >>> import ambos as am
        >>> LPPool3d(2, 2)(am.ones(1, 3, 8, 6, 4)).shape
        (1, 3, 4, 3, 2)
    """

    pool = staticmethod(F.lp_pool3d)


@layer
class _AdaptiveAvgPool(Module):
    output_size: Cells

    pool: ClassVar[Function]

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Averages of sequences over a grid of `output_size` cells, whatever the input's size.

    Shapes: (N, C, L) to (N, C, *output_size), or without N; None keeps an axis.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> AdaptiveAvgPool1d(2)(am.ones(1, 3, 8)).shape
        (1, 3, 2)
    """

    pool = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Averages of images over a grid of `output_size` cells, whatever the input's size.

    Shapes: (N, C, H, W) to (N, C, *output_size), or without N; None keeps an axis.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> AdaptiveAvgPool2d(2)(am.ones(1, 3, 8, 6)).shape
        (1, 3, 2, 2)
    """

    pool = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Averages of volumes over a grid of `output_size` cells, whatever the input's size.

    Shapes: (N, C, D, H, W) to (N, C, *output_size), or without N; None keeps an axis.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> AdaptiveAvgPool3d(2)(am.ones(1, 3, 8, 6, 4)).shape
        (1, 3, 2, 2, 2)
    """

    pool = staticmethod(F.adaptive_avg_pool3d)


@layer
class _AdaptiveMaxPool(Module):
    output_size: Cells
    return_indices: bool = False

    pool: ClassVar[Function]

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest element of sequences in each cell of a grid of `output_size`.

    Shapes: (N, C, L) to (N, C, *output_size), or without N; None keeps an axis.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> AdaptiveMaxPool1d(2)(am.ones(1, 3, 8)).shape
        (1, 3, 2)
    """

    pool = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest element of images in each cell of a grid of `output_size`.

    Shapes: (N, C, H, W) to (N, C, *output_size), or without N; None keeps an axis.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> AdaptiveMaxPool2d(2)(am.ones(1, 3, 8, 6)).shape
        (1, 3, 2, 2)
    """

    pool = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest element of volumes in each cell of a grid of `output_size`.

    Shapes: (N, C, D, H, W) to (N, C, *output_size), or without N; None keeps an axis.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> AdaptiveMaxPool3d(2)(am.ones(1, 3, 8, 6, 4)).shape
        (1, 3, 2, 2, 2)
    """

    pool = staticmethod(F.adaptive_max_pool3d)
