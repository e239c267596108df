"""Images read at places that are computed: grid_sample, and the grids of affine maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape, row_major, size_of
from ambos.nn.functional.shared import back, computed, real, same_dtype
from ambos.tensor.creation import linspace, ones, zeros
from ambos.tensor.gather import gather
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import stack
from ambos.tensor.linear import matmul
from ambos.tensor.pointwise import where

MODES, BORDERS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
CUBIC = -0.75  # Keys's parameter, as PyTorch has it


def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """The values of an image (or volume) at places between its pixels.

    Places are (x, y) or (x, y, z), where -1 and 1 are the image's ends: the centres of its first
    and last pixels with `align_corners`, else their outer edges. Beyond the ends there are zeros,
    or the border's values, or the image mirrored ("reflection"). Modes: bilinear (of volumes
    trilinear), nearest, bicubic (of images only).

    Shapes: input (N, C, H, W), grid (N, H', W', 2) give (N, C, H', W'); with one more axis each.
    Errors: ShapeError, DTypeError, ArgumentError.
    Source: Jaderberg et al. (2015), "Spatial transformer networks".

    Example:
        >>> import ambos as am
        >>> image = am.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])
        >>> grid_sample(image, am.zeros(1, 1, 1, 2)).item()
        4.0
    """
    given, places = real("grid_sample", input), real("grid_sample", grid)
    same_dtype("grid_sample", given._node, grid=places._node)
    _check(given.shape, places.shape, mode, padding_mode)
    x, places = computed(given), computed(places)
    space = x.shape[2:]
    batch, out = places.shape[0], places.shape[1:-1]
    points = places.reshape(batch, size_of(out), len(space))
    edges = _Edges(padding_mode, bool(align_corners))
    coordinates = [
        edges.pixel(points[..., len(space) - 1 - axis], n) for axis, n in enumerate(space)
    ]
    picker = _Picker(x, padding_mode == "zeros")
    if mode == "nearest":
        whole = [edges.inside(c, n).round() for c, n in zip(coordinates, space, strict=True)]
        result = picker.at(whole, None)
    elif mode == "bilinear":
        result = _linear(picker, [edges.inside(c, n) for c, n in zip(
            coordinates, space, strict=True)])  # fmt: skip
    else:
        result = _cubic(picker, coordinates, edges)
    return back(result.reshape(*x.shape[:2], *out), given)


def _check(image: Shape, grid: Shape, mode: str, border: str) -> None:
    rank = len(image) - 2
    if rank not in (2, 3) or len(grid) != len(image) or grid[-1] != rank or grid[0] != image[0]:
        raise ShapeError(f"grid_sample: the input is {image} and the grid {grid}; need "
                         "(N, C, H, W) and (N, H', W', 2), or (N, C, D, H, W) and "
                         "(N, D', H', W', 3)")  # fmt: skip
    if not all(image[2:]):
        raise ShapeError(f"grid_sample: the input is {image}; need at least one element an axis")
    if mode not in MODES or (mode == "bicubic" and rank == 3):
        raise ArgumentError(f"grid_sample: mode is {mode!r} for {image}; need "
                            f"{' or '.join(MODES[: 5 - rank])}")  # fmt: skip
    if border not in BORDERS:
        raise ArgumentError(f"grid_sample: padding_mode is {border!r}; need {', '.join(BORDERS)}")


class _Edges:
    """From places between -1 and 1 to pixels, and what lies beyond the ends."""

    def __init__(self, border: str, align: bool) -> None:
        self.border, self.align = border, align

    def pixel(self, place: Tensor, n: int) -> Tensor:
        """Pixel coordinates along an axis of `n`."""
        if self.align:
            return (place + 1) * ((n - 1) / 2)
        return ((place + 1) * n - 1) / 2

    def inside(self, x: Tensor, n: int) -> Tensor:
        """Coordinates within the axis, but for zeros around it."""
        if self.border == "zeros":
            return x
        if self.border == "reflection":
            low, span = (0.0, n - 1.0) if self.align else (-0.5, float(n))
            x = self.mirrored(x, low, span)
        return _clipped(x, n)

    def mirrored(self, x: Tensor, low: float, span: float) -> Tensor:
        """x, mirrored at `low` and `low + span` until it lies between."""
        if span == 0:
            return x * 0
        away = (x - low).abs()
        flips = (away.detach() / span).floor()
        rest = away - flips * span
        odd = flips.remainder(2.0) == 1
        return where(odd, span - rest, rest) + low


def _clipped(x: Tensor, n: int) -> Tensor:
    """Within [0, n - 1]; without slope at the ends and beyond."""
    return where(x <= 0, 0.0, where(x >= n - 1, n - 1.0, x))


class _Picker:
    """Reads an image at whole coordinates; `bordered`: zeros where they lie outside."""

    def __init__(self, x: Tensor, bordered: bool) -> None:
        self.space, self.bordered = x.shape[2:], bordered
        self.steps = row_major(self.space)
        self.flat = x.reshape(*x.shape[:2], size_of(self.space))

    def at(self, whole: Sequence[Tensor], weight: Tensor | None) -> Tensor:
        """Values (N, C, points) times a weight (N, points)."""
        index, inside = None, None
        for place, n, step in zip(whole, self.space, self.steps, strict=True):
            if self.bordered:
                fits = (place >= 0) & (place <= n - 1)
                inside = fits if inside is None else inside & fits
            part = place.detach().clamp(0, n - 1).to(int64) * step
            index = part if index is None else index + part
        assert index is not None
        batch, channels, _ = self.flat.shape
        shape = (batch, channels, index.shape[1])
        values: Tensor = gather(self.flat, 2, index.unsqueeze(1).expand(shape))
        if inside is not None:
            if weight is None:
                return where(inside.unsqueeze(1), values, 0.0)
            weight = where(inside, weight, 0.0)
        return values if weight is None else values * weight.unsqueeze(1)


def _linear(picker: _Picker, coordinates: Sequence[Tensor]) -> Tensor:
    """The corners around a place, each by how near it is."""
    low = [c.detach().floor() for c in coordinates]
    rest = [c - f for c, f in zip(coordinates, low, strict=True)]
    total = None
    for corner in product((0, 1), repeat=len(low)):
        whole = [f + side for f, side in zip(low, corner, strict=True)]
        shares = [r if side else 1 - r for r, side in zip(rest, corner, strict=True)]
        term = picker.at(whole, math.prod(shares[1:], start=shares[0]))
        total = term if total is None else total + term
    assert total is not None
    return total


def _cubic(picker: _Picker, coordinates: Sequence[Tensor], edges: _Edges) -> Tensor:
    """Keys's kernel over four rows of four pixels, each of which may lie beyond the ends."""
    low = [c.detach().floor() for c in coordinates]
    shares = [_keys(c - f) for c, f in zip(coordinates, low, strict=True)]
    total = None
    for y in range(4):
        row = None
        for x in range(4):
            whole = [edges.inside(f + (tap - 1), n) for f, tap, n in zip(
                low, (y, x), picker.space, strict=True)]  # fmt: skip
            term = picker.at(whole, shares[1][x])
            row = term if row is None else row + term
        assert row is not None
        term = row * shares[0][y].unsqueeze(1)
        total = term if total is None else total + term
    assert total is not None
    return total


def _keys(t: Tensor) -> list[Tensor]:
    """The weights of the four pixels around a place that is t behind the second."""
    a = CUBIC

    def near(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The places that `grid_sample` reads, for the image `size`, under affine maps.

    Shapes: theta (N, 2, 3) and size (N, C, H, W) give (N, H, W, 2); theta (N, 3, 4) and size
        (N, C, D, H, W) give (N, D, H, W, 3).
    Errors: ShapeError; DTypeError unless theta is floating.

    Example:
        >>> import ambos as am
        >>> same = am.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
        >>> affine_grid(same, (1, 1, 1, 2), align_corners=True).tolist()
        [[[[-1.0, 0.0], [1.0, 0.0]]]]
    """
    maps = real("affine_grid", theta)
    sizes = tuple(int(n) for n in size)
    rank = len(sizes) - 2
    if rank not in (2, 3) or maps.shape != (sizes[0], rank, rank + 1) or min(sizes) < 1:
        raise ShapeError(f"affine_grid: theta is {maps.shape} and size {sizes}; need (N, 2, 3) "
                         "and (N, C, H, W), or (N, 3, 4) and (N, C, D, H, W)")  # fmt: skip
    space = sizes[2:]
    lines = []
    for axis in reversed(range(rank)):  # x runs along the last axis
        n = space[axis]
        line = zeros(1) if n == 1 else linspace(-1.0, 1.0, n)
        if not align_corners:
            line = line * ((n - 1) / n)
        single = tuple(n if i == axis else 1 for i in range(rank))
        lines.append(line.to(maps.dtype).reshape(single).expand(space).reshape(size_of(space)))
    lines.append(ones(size_of(space), dtype=maps.dtype))
    places: Tensor = matmul(stack(lines, 1), maps.mT)
    return places.reshape(sizes[0], *space, rank)
