"""Windows as columns and back, and pixels moved between channels and space: movement only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Node
from ambos.nn.functional.shared import nodes, pad_with, per_axis
from ambos.ops.movement import overlap_add, permute, reshape, slice_, window
from ambos.tensor.handle import Tensor, wrap

Sizes = int | Sequence[int]


def unfold(
    input: Any, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """Each window of an image as a column (im2col).

    Shapes: (N, C, H, W) gives (N, C * kernel height * kernel width, windows); without N as well.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> unfold(am.arange(4.0).reshape(1, 1, 2, 2), (1, 2)).tolist()
        [[[0.0, 2.0], [1.0, 3.0]]]
    """
    (x,) = nodes(input)
    kernel, gaps, around, steps = _window_sizes("unfold", kernel_size, dilation, padding, stride)
    if x.rank not in (3, 4):
        raise ShapeError(f"unfold: the input is {x.shape}; need (batch, channels, height, width)")
    alone = x.rank == 3
    if alone:
        x = reshape(x, attrs=((1, *x.shape),))
    _window_counts("unfold", x.shape[2:], kernel, gaps, around, steps)
    x = pad_with(x, (0, 0, *around), (0, 0, *around))
    windows = window(x, attrs=((2, 3), kernel, steps, gaps))
    batch, channels, rows, columns = windows.shape[:4]
    moved = permute(windows, attrs=((0, 1, 4, 5, 2, 3),))
    shape: Shape = (batch, channels * size_of(kernel), rows * columns)
    return wrap(reshape(moved, attrs=(shape[1:] if alone else shape,)))


def fold(
    input: Any, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:  # fmt: skip
    """The transpose of `unfold`: columns added up where their windows lie in an image.

    Shapes: (N, C * kernel height * kernel width, windows) gives (N, C, *output_size); without N as
        well.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> fold(am.ones(1, 2, 2), (1, 3), (1, 2)).tolist()
        [[[[1.0, 2.0, 1.0]]]]
    """
    (x,) = nodes(input)
    kernel, gaps, around, steps = _window_sizes("fold", kernel_size, dilation, padding, stride)
    space = per_axis("fold", "output_size", output_size, 2)
    if x.rank not in (2, 3):
        raise ShapeError(f"fold: the input is {x.shape}; need (batch, channels * kernel, windows)")
    alone = x.rank == 2
    if alone:
        x = reshape(x, attrs=((1, *x.shape),))
    counts = _window_counts("fold", space, kernel, gaps, around, steps)
    batch, rows, columns = x.shape
    if rows % size_of(kernel) or columns != size_of(counts):
        raise ShapeError(
            f"fold: the input is {nodes(input)[0].shape}; need a multiple of {size_of(kernel)} "
            f"rows (one for each tap of {kernel}) and {size_of(counts)} columns ({counts[0]} x "
            f"{counts[1]} windows in {space})"
        )
    channels = rows // size_of(kernel)
    taps = reshape(x, attrs=((batch, channels, *kernel, *counts),))
    windows = permute(taps, attrs=((0, 1, 4, 5, 2, 3),))
    padded = tuple(n + 2 * p for n, p in zip(space, around, strict=True))
    whole = overlap_add(windows, (batch, channels, *padded), (2, 3), kernel, steps, gaps)
    start = (0, 0, *around)
    stop = (batch, channels, *(n + p for n, p in zip(space, around, strict=True)))
    image = slice_(whole, attrs=(start, stop, (1,) * 4))
    return wrap(reshape(image, attrs=(image.shape[1:],)) if alone else image)


def _window_sizes(
    name: str, kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> tuple[Shape, Shape, Shape, Shape]:
    return (
        per_axis(name, "kernel_size", kernel_size, 2),
        per_axis(name, "dilation", dilation, 2),
        per_axis(name, "padding", padding, 2, least=0),
        per_axis(name, "stride", stride, 2),
    )


def _window_counts(
    name: str, space: Shape, kernel: Shape, gaps: Shape, around: Shape, steps: Shape
) -> Shape:
    counts = tuple(
        (n + 2 * p - (k - 1) * d - 1) // s + 1
        for n, k, d, p, s in zip(space, kernel, gaps, around, steps, strict=True)
    )
    if min(counts) < 1:
        raise ShapeError(f"{name}: an image of {space} with padding {around} is smaller than the "
                         f"kernel {kernel} with dilation {gaps}; need a larger image")  # fmt: skip
    return counts


def pixel_shuffle(input: Any, upscale_factor: int) -> Tensor:
    """Channels spread over space: an image that is `upscale_factor` times as large.

    Shapes: (..., C r r, H, W) gives (..., C, H r, W r).
    Errors: ShapeError, ArgumentError.
    Source: Shi et al. (2016), "Real-time single image and video super-resolution".

    Example:
        >>> import ambos as am
        >>> pixel_shuffle(am.arange(4).reshape(4, 1, 1), 2).tolist()
        [[[0, 1], [2, 3]]]
    """
    (x,) = nodes(input)
    factor = _factor("pixel_shuffle", "upscale_factor", upscale_factor, x)
    *lead, channels, height, width = x.shape
    if channels % (factor * factor):
        raise ShapeError(f"pixel_shuffle: the input {x.shape} has {channels} channels; need a "
                         f"multiple of {factor * factor}")  # fmt: skip
    rest = channels // (factor * factor)
    fine = reshape(x, attrs=((*lead, rest, factor, factor, height, width),))
    n = len(lead)
    moved = permute(fine, attrs=((*range(n + 1), n + 3, n + 1, n + 4, n + 2),))
    return wrap(reshape(moved, attrs=((*lead, rest, height * factor, width * factor),)))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Tensor:
    """The inverse of `pixel_shuffle`.

    Shapes: (..., C, H r, W r) gives (..., C r r, H, W).
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> pixel_unshuffle(am.arange(4).reshape(1, 2, 2), 2).tolist()
        [[[0]], [[1]], [[2]], [[3]]]
    """
    (x,) = nodes(input)
    factor = _factor("pixel_unshuffle", "downscale_factor", downscale_factor, x)
    *lead, channels, height, width = x.shape
    if height % factor or width % factor:
        raise ShapeError(f"pixel_unshuffle: the input {x.shape} is {height} by {width}; need "
                         f"multiples of {factor}")  # fmt: skip
    rows, columns = height // factor, width // factor
    fine = reshape(x, attrs=((*lead, channels, rows, factor, columns, factor),))
    n = len(lead)
    moved = permute(fine, attrs=((*range(n + 1), n + 2, n + 4, n + 1, n + 3),))
    return wrap(reshape(moved, attrs=((*lead, channels * factor * factor, rows, columns),)))


def _factor(name: str, role: str, value: int, x: Node) -> int:
    if x.rank < 3:
        raise ShapeError(f"{name}: the input is {x.shape}; need (..., channels, height, width)")
    return positive(f"{name}: {role}", value)


def channel_shuffle(input: Any, groups: int) -> Tensor:
    """Channels of `groups` groups dealt out in turn.

    Shapes: (N, C, ...) stays.
    Errors: ShapeError; ArgumentError unless the groups divide the channels.
    Source: Zhang et al. (2017), "ShuffleNet".

    Example:
        >>> import ambos as am
        >>> channel_shuffle(am.arange(4).reshape(1, 4, 1), 2).tolist()
        [[[0], [2], [1], [3]]]
    """
    (x,) = nodes(input)
    if x.rank < 3:
        raise ShapeError(f"channel_shuffle: the input is {x.shape}; need (batch, channels, sizes "
                         "...)")  # fmt: skip
    batch, channels, *space = x.shape
    if groups < 1 or channels % groups:
        raise ArgumentError(f"channel_shuffle: groups is {groups} for {channels} channels; need a "
                            "divisor")  # fmt: skip
    dealt = reshape(x, attrs=((batch, groups, channels // groups, *space),))
    axes = (0, 2, 1, *range(3, dealt.rank))
    return wrap(reshape(permute(dealt, attrs=(axes,)), attrs=(x.shape,)))
