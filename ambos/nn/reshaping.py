"""Layers without parameters that move elements around: axes, pixels, windows, sizes."""

from __future__ import annotations

from collections.abc import Sequence

from ambos.core.arguments import positive
from ambos.core.shape import normalize_axis
from ambos.nn import functional as F
from ambos.nn.functional.shared import as_tensor
from ambos.nn.layer import Sizes, layer
from ambos.nn.module import Module
from ambos.tensor.handle import Tensor
from ambos.tensor.movement import unflatten


@layer
class Flatten(Module):
    """Axes `start_dim` to `end_dim` as one.

    Errors: ArgumentError for an axis that the input lacks.

    Example:
        >>> import ambos as am
        >>> Flatten()(am.ones((2, 3, 4))).shape
        (2, 12)
    """

    start_dim: int = 1
    end_dim: int = -1

    def forward(self, input: Tensor) -> Tensor:
        input = as_tensor(input)
        start = normalize_axis("Flatten", self.start_dim, input.ndim)
        end = normalize_axis("Flatten", self.end_dim, input.ndim)
        merged = 1
        for extent in input.shape[start : end + 1]:
            merged *= extent
        return input.reshape((*input.shape[:start], merged, *input.shape[end + 1 :]))


@layer
class Unflatten(Module):
    """Axis `dim` as several of these sizes, one of which may be -1: the way back from Flatten.

    Errors: ArgumentError for an axis that the input lacks; ShapeError for sizes that do not fit.

    Example:
        >>> import ambos as am
        >>> Unflatten(1, (3, 4))(am.ones((2, 12))).shape
        (2, 3, 4)
    """

    dim: int
    unflattened_size: Sequence[int]

    def forward(self, input: Tensor) -> Tensor:
        return unflatten(input, self.dim, self.unflattened_size)


@layer
class PixelShuffle(Module):
    """Groups of channels as the pixels of a larger image.

    Shapes: (..., C * r * r, H, W) to (..., C, H * r, W * r), r being `upscale_factor`.
    Errors: ShapeError unless the channels are a multiple of r * r.
    Source: Shi et al. (2016), "Real-time single image and video super-resolution".

    Example:
        >>> import ambos as am
        >>> PixelShuffle(2)(am.ones((1, 8, 3, 3))).shape
        (1, 2, 6, 6)
    """

    upscale_factor: int

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)


@layer
class PixelUnshuffle(Module):
    """The pixels of an image as groups of channels: the way back from PixelShuffle.

    Shapes: (..., C, H * r, W * r) to (..., C * r * r, H, W), r being `downscale_factor`.
    Errors: ShapeError unless height and width are multiples of r.

    Example:
        >>> import ambos as am
        >>> PixelUnshuffle(2)(am.ones((1, 2, 6, 6))).shape
        (1, 8, 3, 3)
    """

    downscale_factor: int

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)


@layer
class ChannelShuffle(Module):
    """Channels of all groups in turn.

    Shapes: (N, C, ...), kept.
    Errors: ShapeError unless the channels are a multiple of `groups`.
    Source: Zhang, Zhou, Lin, Sun (2018), "ShuffleNet".

    Example:
        >>> import ambos as am
        >>> ChannelShuffle(2)(am.ones((1, 4, 3, 3))).shape
        (1, 4, 3, 3)
    """

    groups: int

    def __post_init__(self) -> None:
        positive("ChannelShuffle: groups", self.groups)

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)


@layer
class Unfold(Module):
    """The windows of an image, each as a column.

    Shapes: (N, C, H, W) to (N, C * window, number of windows), or without N.
    Errors: ShapeError where a window is larger than the image; ArgumentError.

    Example:
        >>> import ambos as am
        >>> Unfold(2)(am.ones((1, 3, 4, 5))).shape
        (1, 12, 12)
    """

    kernel_size: Sizes
    dilation: Sizes = 1
    padding: Sizes = 0
    stride: Sizes = 1

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


@layer
class Fold(Module):
    """Columns as windows of an image, added up where they overlap.

    Shapes: (N, C * window, number of windows) to (N, C, *output_size), or without N.
    Errors: ShapeError where the columns are no windows of such an image; ArgumentError.

    Example:
        >>> import ambos as am
        >>> Fold((4, 5), 2)(am.ones((1, 12, 12))).shape
        (1, 3, 4, 5)
    """

    output_size: Sizes
    kernel_size: Sizes
    dilation: Sizes = 1
    padding: Sizes = 0
    stride: Sizes = 1

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )


@layer
class Upsample(Module):
    """Another size, given as such or as a factor, by interpolation.

    Shapes: (N, C, L), (N, C, H, W) or (N, C, D, H, W); N and C stay.
    Errors: ShapeError; ArgumentError for both a size and a factor, or another `mode`.

    Example:
        >>> import ambos as am
        >>> layer = Upsample(scale_factor=2, mode="bilinear")
        >>> layer, layer(am.ones((1, 3, 4, 5))).shape
        (Upsample(scale_factor=2.0, mode='bilinear'), (1, 3, 8, 10))
    """

    size: Sizes | None = None
    scale_factor: float | Sequence[float] | None = None
    mode: str = "nearest"
    align_corners: bool | None = None
    recompute_scale_factor: bool | None = None

    def __post_init__(self) -> None:
        factor = self.scale_factor
        if isinstance(factor, Sequence):
            self.scale_factor = tuple(float(one) for one in factor)
        elif factor is not None:
            self.scale_factor = float(factor)

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners,
            self.recompute_scale_factor,
        )  # fmt: skip

    def extra_repr(self) -> str:
        size = f"size={self.size}"
        if self.scale_factor is not None:
            size = f"scale_factor={self.scale_factor}"
        return f"{size}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Another size of images, each pixel being the nearest one.

    Shapes: (N, C, H, W); N and C stay.
    Errors: as Upsample.

    Example:
        >>> import ambos as am
        >>> UpsamplingNearest2d(scale_factor=2)(am.ones((1, 3, 4, 5))).shape
        (1, 3, 8, 10)
    """

    def __init__(
        self, size: Sizes | None = None, scale_factor: float | Sequence[float] | None = None
    ) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Another size of images, each pixel being a mean of its four nearest; the corners stay.

    Shapes: (N, C, H, W); N and C stay.
    Errors: as Upsample.

    Example:
        >>> import ambos as am
        >>> UpsamplingBilinear2d(scale_factor=2)(am.ones((1, 3, 4, 5))).shape
        (1, 3, 8, 10)
    """

    def __init__(
        self, size: Sizes | None = None, scale_factor: float | Sequence[float] | None = None
    ) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
