"""Normalisation by groups of channels, by root mean squares, by norms, by neighbouring channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Node
from ambos.nn.functional.normalization import (
    away_from,
    batch_norm,
    drift,
    last_axes,
    mean_square,
    moved_statistics,
    of_several,
    per_element,
    trailing,
)
from ambos.nn.functional.shared import (
    as_type,
    back,
    computed,
    inexact,
    mean,
    nodes,
    pad_with,
    real,
    same_dtype,
)
from ambos.ops.arithmetic import add, multiply, subtract
from ambos.ops.functions import rsqrt
from ambos.ops.kinds import constant_like
from ambos.ops.movement import expand, reshape, window
from ambos.ops.reductions import keep, sum_
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.norms import norm


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Each group of neighbouring channels of each example with mean 0 and variance 1, then scaled
    by `weight` and shifted by `bias`.

    Shapes: input (N, C, ...), weight and bias (C,).
    Errors: ShapeError; ArgumentError unless the groups divide the channels.
    Source: Wu and He (2018), "Group normalization".

    Example:
        >>> import ambos as am
        >>> group_norm(am.tensor([[1.0, 3.0, 5.0, 9.0]]), 2, eps=0.0).numpy()
        array([[-1.,  1., -1.,  1.]], dtype=float32)
    """
    (x,) = nodes(input)
    if x.rank < 2:
        raise ShapeError(f"group_norm: the input is {x.shape}; need (batch, channels, ...)")
    scale, shift = _per_channel("group_norm", x, weight=weight, bias=bias)
    channels = x.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise ArgumentError(f"group_norm: num_groups is {num_groups} for the {channels} channels "
                            f"of {x.shape}; need a divisor")  # fmt: skip
    if x.size == 0:
        return wrap(x)
    inner = (channels // num_groups, size_of(x.shape[2:]))
    grouped = reshape(x, attrs=((x.shape[0], num_groups, *inner),))
    y, _, _ = _centred(grouped, (2, 3), eps)
    y = _affine(y, (num_groups, inner[0]), scale, shift)
    return wrap(reshape(y, attrs=(x.shape,)))


def _per_channel(name: str, x: Node, **given: Any) -> list[Node | None]:
    """Vectors with one number per channel (axis 1) of `x`, or None."""
    found = {role: None if v is None else nodes(v)[0] for role, v in given.items()}
    same_dtype(name, x, **found)
    for role, value in found.items():
        if value is not None and value.shape != (x.shape[1],):
            raise ShapeError(f"{name}: the input {x.shape} has {x.shape[1]} channels and {role} is "
                             f"{value.shape}; need ({x.shape[1]},)")  # fmt: skip
    return list(found.values())


def _centred(x: Node, axes: Shape, eps: float) -> tuple[Node, Node, Node]:
    """`x` with mean 0 and variance 1 over `axes`, and both as they were. Why the gradient of the
    average goes a way of its own: `normalization.drift`."""
    average = mean(x, axes)
    away = away_from(x, average, axes)
    spread = mean_square(away, average, axes)
    inverse = rsqrt(add(spread, constant_like(spread, eps)))
    centred = subtract(away, keep(drift(average), axes, x.shape))
    return multiply(centred, keep(inverse, axes, x.shape)), average, spread


def _affine(y: Node, channels: Shape, scale: Node | None, shift: Node | None) -> Node:
    """`y` (N, *channels, ...) times `scale` plus `shift`, one number per channel each."""
    single = (1, *channels, *(1 for _ in y.shape[1 + len(channels) :]))
    for factor, op in ((scale, multiply), (shift, add)):
        if factor is not None:
            y = op(y, expand(reshape(factor, attrs=(single,)), attrs=(y.shape,)))
    return y


def instance_norm(
    input: Any, running_mean: Tensor | None = None, running_var: Tensor | None = None,
    weight: Any = None, bias: Any = None, use_input_stats: bool = True, momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Each channel of each example with mean 0 and variance 1, then scaled and shifted.

    `running_mean` and `running_var`, if given, move towards the batch's by `momentum`; without
    `use_input_stats` they are what is used.

    Shapes: input (N, C, ...), the others (C,).
    Errors: ShapeError; ArgumentError where there is nothing to take statistics of.
    Source: Ulyanov, Vedaldi, Lempitsky (2016), "Instance normalization".

    Example:
        >>> import ambos as am
        >>> instance_norm(am.tensor([[[1.0, 3.0]]]), eps=0.0).numpy()
        array([[[-1.,  1.]]], dtype=float32)
    """
    (x,) = nodes(input)
    if x.rank < 3:
        raise ShapeError(f"instance_norm: the input is {x.shape}; need (batch, channels, sizes "
                         "...)")  # fmt: skip
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ArgumentError("instance_norm: no running statistics; need them, or "
                                "use_input_stats=True")  # fmt: skip
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    scale, shift, means, variances = _per_channel(
        "instance_norm", x, weight=weight, bias=bias, running_mean=running_mean,
        running_var=running_var,
    )  # fmt: skip
    count = size_of(x.shape[2:])
    if count <= 1:
        raise ShapeError(f"instance_norm: the input {x.shape} has {count} value per channel; need "
                         "more than one")  # fmt: skip
    y, average, spread = _centred(x, tuple(range(2, x.rank)), of_several(eps, count))
    if running_mean is not None and means is not None:
        running_mean.data = wrap(moved_statistics(means, mean(average, (0,)), momentum))
    if running_var is not None and variances is not None:
        fair = multiply(spread, constant_like(spread, count / (count - 1)))
        running_var.data = wrap(moved_statistics(variances, mean(fair, (0,)), momentum))
    return wrap(_affine(y, (x.shape[1],), scale, shift))


def rms_norm(
    input: Any, normalized_shape: int | Sequence[int], weight: Any = None, eps: float | None = None
) -> Tensor:
    """The last axes divided by the root of their mean square, then scaled.

    `eps` is added to the mean square; left out, it is the dtype's rounding error.

    Shapes: input (..., *normalized_shape), weight `normalized_shape`.
    Errors: ShapeError.
    Source: Zhang and Sennrich (2019), "Root mean square layer normalization".

    Example:
        >>> import ambos as am
        >>> rms_norm(am.tensor([[3.0, -3.0]]), 2).numpy().round(3)
        array([[ 1., -1.]], dtype=float32)
    """
    (given,) = nodes(real("rms_norm", input))
    inner = last_axes("rms_norm", given, normalized_shape)
    (scale,) = per_element("rms_norm", given, inner, weight=weight)
    if eps is None:
        eps = 2.0**-7 if given.dtype.name == "bfloat16" else float(np.finfo(given.dtype.name).eps)
    x = as_type(given, given.dtype.compute)
    axes = tuple(range(x.rank - len(inner), x.rank))
    squares = mean(multiply(x, x), axes)
    inverse = rsqrt(add(squares, constant_like(squares, eps)))
    y = multiply(x, keep(inverse, axes, x.shape))
    if scale is not None:
        y = multiply(y, trailing(as_type(scale, x.dtype), x.shape))
    return wrap(as_type(y, given.dtype))


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha * mean of x**2 over `size` neighbouring channels) ** beta.

    Shapes: (N, C, ...), at least one axis behind the channels. Channels beyond the ends are 0 and
        count.
    Dtypes: integers are computed as float32.
    Errors: ShapeError, ArgumentError.
    Source: Krizhevsky, Sutskever, Hinton (2012), "ImageNet classification".

    Example:
        >>> import ambos as am
        >>> local_response_norm(am.ones(1, 2, 1), 2, alpha=2.0, beta=1.0).tolist()
        [[[0.5], [0.3333333432674408]]]
    """
    given = inexact(input)
    if given.ndim < 3:
        raise ShapeError(f"local_response_norm: the input is {given.shape}; need (batch, channels, "
                         "...)")  # fmt: skip
    if size < 1:
        raise ArgumentError(f"local_response_norm: size is {size}; need at least 1")
    x = computed(given)
    if x.numel() == 0:
        return given
    squares = (x * x)._node
    before, after = [0] * x.ndim, [0] * x.ndim
    before[1], after[1] = size // 2, (size - 1) // 2
    windows = window(pad_with(squares, before, after), attrs=((1,), (size,), (1,), (1,)))
    total = wrap(sum_(windows, attrs=((x.ndim,),)))
    return back(x / (k + total * (alpha / size)) ** beta, given)


def normalize(
    input: Any, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12
) -> Tensor:
    """x divided by its norm of order p over axes, which counts as at least `eps`.

    Errors: ArgumentError for an axis that the input lacks; DTypeError unless it is floating.

    Example:
        >>> import ambos as am
        >>> normalize(am.tensor([[3.0, 4.0]])).numpy().round(3)
        array([[0.6, 0.8]], dtype=float32)
    """
    given = real("normalize", input)
    x = computed(given)
    if x.ndim == 0:
        if dim not in (0, -1):
            raise ArgumentError(f"normalize: axis {dim} of a scalar; need 0 or -1")
        return back((x / norm(x.reshape(1), p).clamp_min(eps)), given)
    return back(x / norm(x, p, dim, keepdims=True).clamp_min(eps), given)
