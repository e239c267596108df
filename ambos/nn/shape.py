"""Layers without parameters that pool or reshape."""

from __future__ import annotations

from collections.abc import Sequence

from ambos.core.shape import normalize_axis
from ambos.nn import functional as F
from ambos.nn.functional.shared import as_tensor
from ambos.nn.module import Module
from ambos.tensor.handle import Tensor

Sizes = int | Sequence[int]


class Flatten(Module):
    """Axes `start_dim` to `end_dim` as one.

    Errors: ArgumentError for an axis that the input lacks.

    Example:
        >>> import ambos as am
        >>> Flatten()(am.ones((2, 3, 4))).shape
        (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        x = as_tensor(x)
        start = normalize_axis("Flatten", self.start_dim, x.ndim)
        end = normalize_axis("Flatten", self.end_dim, x.ndim)
        merged = 1
        for extent in x.shape[start : end + 1]:
            merged *= extent
        return x.reshape((*x.shape[:start], merged, *x.shape[end + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class MaxPool2d(Module):
    """The largest element of each window.

    Shapes: (N, C, H, W) to (N, C, H', W').
    Errors: ShapeError where a window is larger than the image; ArgumentError.

    Example:
        >>> import ambos as am
        >>> MaxPool2d(2)(am.ones(1, 3, 8, 6)).shape
        (1, 3, 4, 3)
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The average of each window.

    Shapes: (N, C, H, W) to (N, C, H', W').
    Errors: ShapeError where a window is larger than the image; ArgumentError.

    Example:
        >>> import ambos as am
        >>> AvgPool2d(2)(am.ones(1, 3, 8, 6)).shape
        (1, 3, 4, 3)
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """Averages over a grid of `output_size` cells, whatever the input's size.

    Shapes: (N, C, H, W) to (N, C, *output_size).
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> AdaptiveAvgPool2d(2)(am.ones(1, 3, 8, 6)).shape
        (1, 3, 2, 2)
    """

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"
