"""Images of other sizes: one axis after the other, forward and backward without scattering."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ambos.core.dtype import DType
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import Shape
from ambos.core.unknown import is_unknown, larger, refuse
from ambos.graph.node import Node
from ambos.nn.functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from ambos.nn.functional.resampling import Table, table
from ambos.nn.functional.shared import as_type, nodes
from ambos.ops.blend import blend
from ambos.ops.indexing import take
from ambos.ops.movement import expand, reshape
from ambos.tensor.handle import Tensor, node_of, wrap

Scale = float | Sequence[float] | None
Size = int | Sequence[int] | None

# What each mode does along an axis, and for which number of spatial axes.
ALONG = {
    "nearest": ("nearest", (1, 2, 3)), "nearest-exact": ("nearest-exact", (1, 2, 3)),
    "linear": ("linear", (1,)), "bilinear": ("linear", (2,)), "trilinear": ("linear", (3,)),
    "bicubic": ("cubic", (2,)), "lanczos": ("lanczos", (2,)), "area": ("area", (1, 2, 3)),
}  # fmt: skip
BLENDS = ("linear", "bilinear", "bicubic", "trilinear", "lanczos")
SMOOTH = ("bilinear", "bicubic", "lanczos")  # modes that know `antialias`
POWERS = [2**n for n in range(10)]
AREA = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)


def interpolate(
    input: Any, size: Size = None, scale_factor: Scale = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:  # fmt: skip
    """An image (or sequence, or volume) of another size.

    Modes: nearest, nearest-exact, area; linear for one spatial axis, bilinear, bicubic and lanczos
    for two, trilinear for three. With `align_corners` the corners keep their values, else pixels
    are squares. `antialias` widens the kernel where the image gets smaller.

    Shapes: (N, C, ...) gives (N, C, *size); or a scale factor, rounded down to whole sizes.
    Errors: ArgumentError, ShapeError.
    Source: Keys (1981), "Cubic convolution interpolation".

    Example:
        >>> import ambos as am
        >>> interpolate(am.tensor([[[0.0, 2.0]]]), 4, mode="linear").tolist()
        [[[0.0, 0.5, 1.5, 2.0]]]
    """
    (x,) = nodes(input)
    along, align = _checked(x, mode, align_corners, antialias)
    if any(map(is_unknown, (*x.shape[2:], *_each(size)))):
        return wrap(_doubled(x, size, scale_factor, mode))
    sizes, scales = _sizes(x, size, scale_factor, bool(recompute_scale_factor) or mode == "area")
    if recompute_scale_factor and size is not None:
        raise ArgumentError("interpolate: recompute_scale_factor with a size; need a scale_factor")
    if mode == "area":
        return AREA[x.rank - 3](wrap(x), sizes)
    if mode in BLENDS and not x.dtype.is_floating:
        raise DTypeError(f"interpolate: got {x.dtype.name} for mode {mode!r}; need a floating "
                         "dtype: use x.float()")  # fmt: skip
    grown = sorted(range(2, x.rank), key=lambda axis: (sizes[axis - 2] / x.shape[axis], -axis))
    dtype = x.dtype
    if mode in BLENDS:  # half precisions round once, at the end
        x = as_type(x, dtype.compute)
    for axis in grown:  # what makes it smaller comes first
        args = (along, x.shape[axis], sizes[axis - 2], scales[axis - 2], align, antialias)
        x = _resized(x, axis, table(*args, dtype.compute.name))
    return wrap(as_type(x, dtype))


def _checked(x: Node, mode: str, align: bool | None, antialias: bool) -> tuple[str, bool]:
    """What the mode does along an axis, and whether corners are aligned."""
    if mode not in ALONG:
        raise ArgumentError(f"interpolate: mode is {mode!r}; need one of {', '.join(ALONG)}")
    along, ranks = ALONG[mode]
    if x.rank - 2 not in ranks:
        axes = " or ".join(str(rank + 2) for rank in ranks)
        raise ShapeError(f"interpolate: the input is {x.shape} for mode {mode!r}; need {axes} "
                         "dimensions: (batch, channels, sizes ...)")  # fmt: skip
    if not all(is_unknown(n) or n for n in x.shape[1:]):
        raise ShapeError(f"interpolate: the input is {x.shape}; need at least one element an axis")
    if align is not None and mode not in BLENDS:
        raise ArgumentError(f"interpolate: align_corners with mode {mode!r}; only "
                            f"{', '.join(BLENDS)} know it")  # fmt: skip
    if antialias and mode not in SMOOTH:
        raise ArgumentError(f"interpolate: antialias with mode {mode!r}; only {', '.join(SMOOTH)} "
                            "know it")  # fmt: skip
    if mode == "lanczos" and (align or not antialias):
        raise ArgumentError("interpolate: mode 'lanczos' needs antialias=True and no align_corners")
    return along, bool(align)


def _sizes(
    x: Node, size: Size, factor: Scale, recompute: bool
) -> tuple[Shape, tuple[float | None, ...]]:
    """The size of each axis, and the factor that places are computed by, if one is."""
    rank = x.rank - 2
    if (size is None) == (factor is None):
        raise ArgumentError("interpolate: need size or scale_factor, and one of them only")
    given = size if factor is None else factor
    each = _each(given) * (1 if isinstance(given, Sequence) else rank)
    if len(each) != rank:
        role = "size" if factor is None else "scale_factor"
        raise ArgumentError(f"interpolate: {role} is {given!r} for {x.shape}; need {rank} numbers, "
                            "one for each axis behind the channels")  # fmt: skip
    scales: tuple[float | None, ...] = (None,) * rank
    if factor is None:
        if not all(isinstance(n, (int, np.integer)) for n in each):
            raise ArgumentError(f"interpolate: size is {size!r}; need integers")
        sizes = tuple(int(n) for n in each)
    else:
        sizes = tuple(int(n * f) for n, f in zip(x.shape[2:], each, strict=True))
        scales = scales if recompute else tuple(float(f) for f in each)
    if min(sizes) < 1:
        raise ShapeError(f"interpolate: the result of {x.shape} would be {sizes}; need positive "
                         "sizes")  # fmt: skip
    return sizes, scales


def _each(given: Any) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, Sequence) else (given,)


def _doubled(x: Node, size: Size, factor: Scale, mode: str) -> Node:
    """Elements repeated by powers of two, which is so for axes of any size: of other modes and
    factors, places and weights are constants, made for one size and another."""
    factors = _each(factor) * (1 if isinstance(factor, Sequence) else x.rank - 2)
    is_exact = all(f in POWERS for f in factors) and len(factors) == x.rank - 2
    if size is not None or not is_exact or not mode.startswith("nearest"):
        refuse(f"interpolate of {x.shape} to {factor if size is None else size}, mode {mode!r},",
               "; layers do this: nn.Upsample(scale_factor=2)(x)")  # fmt: skip
    # Of data without elements it is a reshape that does not fit.
    x = reshape(x, attrs=((*x.shape[:2], *(larger(n, 1) for n in x.shape[2:])),))
    for axis, times in enumerate(factors, 2):
        x = _repeated(x, axis, int(times))
    return x


def _resized(x: Node, axis: int, rows: Table) -> Node:
    times = rows.repeats()
    if times:
        return _repeated(x, axis, times)
    index = node_of(rows.places)
    if not x.dtype.is_floating:
        picked = take(x, index, attrs=(axis,))
        return reshape(picked, attrs=((*x.shape[:axis], index.shape[1], *x.shape[axis + 1 :]),))
    return blend(
        x, index, _constants(rows.weights, x.dtype), node_of(rows.back_places),
        _constants(rows.back_weights, x.dtype), attrs=(axis,),
    )  # fmt: skip


def _constants(values: Any, dtype: DType) -> Node:
    return as_type(node_of(values), dtype)


def _repeated(x: Node, axis: int, times: int) -> Node:
    """Each element so many times: movement, which costs nothing by itself."""
    if times == 1:
        return x
    before, n, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    apart = reshape(x, attrs=((*before, n, 1, *after),))
    wide = expand(apart, attrs=((*before, n, times, *after),))
    return reshape(wide, attrs=((*before, n * times, *after),))


def upsample(
    input: Any, size: Size = None, scale_factor: Scale = None, mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """`interpolate` under PyTorch's older name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Size = None, scale_factor: Scale = None) -> Tensor:
    """`interpolate` with mode "nearest"."""
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input: Any, size: Size = None, scale_factor: Scale = None) -> Tensor:
    """`interpolate` with mode "bilinear" and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)
