"""Pooling over one, two or three spatial axes: windows as movement, then one reduction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.core.unknown import is_unknown
from ambos.graph.node import Node
from ambos.nn.functional.cells import largest_in_cells, places_in_cells
from ambos.nn.functional.extremes import Layout, largest_in, numbers_in, places_in
from ambos.nn.functional.shared import as_type, floating, nodes, numeric, pad_with, per_axis
from ambos.ops.arithmetic import (
    add,
    bitwise_and,
    divide,
    floor_divide,
    greater_equal,
    less,
    multiply,
    subtract,
)
from ambos.ops.contraction import contract, make_spec, plain
from ambos.ops.kinds import constant, constant_like
from ambos.ops.movement import expand, reshape, slice_, window
from ambos.ops.reductions import max_, sum_
from ambos.ops.sources import iota
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.pointwise import divide as quotient

Sizes = int | Sequence[int]
Cells = int | Sequence[int | None] | None
SPACE = ("depth", "height", "width")


def max_pool1d(
    input: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window along one axis.

    Shapes: (N, C, L) or (C, L); sizes as `max_pool2d`.
    Errors: ShapeError, ArgumentError.
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window; its gradient goes to the first of equals that is no
    padding. With `return_indices` also where that lies in its channel, row by row, int64.

    Shapes: (N, C, H, W) or (C, H, W); H' = (H + 2 padding - dilation (kernel - 1) - 1) // stride
        + 1, rounded up with `ceil_mode`. `stride` is the kernel size where it is left out.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> max_pool2d(am.arange(16.0).reshape(1, 4, 4), 2).numpy()[0]
        array([[ 5.,  7.],
               [13., 15.]], dtype=float32)
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of a volume.

    Shapes: (N, C, D, H, W) or (C, D, H, W); sizes as `max_pool2d`.
    Errors: ShapeError, ArgumentError.
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _max_pool(
    rank: int, input: Any, kernel_size: Sizes, stride: Sizes | None, padding: Sizes,
    dilation: Sizes, ceil_mode: bool, return_indices: bool,
) -> Any:  # fmt: skip
    name = f"max_pool{rank}d"
    x, alone = _batched(name, rank, input, needed=rank + 1)
    kernel, steps, around = _sizes(name, rank, kernel_size, stride, padding)
    gaps = per_axis(name, "dilation", dilation, rank)
    space = x.shape[2:]
    after = _after(name, space, kernel, steps, around, gaps, ceil_mode)
    x = pad_with(x, (0, 0, *around), (0, 0, *after), x.dtype.min)
    windows, axes = _windows(x, kernel, steps, gaps)
    layout = Layout(kernel, steps, around, gaps)
    result = _result(largest_in(windows, axes, layout), alone)
    if not return_indices:
        return result
    found = numbers_in(windows, axes, layout)
    return result, _result(places_in(found, space, layout), alone)


def avg_pool1d(
    input: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """The average of each window along one axis; padding counts unless told otherwise.

    Shapes: as `max_pool1d`.
    Errors: ShapeError, ArgumentError.
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     None)  # fmt: skip


def avg_pool2d(
    input: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The average of each window; padding counts unless `count_include_pad` is False.

    Shapes: as `max_pool2d`.
    Dtypes: integers stay integers, their averages rounded towards zero.
    Errors: ShapeError, ArgumentError.
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)  # fmt: skip


def avg_pool3d(
    input: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The average of each window of a volume; padding counts unless told otherwise.

    Shapes: as `max_pool3d`.
    Errors: ShapeError, ArgumentError.
    """
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)  # fmt: skip


def _avg_pool(
    rank: int, input: Any, kernel_size: Sizes, stride: Sizes | None, padding: Sizes,
    ceil_mode: bool, count_include_pad: bool, divisor_override: int | None,
) -> Tensor:  # fmt: skip
    name, ones = f"avg_pool{rank}d", (1,) * rank
    x, alone = _batched(name, rank, input, needed=rank + 1)
    kernel, steps, around = _sizes(name, rank, kernel_size, stride, padding)
    if rank == 3:  # neither padding nor rounding up makes room for the first window, as in PyTorch
        _after(name, x.shape[2:], kernel, steps, (0, 0, 0), ones, False)
    after = _after(name, x.shape[2:], kernel, steps, around, ones, ceil_mode)
    padded = pad_with(x, (0, 0, *around), (0, 0, *after))
    total = _window_sums(padded, kernel, steps)
    if divisor_override is not None:
        if divisor_override == 0:
            raise ArgumentError(f"{name}: divisor_override is 0; need another number, or None")
        return _result(_share(total, constant_like(total, divisor_override)), alone)
    # Rounding up may let windows reach beyond the padding, and that part never counts.
    beyond = [a - p for a, p in zip(after, around, strict=True)]
    if any(beyond) or (any(around) and not count_include_pad):
        count = _counted(x, kernel, steps, around, after, count_include_pad)
        return _result(_share(total, expand(count, attrs=(total.shape,))), alone)
    return _result(_share(total, constant_like(total, size_of(kernel))), alone)


def _share(total: Node, count: Node) -> Node:
    """The quotient, for integers towards zero."""
    if total.dtype.is_inexact:
        return divide(total, count)
    (whole,) = nodes(quotient(wrap(total), wrap(count), rounding_mode="trunc"))
    return whole


def adaptive_avg_pool1d(input: Any, output_size: int | Sequence[int | None] | None) -> Tensor:
    """Averages over `output_size` cells of one axis.

    Shapes: (N, C, L) or (C, L); cells as `adaptive_avg_pool2d`.
    Errors: ShapeError, ArgumentError.
    """
    return _adaptive_avg_pool(1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: int | Sequence[int | None] | None) -> Tensor:
    """Averages over a grid of `output_size` cells; None keeps an axis as it is.

    Shapes: (N, C, H, W) or (C, H, W) gives (..., *output_size). Cell i of n covers
        floor(i H / n) up to ceil((i + 1) H / n).
    Errors: ShapeError, ArgumentError.
    """
    return _adaptive_avg_pool(2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: int | Sequence[int | None] | None) -> Tensor:
    """Averages over a grid of `output_size` cells of a volume.

    Shapes: (N, C, D, H, W) or (C, D, H, W); cells as `adaptive_avg_pool2d`.
    Errors: ShapeError, ArgumentError.
    """
    return _adaptive_avg_pool(3, input, output_size)


def _adaptive_avg_pool(rank: int, input: Any, output_size: Any) -> Tensor:
    name = f"adaptive_avg_pool{rank}d"
    x, alone, grid = _grid(name, rank, input, output_size)
    floating(name, x)
    kernel = _tiles(x.shape[2:], grid)
    if kernel:
        windows, axes = _windows(x, kernel, kernel, (1,) * rank)
        total = sum_(windows, attrs=(axes,))
        return _result(divide(total, constant_like(total, float(size_of(kernel)))), alone)
    for axis, cells in enumerate(grid, start=2):
        x = _average_cells(x, axis, cells)
    return _result(x, alone)


def adaptive_max_pool1d(input: Any, output_size: Cells, return_indices: bool = False) -> Any:
    """The largest elements of `output_size` cells of one axis.

    Shapes: (N, C, L) or (C, L); cells as `adaptive_avg_pool2d`.
    Errors: ShapeError, ArgumentError.
    """
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Cells, return_indices: bool = False) -> Any:
    """The largest elements of a grid of `output_size` cells; with `return_indices` also where they
    lie, as in `max_pool2d`.

    Shapes: (N, C, H, W) or (C, H, W); cells as `adaptive_avg_pool2d`.
    Errors: ShapeError, ArgumentError.
    """
    return _adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Any, output_size: Cells, return_indices: bool = False) -> Any:
    """The largest elements of a grid of `output_size` cells of a volume.

    Shapes: (N, C, D, H, W) or (C, D, H, W); cells as
        `adaptive_avg_pool2d`.
    Errors: ShapeError, ArgumentError.
    """
    return _adaptive_max_pool(3, input, output_size, return_indices)


def _adaptive_max_pool(rank: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    x, alone, grid = _grid(f"adaptive_max_pool{rank}d", rank, input, output_size)
    kernel = _tiles(x.shape[2:], grid)
    if kernel:
        windows, axes = _windows(x, kernel, kernel, (1,) * rank)
        largest = max_(windows, attrs=(axes,))
    else:
        largest = largest_in_cells(x, grid)
    result = _result(largest, alone)
    return (result, _result(places_in_cells(x, grid), alone)) if return_indices else result


def _grid(name: str, rank: int, input: Any, output_size: Any) -> tuple[Node, bool, Shape]:
    """The input with a batch axis, whether it came without, and the cells along each axis."""
    x, alone = _batched(name, rank, input, needed=rank)
    asked = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * rank
    if len(asked) != rank:
        raise ArgumentError(f"{name}: output_size is {output_size!r}; need one integer"
                            + (f" or {rank} of them" if rank > 1 else ""))  # fmt: skip
    sizes = tuple(
        n if cells is None else cells for n, cells in zip(x.shape[2:], asked, strict=True)
    )
    return x, alone, per_axis(name, "output_size", sizes, rank)


def _tiles(space: Shape, grid: Shape) -> Shape | None:
    """The size of a cell where all cells are equal, which makes pooling a reshape."""
    if any(n % cells for n, cells in zip(space, grid, strict=True)):
        return None
    return tuple(n // cells for n, cells in zip(space, grid, strict=True))


def _average_cells(x: Node, axis: int, cells: int) -> Node:
    """Averages along one axis, as a product with a matrix of cell shares."""
    extent = x.shape[axis]
    shape = (cells, extent)
    cell = expand(reshape(iota(attrs=(cells,)), attrs=((cells, 1),)), attrs=(shape,))
    place = expand(reshape(iota(attrs=(extent,)), attrs=((1, extent),)), attrs=(shape,))

    def whole(n: int) -> Node:
        return constant(n, int64, shape)

    start = floor_divide(multiply(cell, whole(extent)), whole(cells))
    end = multiply(add(cell, whole(1)), whole(extent))
    stop = floor_divide(add(end, whole(cells - 1)), whole(cells))
    inside = bitwise_and(greater_equal(place, start), less(place, stop))
    share = divide(as_type(inside, x.dtype), as_type(subtract(stop, start), x.dtype))
    labels = ["n", "c", *(f"s{i}" for i in range(x.rank - 2))]
    moved, out = labels[axis], list(labels)
    out[axis] = "o"
    sizes = dict(zip(labels, x.shape, strict=True)) | {"o": cells}
    spec = make_spec(plain(labels), ["o", moved], out, [moved], sizes)
    return contract(x, share, attrs=(spec,))


def _batched(name: str, rank: int, input: Any, needed: int) -> tuple[Node, bool]:
    """The input with a batch axis, and whether it came without. Its `needed` last axes have to have
    elements."""
    x = numeric(name, nodes(input)[0])
    if x.rank not in (rank + 1, rank + 2):
        space = ", ".join(SPACE[-rank:]) if rank > 1 else "length"
        raise ShapeError(f"{name}: the input is {x.shape}; need (batch, channels, {space})")
    if not all(is_unknown(n) or n for n in x.shape[-needed:]):
        raise ShapeError(f"{name}: the input is {x.shape}; need at least one element an axis")
    return (reshape(x, attrs=((1, *x.shape),)), True) if x.rank == rank + 1 else (x, False)


def _result(y: Node, alone: bool) -> Tensor:
    return wrap(reshape(y, attrs=(y.shape[1:],)) if alone else y)


def _sizes(
    name: str, rank: int, kernel_size: Sizes, stride: Sizes | None, padding: Sizes
) -> tuple[Shape, Shape, Shape]:
    kernel = per_axis(name, "kernel_size", kernel_size, rank)
    steps = kernel if stride in (None, ()) else per_axis(name, "stride", stride, rank)
    around = per_axis(name, "padding", padding, rank, least=0)
    if any(2 * p > k for p, k in zip(around, kernel, strict=True)):
        raise ArgumentError(f"{name}: padding is {around} for kernel_size {kernel}; need at most "
                            "half the kernel")  # fmt: skip
    return kernel, steps, around


def _after(
    name: str, space: Shape, kernel: Shape, steps: Shape, around: Shape, gaps: Shape, up: bool
) -> Shape:
    """Padding behind each axis, so that the windows (rounded up or down) just fit."""
    result = []
    for n, k, s, p, d in zip(space, kernel, steps, around, gaps, strict=True):
        reach = (k - 1) * d + 1
        room = n + 2 * p - reach
        count = (-(-room // s) if up else room // s) + 1
        if up and (count - 1) * s >= n + p:
            count -= 1  # a window must begin inside the input or the padding before it
        if count < 1:
            raise ShapeError(
                f"{name}: an axis of {n}{f' with padding {p}' * bool(p)} is shorter than the "
                f"window of {reach}; need a larger input or a smaller window"
            )
        result.append(max(p, (count - 1) * s + reach - n - p))
    return tuple(result)


def _windows(x: Node, kernel: Shape, steps: Shape, gaps: Shape) -> tuple[Node, Shape]:
    """Windows of the spatial axes, and the axes that run within a window.

    Windows that tile the input are a reshape, which costs nothing and fuses with anything; where
    it is not known that the input has one, the op looks when it is.
    """
    rank, space = len(kernel), x.shape[2:]
    if kernel == steps and all(gap == 1 for gap in gaps) and not any(map(is_unknown, space)):
        counts = [n // k for n, k in zip(space, kernel, strict=True)]
        stop = (*x.shape[:2], *(n * k for n, k in zip(counts, kernel, strict=True)))
        if stop != x.shape:
            x = slice_(x, attrs=((0,) * x.rank, stop, (1,) * x.rank))
        split = [size for pair in zip(counts, kernel, strict=True) for size in pair]
        return reshape(x, attrs=((*x.shape[:2], *split),)), tuple(range(3, 3 + 2 * rank, 2))
    x = window(x, attrs=(tuple(range(2, 2 + rank)), kernel, steps, gaps))
    return x, tuple(range(2 + rank, 2 + 2 * rank))


def _counted(
    x: Node, kernel: Shape, steps: Shape, around: Shape, after: Shape, include_pad: bool
) -> Node:
    """How many elements of each window count, shaped (1, 1, *space')."""
    inner = around if include_pad else (0,) * len(kernel)
    space = tuple(n + 2 * p for n, p in zip(x.shape[2:], inner, strict=True))
    ones = constant(1, x.dtype, (1, 1, *space))
    outer = [p - i for p, i in zip(around, inner, strict=True)]
    behind = [a - i for a, i in zip(after, inner, strict=True)]
    padded = pad_with(ones, (0, 0, *outer), (0, 0, *behind))
    return _window_sums(padded, kernel, steps)


def _window_sums(x: Node, kernel: Shape, steps: Shape) -> Node:
    """The sum of each window; axis by axis where windows overlap, so that no window is stored."""
    if kernel == steps:
        windows, axes = _windows(x, kernel, steps, (1,) * len(kernel))
        return sum_(windows, attrs=(axes,))
    total = as_type(x, x.dtype.compute)  # halves are rounded once, as by one sum
    for axis in range(x.rank - 1, 1, -1):
        size, step = kernel[axis - 2], steps[axis - 2]
        windows = window(total, attrs=((axis,), (size,), (step,), (1,)))
        total = sum_(windows, attrs=((x.rank,),))
    return as_type(total, x.dtype)
