"""Pooling over drawn windows, and the way back from largest elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import Shape, row_major, size_of
from ambos.nn.functional.shared import as_tensor, computed, nodes, numeric, per_axis, real
from ambos.ops.kinds import constant
from ambos.ops.movement import reshape
from ambos.tensor.assignment import scatter_last
from ambos.tensor.creation import arange
from ambos.tensor.gather import gather
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.joining import concat
from ambos.tensor.random import rand

Sizes = int | Sequence[int]
Values = np.ndarray[Any, Any]


def max_unpool1d(
    input: Any, indices: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """`max_pool1d` undone, as far as that goes: as `max_unpool2d`.

    Shapes: (N, C, L) or (C, L).
    Errors: ShapeError, ArgumentError.
    """
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Any, indices: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Elements where `max_pool2d(..., return_indices=True)` found them, zeros elsewhere. Of equal
    indices the last wins.

    Shapes: input and indices (N, C, H, W) or (C, H, W); the result is as large as the windows
        reach, or `output_size`, which may differ by less than the stride.
    Errors: ShapeError, ArgumentError; IndexingError, when looked at, for indices outside.

    Example:
        >>> import ambos as am
        >>> max_unpool2d(am.ones(1, 1, 1), am.tensor([[[2]]]), 2).tolist()
        [[[0.0, 0.0], [1.0, 0.0]]]
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any, indices: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """`max_pool3d` undone, as far as that goes: as `max_unpool2d`.

    Shapes: (N, C, D, H, W) or (C, D, H, W).
    Errors: ShapeError, ArgumentError.
    """
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _max_unpool(
    rank: int, input: Any, indices: Any, kernel_size: Sizes, stride: Sizes | None, padding: Sizes,
    output_size: Sequence[int] | None,
) -> Tensor:  # fmt: skip
    name = f"max_unpool{rank}d"
    x, index = nodes(input, indices)
    numeric(name, x)
    if index.dtype is not int64:
        raise DTypeError(f"{name}: indices are {index.dtype.name}; need int64: use indices.long()")
    if x.rank not in (rank + 1, rank + 2) or index.shape != x.shape:
        raise ShapeError(f"{name}: the input is {x.shape} and indices {index.shape}; need equal "
                         f"shapes of {rank + 1} or {rank + 2} dimensions")  # fmt: skip
    kernel = per_axis(name, "kernel_size", kernel_size, rank)
    steps = kernel if stride is None else per_axis(name, "stride", stride, rank)
    around = per_axis(name, "padding", padding, rank, least=0)
    lead = x.shape[:-rank]
    space = tuple((n - 1) * s + k - 2 * p for n, s, k, p in zip(
        x.shape[-rank:], steps, kernel, around, strict=True))  # fmt: skip
    if output_size is not None:
        wanted = tuple(output_size)[-rank:]
        if len(output_size) not in (rank, rank + 2) or any(
            abs(w - n) >= s for w, n, s in zip(wanted, space, steps, strict=True)
        ):
            raise ArgumentError(f"{name}: output_size is {tuple(output_size)}; need {space}, give "
                                f"or take less than the stride {steps}")  # fmt: skip
        space = wanted
    if min(space) < 0:
        raise ShapeError(f"{name}: the result would be {space}; need less padding")
    flat = (*lead, size_of(x.shape[-rank:]))
    nothing = constant(0, x.dtype, (*lead, size_of(space)))
    whole = scatter_last(
        nothing, len(lead), reshape(index, attrs=(flat,)), reshape(x, attrs=(flat,))
    )
    return wrap(reshape(whole, attrs=((*lead, *space),)))


def fractional_max_pool2d(
    input: Any, kernel_size: Sizes, output_size: Sizes | None = None,
    output_ratio: float | Sequence[float] | None = None, return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:  # fmt: skip
    """The largest element of each of `output_size` windows, whose distances are drawn at random,
    for each channel anew. With `return_indices` also where it lies, as in `max_pool2d`.

    Shapes: (N, C, H, W) or (C, H, W); `_random_samples` (N, C, 2), from 0 to 1, says what is drawn.
    Errors: ShapeError, ArgumentError.
    Source: Graham (2014), "Fractional max-pooling".

    Example:
        >>> import ambos as am
        >>> fractional_max_pool2d(am.ones(1, 1, 5, 5), 2, output_size=3).shape
        (1, 1, 3, 3)
    """
    return _fractional(
        2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def fractional_max_pool3d(
    input: Any, kernel_size: Sizes, output_size: Sizes | None = None,
    output_ratio: float | Sequence[float] | None = None, return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:  # fmt: skip
    """`fractional_max_pool2d` of volumes.

    Shapes: (N, C, D, H, W) or (C, D, H, W); `_random_samples` (N, C, 3).
    Errors: ShapeError, ArgumentError.
    """
    return _fractional(
        3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def _fractional(
    rank: int, input: Any, kernel_size: Sizes, output_size: Any, output_ratio: Any,
    return_indices: bool, samples: Any,
) -> Any:  # fmt: skip
    name = f"fractional_max_pool{rank}d"
    x = real(name, input)
    if x.ndim not in (rank + 1, rank + 2) or not all(x.shape[1:]):
        raise ShapeError(f"{name}: the input is {x.shape}; need {rank + 1} or {rank + 2} "
                         "dimensions: (batch, channels, sizes ...), none empty")  # fmt: skip
    alone = x.ndim == rank + 1
    x = x.unsqueeze(0) if alone else x
    space = x.shape[2:]
    kernel = per_axis(name, "kernel_size", kernel_size, rank)
    if (output_size is None) == (output_ratio is None):
        raise ArgumentError(f"{name}: need output_size or output_ratio, and one of them only")
    if output_size is None:
        ratios = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * rank
        output_size = tuple(int(n * r) for n, r in zip(space, ratios, strict=True))
    sizes = per_axis(name, "output_size", output_size, rank)
    if any(o + k - 1 > n for o, k, n in zip(sizes, kernel, space, strict=True)):
        raise ShapeError(f"{name}: {sizes} windows of {kernel} in {space}; need sizes of at least "
                         "output_size + kernel_size - 1")  # fmt: skip
    batch, channels = x.shape[:2]
    drawn = rand(batch, channels, rank) if samples is None else as_tensor(samples)
    drawn = drawn[:batch] if drawn.ndim == 3 else drawn  # there may be more than are needed
    if drawn.shape != (batch, channels, rank):
        raise ShapeError(f"{name}: _random_samples is {drawn.shape}; need "
                         f"{(batch, channels, rank)}")  # fmt: skip
    index = _windows_at(_starts(computed(drawn), space, sizes, kernel), space, sizes, kernel)
    flat = x.reshape(batch, channels, size_of(space))
    values = gather(flat, 2, index.reshape(batch, channels, index.shape[2] * index.shape[3]))
    chosen = values.detach().reshape(index.shape).argmax(3, keepdims=True)
    where = gather(index, 3, chosen).reshape(batch, channels, size_of(sizes))
    shape = (batch, channels, *sizes)[alone:]
    result = gather(flat, 2, where).reshape(shape)
    return (result, where.reshape(shape)) if return_indices else result


def _starts(drawn: Tensor, space: Shape, sizes: Shape, kernel: Shape) -> list[Tensor]:
    """Where windows begin, (N, C, windows) for each axis."""
    found = []
    for axis, (n, count, k) in enumerate(zip(space, sizes, kernel, strict=True)):
        # PyTorch's order of the samples: x, y in images, but z, y, x in volumes.
        u = drawn[..., len(space) - 1 - axis if len(space) == 2 else axis].unsqueeze(-1)
        last = u.new_full((*u.shape[:-1], 1), n - k, dtype=int64)
        if count == 1:
            found.append(last)
            continue
        step = (n - k) / (count - 1)
        number = arange(count - 1, dtype=drawn.dtype)
        begin = ((number + u) * step).to(int64) - (u * step).to(int64)
        found.append(concat([begin, last], -1))
    return found


def _windows_at(starts: Sequence[Tensor], space: Shape, sizes: Shape, kernel: Shape) -> Tensor:
    """Row-major positions of the windows' elements, (N, C, windows, elements)."""
    rank, total = len(space), None
    for axis, (start, step) in enumerate(zip(starts, row_major(space), strict=True)):
        outer = [sizes[a] if a == axis else 1 for a in range(rank)]
        inner = [kernel[a] if a == axis else 1 for a in range(rank)]
        begin = start.reshape(*start.shape[:2], *outer, *(1 for _ in kernel))
        part = (begin + arange(kernel[axis]).reshape(inner)) * step
        total = part if total is None else total + part
    assert total is not None
    return total.reshape(*total.shape[:2], size_of(sizes), size_of(kernel))
