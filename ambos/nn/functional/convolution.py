"""Convolutions over one, two or three spatial axes, and their transposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.nn.functional.shared import along, nodes, pad_with, per_axis, same_numbers
from ambos.ops.arithmetic import add
from ambos.ops.contraction import conv
from ambos.ops.kinds import Op
from ambos.ops.movement import cut_to, reshape
from ambos.ops.sources import data
from ambos.tensor.handle import Tensor, wrap

Sizes = int | Sequence[int]


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes | str = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Convolution (cross-correlation) along one axis.

    Shapes: input (N, C, L) or (C, L), weight (K, C / groups, R), bias (K,); result (N, K, L').
    Errors: ShapeError, ArgumentError.
    """
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes | str = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Convolution (cross-correlation) over images. `padding` may be "same" or "valid".

    Shapes: input (N, C, H, W) or (C, H, W), weight (K, C / groups, R, S), bias (K,); result
        (N, K, H', W') with H' = (H + 2 padding - dilation (R - 1) - 1) // stride + 1.
    Dtypes: one for all, of any numbers; integers wrap around.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> conv2d(am.ones((1, 1, 3, 3)), am.ones((1, 1, 2, 2))).numpy()[0, 0]
        array([[4., 4.],
               [4., 4.]], dtype=float32)
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes | str = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Convolution (cross-correlation) over volumes.

    Shapes: input (N, C, D, H, W) or (C, D, H, W), weight (K, C / groups, Q, R, S), bias (K,).
    Errors: ShapeError, ArgumentError.
    """
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv(
    rank: int, input: Any, weight: Any, bias: Any, stride: Sizes, padding: Sizes | str,
    dilation: Sizes, groups: int,
) -> Tensor:  # fmt: skip
    name = f"conv{rank}d"
    x, w = nodes(input, weight)
    b = None if bias is None else nodes(bias)[0]
    same_numbers(name, x, weight=w, bias=b)
    alone = x.rank == rank + 1
    if alone:
        x = reshape(x, attrs=((1, *x.shape),))
    check_operands(name, rank, x, w, b, groups)
    steps = per_axis(name, "stride", stride, rank)
    gaps = per_axis(name, "dilation", dilation, rank)
    if isinstance(padding, str):
        x = _pad_by_name(name, x, padding, w.shape[2:], steps, gaps)
        around: Shape = (0,) * rank
    else:
        around = per_axis(name, "padding", padding, rank, least=0)
    _check_reach(name, x.shape[2:], w.shape[2:], around, gaps)
    y = conv(x, w, steps, around, gaps, groups)
    if b is not None:
        y = add(y, along(b, 1, y.shape))
    return wrap(reshape(y, attrs=(y.shape[1:],)) if alone else y)


def check_operands(name: str, rank: int, x: Node, w: Node, b: Node | None, groups: int) -> None:
    """Ranks, channels and groups of a convolution, or a ShapeError."""
    if x.rank != rank + 2 or w.rank != rank + 2:
        raise ShapeError(
            f"{name}: the input is {x.shape} and the weight {w.shape}; need {rank + 2} dimensions "
            f"each: (batch, channels, {rank} sizes) and (filters, channels / groups, {rank} sizes)"
        )
    if groups < 1 or w.shape[0] % groups:
        raise ArgumentError(f"{name}: groups is {groups} for {w.shape[0]} filters; need a divisor")
    if x.shape[1] != w.shape[1] * groups:
        raise ShapeError(
            f"{name}: the input {x.shape} has {x.shape[1]} channels; the weight {w.shape} needs "
            f"{w.shape[1] * groups}; the channels are axis 1: use x.permute(...) if they came last"
        )
    if b is not None and b.shape != (w.shape[0],):
        raise ShapeError(f"{name}: the bias is {b.shape}; need ({w.shape[0]},)")


def _check_reach(name: str, space: Shape, window: Shape, around: Shape, gaps: Shape) -> None:
    for n, r, p, d in zip(space, window, around, gaps, strict=True):
        if n + 2 * p < (r - 1) * d + 1:
            raise ShapeError(
                f"{name}: an axis of {n} with padding {p} is shorter than the kernel of {r} with "
                f"dilation {d} ({(r - 1) * d + 1} wide); need a larger input or more padding"
            )


def _pad_by_name(
    name: str, x: Node, padding: str, window: Shape, steps: Shape, gaps: Shape
) -> Node:
    if padding == "valid":
        return x
    if padding != "same":
        raise ArgumentError(f"{name}: padding is {padding!r}; need 'same', 'valid' or integers")
    if any(step != 1 for step in steps):
        raise ArgumentError(f"{name}: padding='same' with stride {steps}; need stride 1")
    total = [(r - 1) * d for r, d in zip(window, gaps, strict=True)]
    return pad_with(x, (0, 0, *(t // 2 for t in total)), (0, 0, *(t - t // 2 for t in total)))


def conv_transpose1d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """The transpose of `conv1d`: its gradient by the input.

    Shapes: input (N, C, L) or (C, L), weight (C, K / groups, R), bias (K,); result (N, K, L').
    Errors: ShapeError, ArgumentError.
    """
    return _conv_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """The transpose of `conv2d`: its gradient by the input.

    Shapes: input (N, C, H, W) or (C, H, W), weight (C, K / groups, R, S), bias (K,); result
        (N, K, H', W') with H' = (H - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1.
    Dtypes: as `conv2d`.
    Errors: ShapeError, ArgumentError.

    Example:
        >>> import ambos as am
        >>> conv_transpose2d(am.ones((1, 1, 2, 2)), am.ones((1, 1, 2, 2))).numpy()[0, 0]
        array([[1., 2., 1.],
               [2., 4., 2.],
               [1., 2., 1.]], dtype=float32)
    """
    return _conv_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Tensor:  # fmt: skip
    """The transpose of `conv3d`: its gradient by the input.

    Shapes: input (N, C, D, H, W) or (C, D, H, W), weight (C, K / groups, Q, R, S), bias (K,).
    Errors: ShapeError, ArgumentError.
    """
    return _conv_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def _conv_transpose(
    rank: int, input: Any, weight: Any, bias: Any, stride: Sizes, padding: Sizes,
    output_padding: Sizes, groups: int, dilation: Sizes,
) -> Tensor:  # fmt: skip
    name = f"conv_transpose{rank}d"
    x, w = nodes(input, weight)
    b = None if bias is None else nodes(bias)[0]
    same_numbers(name, x, weight=w, bias=b)
    alone = x.rank == rank + 1
    if alone:
        x = reshape(x, attrs=((1, *x.shape),))
    _check_transposed(name, rank, x, w, b, groups)
    steps = per_axis(name, "stride", stride, rank)
    around = per_axis(name, "padding", padding, rank, least=0)
    extra = per_axis(name, "output_padding", output_padding, rank, least=0)
    gaps = per_axis(name, "dilation", dilation, rank)
    if any(e >= max(s, d) for e, s, d in zip(extra, steps, gaps, strict=True)):
        raise ArgumentError(
            f"{name}: output_padding is {extra} with stride {steps} and dilation {gaps}; need "
            "less than the larger of the two"
        )
    space = tuple(
        (n - 1) * s - 2 * p + d * (r - 1) + e + 1
        for n, r, s, p, d, e in zip(
            x.shape[2:], w.shape[2:], steps, around, gaps, extra, strict=True
        )
    )
    if min(space) < 1:
        raise ShapeError(f"{name}: the result would be {space}; need positive sizes: less padding")
    # The convolution of an image that exists only as a shape, and its gradient by that image. With
    # more output_padding than the stride there are more windows than the input has elements.
    image = data.leaf(None, (x.shape[0], w.shape[1] * groups, *space), x.dtype)
    windows = cut_to(conv(image, w, steps, around, gaps, groups), x.shape)
    y = _pulled_back(windows, image, x)
    if b is not None:
        y = add(y, along(b, 1, y.shape))
    return wrap(reshape(y, attrs=(y.shape[1:],)) if alone else y)


def _check_transposed(name: str, rank: int, x: Node, w: Node, b: Node | None, groups: int) -> None:
    if x.rank != rank + 2 or w.rank != rank + 2:
        raise ShapeError(
            f"{name}: the input is {x.shape} and the weight {w.shape}; need {rank + 2} dimensions "
            f"each: (batch, channels, {rank} sizes) and (channels, filters / groups, {rank} sizes)"
        )
    if groups < 1 or w.shape[0] % groups:
        raise ArgumentError(f"{name}: groups is {groups} for {w.shape[0]} channels; need a divisor")
    if min(x.shape[2:]) < 1:
        raise ShapeError(f"{name}: the input is {x.shape}; need at least one element an axis")
    if x.shape[1] != w.shape[0]:
        raise ShapeError(
            f"{name}: the input {x.shape} has {x.shape[1]} channels; the weight {w.shape} needs "
            f"{w.shape[0]}; the channels are axis 1: use x.permute(...) if they came last"
        )
    filters = w.shape[1] * groups
    if b is not None and b.shape != (filters,):
        raise ShapeError(f"{name}: the bias is {b.shape}; need ({filters},)")


def _pulled_back(result: Node, image: Node, g: Node) -> Node:
    """What `g`, at the result of a convolution, means for its image: a walk back through the
    contraction and the movement around it, whether gradients are tracked now or not."""
    node = result
    while node is not image:
        op = node.op
        assert isinstance(op, Op)
        share = op.vjp(node, g)[0]
        assert share is not None
        g, node = share, node.inputs[0]
    return g
