"""Pooling over images: windows as movement, then one reduction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Node
from ambos.nn.functional.shared import as_type, floating, nodes, pad_with, per_axis
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

Sizes = int | Sequence[int]


def max_pool2d(
    input: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """The largest element of each window; its gradient goes to the first of equals.

    Shapes: (N, C, H, W) or (C, H, W); H' = (H + 2 padding - dilation (kernel - 1) - 1) // stride
        + 1, rounded up with `ceil_mode`. `stride` is the kernel size where it is left out.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> max_pool2d(am.arange(16.0).reshape(1, 4, 4), 2).numpy()[0]
        array([[ 5.,  7.],
               [13., 15.]], dtype=float32)
    """
    x, alone = _images("max_pool2d", input)
    kernel, steps, around = _sizes("max_pool2d", kernel_size, stride, padding)
    gaps = per_axis("max_pool2d", "dilation", dilation, 2)
    after = _after("max_pool2d", x.shape[2:], kernel, steps, around, gaps, ceil_mode)
    x = pad_with(x, (0, 0, *around), (0, 0, *after), x.dtype.min)
    windows, axes = _windows(x, kernel, steps, gaps)
    return _result(max_(windows, attrs=(axes,)), alone)


def avg_pool2d(
    input: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The average of each window; padding counts unless `count_include_pad` is False.

    Shapes: as `max_pool2d`.
    Errors: ShapeError, ArgumentError.
    """
    x, alone = _images("avg_pool2d", input)
    kernel, steps, around = _sizes("avg_pool2d", kernel_size, stride, padding)
    after = _after("avg_pool2d", x.shape[2:], kernel, steps, around, (1, 1), ceil_mode)
    padded = pad_with(x, (0, 0, *around), (0, 0, *after))
    windows, axes = _windows(padded, kernel, steps, (1, 1))
    total = sum_(windows, attrs=(axes,))
    if divisor_override is not None:
        return _result(divide(total, constant_like(total, divisor_override)), alone)
    # Rounding up may let windows reach beyond the padding, and that part never counts.
    beyond = [a - p for a, p in zip(after, around, strict=True)]
    if any(beyond) or (any(around) and not count_include_pad):
        count = _counted(x, kernel, steps, around, after, count_include_pad)
        return _result(divide(total, expand(count, attrs=(total.shape,))), alone)
    return _result(divide(total, constant_like(total, float(size_of(kernel)))), alone)


def adaptive_avg_pool2d(input: Any, output_size: int | Sequence[int | None] | None) -> Tensor:
    """Averages over a grid of `output_size` cells; None keeps an axis as it is.

    Shapes: (N, C, H, W) or (C, H, W) gives (..., *output_size). Cell i of n covers
        floor(i H / n) up to ceil((i + 1) H / n).
    Errors: ShapeError, ArgumentError.
    """
    x, alone = _images("adaptive_avg_pool2d", input)
    asked = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * 2
    if len(asked) != 2:
        raise ArgumentError(f"adaptive_avg_pool2d: output_size is {output_size!r}; need 1 or 2 "
                            "integers")  # fmt: skip
    sizes = tuple(n if out is None else out for n, out in zip(x.shape[2:], asked, strict=True))
    grid = per_axis("adaptive_avg_pool2d", "output_size", sizes, 2)
    if all(n and n % out == 0 for n, out in zip(x.shape[2:], grid, strict=True)):
        kernel = (x.shape[2] // grid[0], x.shape[3] // grid[1])
        windows, axes = _windows(x, kernel, kernel, (1, 1))
        total = sum_(windows, attrs=(axes,))
        return _result(divide(total, constant_like(total, float(size_of(kernel)))), alone)
    for axis, out in zip((2, 3), grid, strict=True):
        x = _average_cells(x, axis, out)
    return _result(x, alone)


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
    labels = ["n", "c", "h", "w"]
    moved, out = labels[axis], list(labels)
    out[axis] = "o"
    sizes = dict(zip(labels, x.shape, strict=True)) | {"o": cells}
    spec = make_spec(plain(labels), ["o", moved], out, [moved], sizes)
    return contract(x, share, attrs=(spec,))


def _images(name: str, input: Any) -> tuple[Node, bool]:
    """The input with a batch axis, and whether it came without."""
    x = floating(name, nodes(input)[0])
    if x.rank not in (3, 4):
        raise ShapeError(f"{name}: the input is {x.shape}; need (batch, channels, height, width)")
    return (reshape(x, attrs=((1, *x.shape),)), True) if x.rank == 3 else (x, False)


def _result(y: Node, alone: bool) -> Tensor:
    return wrap(reshape(y, attrs=(y.shape[1:],)) if alone else y)


def _sizes(
    name: str, kernel_size: Sizes, stride: Sizes | None, padding: Sizes
) -> tuple[Shape, Shape, Shape]:
    kernel = per_axis(name, "kernel_size", kernel_size, 2)
    steps = kernel if stride is None else per_axis(name, "stride", stride, 2)
    around = per_axis(name, "padding", padding, 2, least=0)
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
        if room < 0:
            raise ShapeError(
                f"{name}: an axis of {n} with padding {p} is shorter than the window of {reach}; "
                "need a larger input or a smaller window"
            )
        count = (-(-room // s) if up else room // s) + 1
        if up and (count - 1) * s >= n + p:
            count -= 1  # a window must begin inside the input or the padding before it
        result.append(max(p, (count - 1) * s + reach - n - p))
    return tuple(result)


def _windows(x: Node, kernel: Shape, steps: Shape, gaps: Shape) -> tuple[Node, Shape]:
    """Windows of the last two axes, and the axes that run within a window.

    Windows that tile the image are a reshape, which costs nothing and fuses with anything.
    """
    if kernel == steps and gaps == (1, 1):
        rows, columns = (n // k for n, k in zip(x.shape[2:], kernel, strict=True))
        stop = (*x.shape[:2], rows * kernel[0], columns * kernel[1])
        if stop != x.shape:
            x = slice_(x, attrs=((0,) * 4, stop, (1,) * 4))
        shape = (*x.shape[:2], rows, kernel[0], columns, kernel[1])
        return reshape(x, attrs=(shape,)), (3, 5)
    for axis in (2, 3):
        x = window(x, attrs=(axis, kernel[axis - 2], steps[axis - 2], gaps[axis - 2]))
    return x, (4, 5)


def _counted(
    x: Node, kernel: Shape, steps: Shape, around: Shape, after: Shape, include_pad: bool
) -> Node:
    """How many elements of each window count, shaped (1, 1, H', W')."""
    inner = around if include_pad else (0, 0)
    space = tuple(n + 2 * p for n, p in zip(x.shape[2:], inner, strict=True))
    ones = constant(1.0, x.dtype, (1, 1, *space))
    outer = [p - i for p, i in zip(around, inner, strict=True)]
    behind = [a - i for a, i in zip(after, inner, strict=True)]
    windows, axes = _windows(pad_with(ones, (0, 0, *outer), (0, 0, *behind)), kernel, steps, (1, 1))
    return sum_(windows, attrs=(axes,))
