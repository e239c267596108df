"""Convolutions and pooling on channels-first tensors (N, C, *space), one to three dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ambos.core.dtype import bool_
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import contraction
from ambos.ops import reductions as folds
from ambos.ops.movement import concat, overlap_add, pad, window
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.movement import cut_axis
from ambos.tensor.names import public
from ambos.tensor.operands import binary, common_dtype, convert, expand_to, scalar

Sizes = int | Sequence[int]


def per_axis(op: str, name: str, value: Any, rank: int, least: int) -> Shape:
    """One number an axis, from one number or from as many as there are axes."""
    sizes = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(sizes) == 1:
        sizes = sizes * rank
    if len(sizes) != rank or any(not isinstance(n, int) or n < least for n in sizes):
        raise ArgumentError(f"{op}: {name}={value!r}; need an integer >= {least}, or {rank} of "
                            "them")  # fmt: skip
    return sizes


def _batched(op: str, node: Node, rank: int) -> tuple[Node, bool]:
    """(N, C, *space), and whether N had to be added."""
    if node.rank == rank + 1:
        return reshaped(node, (1, *node.shape)), True
    if node.rank != rank + 2:
        axes = ", ".join(["N", "C", *"DHW"[3 - rank :]])
        raise ShapeError(f"{op}: the input is {node.shape}; need ({axes}), with or without N")
    return node, False


def _geometry(
    op: str, shape: Shape, size: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Shape:
    """Output sizes, checked."""
    out = []
    for n, k, s, p, d in zip(shape, size, stride, padding, dilation, strict=True):
        reach = (k - 1) * d + 1
        if n + 2 * p < reach:
            raise ShapeError(f"{op}: a window of {reach} on {n} elements padded by {p} each side; "
                             "need the window within the padded input: use more padding or a "
                             "smaller kernel")  # fmt: skip
        out.append((n + 2 * p - reach) // s + 1)
    return tuple(out)


@public
def conv(
    x: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes | str = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation, any number of spatial dimensions (those of `weight`).

    Shapes: x (N, C, *S), weight (K, C / groups, *R), bias (K,) -> (N, K, *out). `padding` may be
    "same" (stride 1) or "valid".

    Example:
        >>> import ambos as am
        >>> am.conv(am.ones(1, 3, 8, 8), am.ones(4, 3, 3, 3), padding=1).shape
        (1, 4, 8, 8)
    """
    a, w = node_of(x), node_of(weight)
    op, rank = f"conv{w.rank - 2}d", w.rank - 2
    if rank < 1:
        raise ShapeError(f"conv: the weight is {w.shape}; need (K, C, *window)")
    dtype = common_dtype((a, w))
    a, single = _batched(op, convert(a, dtype), rank)
    w = convert(w, dtype)
    if a.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        raise ShapeError(f"{op}: the input has {a.shape[1]} channels; the weight {w.shape} with "
                         f"groups={groups} needs {w.shape[1] * groups} (and filters that groups "
                         "divides)")  # fmt: skip
    strides = per_axis(op, "stride", stride, rank, 1)
    dilations = per_axis(op, "dilation", dilation, rank, 1)
    a, pads = _padded(op, a, w.shape[2:], padding, strides, dilations)
    _geometry(op, a.shape[2:], w.shape[2:], strides, pads, dilations)
    result = contraction.conv(a, w, strides, pads, dilations, groups)
    if bias is not None:
        result = _biased(op, result, convert(node_of(bias), dtype))
    return wrap(reshaped(result, result.shape[1:]) if single else result)


def _padded(
    op: str, node: Node, size: Shape, padding: Sizes | str, stride: Shape, dilation: Shape
) -> tuple[Node, Shape]:
    """The input and the symmetric padding that is left to do."""
    rank = len(size)
    if padding == "valid":
        return node, (0,) * rank
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ArgumentError(f"{op}: padding='same' with stride {stride}; need stride 1")
        total = [(k - 1) * d for k, d in zip(size, dilation, strict=True)]
        if all(t % 2 == 0 for t in total):
            return node, tuple(t // 2 for t in total)
        before = (0, 0, *(t // 2 for t in total))
        after = (0, 0, *(t - t // 2 for t in total))
        return pad(node, attrs=(before, after)), (0,) * rank
    if isinstance(padding, str):
        raise ArgumentError(f"{op}: padding={padding!r}; need numbers, 'same' or 'valid'")
    return node, per_axis(op, "padding", padding, rank, 0)


def _biased(op: str, node: Node, bias: Node) -> Node:
    if bias.shape != (node.shape[1],):
        raise ShapeError(f"{op}: the bias is {bias.shape}; need ({node.shape[1]},)")
    column = reshaped(bias, (1, bias.size) + (1,) * (node.rank - 2))
    return ops.add(node, expand_to(column, node.shape))


@public
def conv_transpose(
    x: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """The transpose of `conv` (its gradient by the input).

    Shapes: x (N, C, *S), weight (C, K / groups, *R) -> (N, K, *out) with out = (S - 1) * stride -
    2 * padding + dilation * (R - 1) + output_padding + 1.
    """
    a, w = node_of(x), node_of(weight)
    op, rank = f"conv_transpose{w.rank - 2}d", w.rank - 2
    dtype = common_dtype((a, w))
    a, single = _batched(op, convert(a, dtype), rank)
    w = convert(w, dtype)
    if a.shape[1] != w.shape[0] or w.shape[0] % groups:
        raise ShapeError(f"{op}: the input has {a.shape[1]} channels; the weight {w.shape} with "
                         f"groups={groups} needs {w.shape[0]}")  # fmt: skip
    strides = per_axis(op, "stride", stride, rank, 1)
    pads = per_axis(op, "padding", padding, rank, 0)
    extra = per_axis(op, "output_padding", output_padding, rank, 0)
    dilations = per_axis(op, "dilation", dilation, rank, 1)
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise ArgumentError(f"{op}: output_padding {extra}; need less than the stride or dilation")
    out = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, k, s, p, d, e in zip(
            a.shape[2:], w.shape[2:], strides, pads, dilations, extra, strict=True
        )
    )
    if min(out) < 1:
        raise ShapeError(f"{op}: the result would be {out}; need positive sizes: less padding")
    shape = (a.shape[0], w.shape[1] * groups, *out)
    forward = contraction.conv(scalar(0, dtype, shape), w, strides, pads, dilations, groups)
    result = _input_gradient(forward, a, shape)
    if bias is not None:
        result = _biased(op, result, convert(node_of(bias), dtype))
    return wrap(reshaped(result, result.shape[1:]) if single else result)


def _input_gradient(forward: Node, g: Node, shape: Shape) -> Node:
    """What `g`, at the result of a convolution of zeros, means for those zeros: walk back from
    the result to the input through the movement around the contraction."""
    node = forward
    while node.shape != shape or node.op.name not in ("expand", "constant"):
        g = node.op.vjp(node, g)[0]  # type: ignore[attr-defined]
        node = node.inputs[0]
    return g


def windows(op: str, node: Node, size: Shape, stride: Shape, dilation: Shape) -> Node:
    """Sliding windows over the last axes, as many new axes at the end."""
    rank = len(size)
    first = node.rank - rank
    for i in range(rank):
        if (size[i], stride[i], dilation[i]) == (1, 1, 1):
            node = reshaped(node, (*node.shape, 1))
        else:
            node = window(node, attrs=(first + i, size[i], stride[i], dilation[i]))
    return node


@public
def unfold(x: Any, axis: int, size: int, step: int) -> Tensor:
    """Sliding windows along one axis, as a new last axis (PyTorch's Tensor.unfold)."""
    node = node_of(x)
    at = axis % node.rank
    return wrap(window(node, attrs=(at, size, step, 1)))


@public
def fold_windows(x: Any, axis: int, extent: int, step: int) -> Tensor:
    """The transpose of `unfold`: overlapping windows added up along an axis of `extent`."""
    node = node_of(x)
    at = axis % (node.rank - 1)
    return wrap(overlap_add(node, extent, at, node.shape[-1], step, 1))


def _pool_input(
    op: str, x: Any, size: Sizes, stride: Sizes | None, padding: Sizes, dilation: Sizes,
    rank: int, ceil_mode: bool,
) -> tuple[Node, bool, Shape, Shape, Shape, Shape, Shape]:  # fmt: skip
    node, single = _batched(op, node_of(x), rank)
    sizes = per_axis(op, "kernel_size", size, rank, 1)
    strides = sizes if stride is None else per_axis(op, "stride", stride, rank, 1)
    pads = per_axis(op, "padding", padding, rank, 0)
    dilations = per_axis(op, "dilation", dilation, rank, 1)
    if any(2 * p > k for p, k in zip(pads, sizes, strict=True)):
        raise ArgumentError(f"{op}: padding {pads} with kernel_size {sizes}; need at most half of "
                            "the kernel")  # fmt: skip
    _geometry(op, node.shape[2:], sizes, strides, pads, dilations)
    extra = tuple(
        _ceil_extra(n, k, s, p, d) if ceil_mode else 0
        for n, k, s, p, d in zip(node.shape[2:], sizes, strides, pads, dilations, strict=True)
    )
    return node, single, sizes, strides, pads, dilations, extra


def _ceil_extra(n: int, k: int, s: int, p: int, d: int) -> int:
    """Padding at the end that admits one more window, which must start inside."""
    reach = (k - 1) * d + 1
    count = -(-(n + 2 * p - reach) // s) + 1
    if (count - 1) * s >= n + p:
        count -= 1
    return max(0, (count - 1) * s + reach - (n + 2 * p))


def _surround(node: Node, pads: Shape, extra: Shape, value: float) -> Node:
    """`value` around the spatial axes."""
    if not any(pads + extra):
        return node
    low, high = (0, 0, *pads), (0, 0, *(p + e for p, e in zip(pads, extra, strict=True)))
    padded = pad(node, attrs=(low, high))
    if value == 0:
        return padded
    inside = pad(scalar(True, bool_, node.shape), attrs=(low, high))
    return ops.where(inside, padded, scalar(value, node.dtype, padded.shape))


@public
def max_pool(
    x: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, rank: int = 2,
) -> Tensor:  # fmt: skip
    """The largest element of each window over the last `rank` axes of (N, C, *space)."""
    node, single, size, strides, pads, dilations, extra = _pool_input(
        f"max_pool{rank}d", x, kernel_size, stride, padding, dilation, rank, ceil_mode
    )
    node = _surround(node, pads, extra, node.dtype.min)
    result = windows("max_pool", node, size, strides, dilations)
    axes = tuple(range(result.rank - rank, result.rank))
    result = folds.max_(result, attrs=(axes,))
    return wrap(reshaped(result, result.shape[1:]) if single else result)


@public
def avg_pool(
    x: Any, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
    rank: int = 2,
) -> Tensor:  # fmt: skip
    """The mean of each window over the last `rank` axes of (N, C, *space)."""
    node, single, size, strides, pads, dilations, extra = _pool_input(
        f"avg_pool{rank}d", x, kernel_size, stride, padding, 1, rank, ceil_mode
    )
    total = _window_sums(_surround(node, pads, extra, 0), size, strides, dilations)
    if divisor_override is not None:
        result = binary(ops.divide, total, float(divisor_override))
    elif not any(extra) and (count_include_pad or not any(pads)):
        result = binary(ops.divide, total, float(math.prod(size)))
    else:
        # Padding of ceil_mode never counts; the other padding counts if asked.
        inner = (0,) * rank if count_include_pad else pads
        wide = tuple(n + 2 * (p - q) for n, p, q in zip(node.shape[2:], pads, inner, strict=True))
        counted = _surround(scalar(1, node.dtype, (1, 1, *wide)), inner, extra, 0)
        counts = _window_sums(counted, size, strides, dilations)
        result = ops.divide(total, expand_to(counts, total.shape))
    return wrap(reshaped(result, result.shape[1:]) if single else result)


def _window_sums(node: Node, size: Shape, stride: Shape, dilation: Shape) -> Node:
    result = windows("avg_pool", node, size, stride, dilation)
    return folds.sum_(result, attrs=(tuple(range(result.rank - len(size), result.rank)),))


@public
def adaptive_avg_pool(x: Any, output_size: Sizes | None, rank: int = 2) -> Tensor:
    """Means over as many nearly equal parts of each spatial axis as `output_size` says."""
    return _adaptive("adaptive_avg_pool", x, output_size, rank, folds.sum_, True)


@public
def adaptive_max_pool(x: Any, output_size: Sizes | None, rank: int = 2) -> Tensor:
    """Maxima over as many nearly equal parts of each spatial axis as `output_size` says."""
    return _adaptive("adaptive_max_pool", x, output_size, rank, folds.max_, False)


def _adaptive(op: str, x: Any, output_size: Any, rank: int, fold: Any, mean: bool) -> Tensor:
    node, single = _batched(f"{op}{rank}d", node_of(x), rank)
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * rank
    for i, count in enumerate(wanted):
        if count is not None:
            node = _adaptive_axis(node, node.rank - rank + i, count, fold, mean)
    return wrap(reshaped(node, node.shape[1:]) if single else node)


def _adaptive_axis(node: Node, axis: int, count: int, fold: Any, mean: bool) -> Node:
    """Part i of `count` holds elements floor(i n / count) .. ceil((i + 1) n / count)."""
    extent = node.shape[axis]
    head, tail = node.shape[:axis], node.shape[axis + 1 :]
    if extent % count == 0:
        size = extent // count
        result = fold(reshaped(node, (*head, count, size, *tail)), attrs=((axis + 1,),))
        return binary(ops.divide, result, float(size)) if mean and size > 1 else result
    parts = []
    for i in range(count):
        start, stop = i * extent // count, -(-(i + 1) * extent // count)
        part = fold(cut_axis(node, axis, start, stop), attrs=((axis,),))
        part = binary(ops.divide, part, float(stop - start)) if mean else part
        parts.append(reshaped(part, (*head, 1, *tail)))
    return concat(*parts, attrs=(axis,)) if count > 1 else parts[0]


__all__ = [
    "adaptive_avg_pool", "adaptive_max_pool", "avg_pool", "conv", "conv_transpose",
    "fold_windows", "max_pool", "unfold",
]  # fmt: skip
