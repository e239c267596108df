"""Transposed convolutions, with and without inferred channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape
from ambos.nn import functional as F
from ambos.nn.convolution import ConvBase, Sizes
from ambos.nn.functional.shared import per_axis
from ambos.nn.lazy import Lazy, Pattern
from ambos.tensor.handle import Tensor


class _ConvTranspose(ConvBase):
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip
        self.output_padding = per_axis(
            self.kind, "output_padding", output_padding, self.rank, least=0
        )

    @property
    def kind(self) -> str:
        return f"ConvTranspose{self.rank}d"

    def _checked_mode(self, mode: str) -> str:
        if mode != "zeros":
            raise ArgumentError(f"{self.kind}: padding_mode is {mode!r}; need 'zeros'")
        return mode

    def _checked_padding(self, padding: Sizes | str) -> Shape:
        return per_axis(self.kind, "padding", padding, self.rank, least=0)

    def _pattern(self, in_channels: int | None) -> Pattern:
        return (in_channels, self.out_channels // self.groups, *self.kernel_size)

    def features_in(self, shape: Shape) -> int:
        """The number of channels of a weight."""
        return shape[0]

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        x = self._checked(input)
        run = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.rank - 1]
        missing = self.output_padding
        if output_size is not None:
            missing = self._missing(x.shape[-self.rank :], output_size)
        return run(
            x, self.weight, self.bias, self.stride, self._around(), missing, self.groups,
            self.dilation,
        )  # fmt: skip

    def _around(self) -> Shape:
        return self._checked_padding(self.padding)

    def _missing(self, space: Shape, wanted: Sequence[int]) -> Shape:
        """What the least result lacks to be of this size: several sizes become one by a stride."""
        sizes = tuple(wanted)[-self.rank :]
        least = tuple(
            (n - 1) * step - 2 * pad + gap * (window - 1) + 1
            for n, step, pad, gap, window in zip(
                space, self.stride, self._around(), self.dilation, self.kernel_size, strict=True
            )
        )
        most = tuple(n + step - 1 for n, step in zip(least, self.stride, strict=True))
        if len(sizes) != self.rank or not all(
            low <= n <= high for low, n, high in zip(least, sizes, most, strict=True)
        ):
            raise ShapeError(
                f"{self.kind}: output_size is {tuple(wanted)}; need sizes from {least} to {most} "
                f"for an input of {tuple(space)}"
            )
        return tuple(n - low for n, low in zip(sizes, least, strict=True))


class _LazyConvTranspose(Lazy, _ConvTranspose):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _ConvTranspose.__init__(
            self, None, out_channels, kernel_size, stride, padding, output_padding, groups, bias,
            dilation, padding_mode, device, dtype,
        )  # fmt: skip


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution along one axis: the input gradient of a convolution, as a layer.

    Shapes: (N, in_channels, L) to (N, out_channels, L'), or without N.
    Errors: ShapeError where the input or `output_size` does not fit; ArgumentError.

    Example:
        >>> import ambos as am
        >>> ConvTranspose1d(3, 5, 3, stride=2)(am.ones((2, 3, 4))).shape
        (2, 5, 9)
    """

    rank = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution over images: the input gradient of a convolution, as a layer.

    Shapes: (N, in_channels, H, W) to (N, out_channels, H', W'), or without N.
    Errors: ShapeError where the input or `output_size` does not fit; ArgumentError.

    Example:
        >>> import ambos as am
        >>> ConvTranspose2d(3, 5, 3, stride=2)(am.ones((2, 3, 4, 4))).shape
        (2, 5, 9, 9)
    """

    rank = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution over volumes: the input gradient of a convolution, as a layer.

    Shapes: (N, in_channels, D, H, W) to (N, out_channels, D', H', W'), or without N.
    Errors: ShapeError where the input or `output_size` does not fit; ArgumentError.

    Example:
        >>> import ambos as am
        >>> ConvTranspose3d(3, 5, 3, stride=2)(am.ones((2, 3, 4, 4, 4))).shape
        (2, 5, 9, 9, 9)
    """

    rank = 3


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """A ConvTranspose1d that learns `in_channels` at the first call.

    Errors: as ConvTranspose1d.

    Example:
        >>> import ambos as am
        >>> layer = LazyConvTranspose1d(5, 3)
        >>> layer(am.ones((2, 3, 4))).shape[1], layer.in_channels
        (5, 3)
    """

    becomes = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """A ConvTranspose2d that learns `in_channels` at the first call.

    Errors: as ConvTranspose2d.

    Example:
        >>> import ambos as am
        >>> layer = LazyConvTranspose2d(5, 3)
        >>> layer(am.ones((2, 3, 4, 4))).shape[1], layer.in_channels
        (5, 3)
    """

    becomes = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """A ConvTranspose3d that learns `in_channels` at the first call.

    Errors: as ConvTranspose3d.

    Example:
        >>> import ambos as am
        >>> layer = LazyConvTranspose3d(5, 3)
        >>> layer(am.ones((2, 3, 4, 4, 4))).shape[1], layer.in_channels
        (5, 3)
    """

    becomes = ConvTranspose3d


ConvTranspose1d.lazy, ConvTranspose2d.lazy = LazyConvTranspose1d, LazyConvTranspose2d
ConvTranspose3d.lazy = LazyConvTranspose3d
