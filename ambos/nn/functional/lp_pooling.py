"""Pooling by the norm of each window."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.core.shape import size_of
from ambos.nn.functional.pooling import (
    Sizes,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from ambos.nn.functional.shared import back, computed, per_axis, real
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where

LARGEST: dict[int, Callable[..., Tensor]] = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}
AVERAGES = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}


def lp_pool1d(
    input: Any, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """The norm of each window along one axis: as `lp_pool2d`.

    Shapes: as `max_pool1d`.
    Errors: ShapeError, ArgumentError.
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Any, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """(sum of x**p)**(1/p) over each window, p being `norm_type`. The gradient of a sum of 0 is 0.
    A window that reaches beyond the end (with `ceil_mode`) counts as if its average went on there.

    Shapes: as `max_pool2d`.
    Errors: ShapeError, ArgumentError; DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> lp_pool2d(am.tensor([[[3.0, 0.0], [0.0, 4.0]]]), 2, 2).item()
        5.0
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Any, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """The norm of each window of a volume: as `lp_pool2d`.

    Shapes: as `max_pool3d`.
    Errors: ShapeError, ArgumentError.
    """
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _lp_pool(
    rank: int, input: Any, p: float, kernel_size: Sizes, stride: Sizes | None, up: bool
) -> Tensor:
    name = f"lp_pool{rank}d"
    given = real(name, input)
    if math.isinf(p):  # the largest magnitude, or the smallest
        sign = math.copysign(1.0, p)
        return LARGEST[rank](given.abs() * sign, kernel_size, stride, ceil_mode=up) * sign
    if not p > 0:
        raise ArgumentError(f"{name}: norm_type is {p}; need a positive number, or -infinity")
    kernel = per_axis(name, "kernel_size", kernel_size, rank)
    total = AVERAGES[rank](computed(given) ** p, kernel, stride, ceil_mode=up) * size_of(kernel)
    zero = total == 0
    return back(where(zero, 0.0, where(zero, 1.0, total) ** (1 / p)), given)
