"""Normalisation over the batch or over the features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.core.unknown import is_unknown
from ambos.graph.node import Node
from ambos.nn.functional.shared import along, as_type, mean, nodes, same_dtype
from ambos.ops.arithmetic import add, multiply, negative, subtract
from ambos.ops.functions import rsqrt
from ambos.ops.kinds import constant, constant_like
from ambos.ops.movement import detach, expand, reshape
from ambos.ops.reductions import keep
from ambos.tensor.handle import Tensor, wrap


def batch_norm(
    input: Any, running_mean: Tensor | None, running_var: Tensor | None, weight: Any = None,
    bias: Any = None, training: bool = False, momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Each channel with mean 0 and variance 1, then scaled by `weight` and shifted by `bias`.

    In training the batch's own statistics are used, and `running_mean` and `running_var`, if
    given, move towards them by `momentum` (the variance without bias).

    Shapes: input (N, C, ...), the others (C,).
    Errors: ShapeError; ArgumentError where there is nothing to take statistics of.
    Source: Ioffe and Szegedy (2015), "Batch normalization".

    Example:
        >>> import ambos as am
        >>> batch_norm(am.tensor([[1.0], [3.0]]), None, None, training=True).numpy().round(3)
        array([[-1.],
               [ 1.]], dtype=float32)
    """
    (x,) = nodes(input)
    if x.rank < 2:
        raise ShapeError(f"batch_norm: the input is {x.shape}; need (batch, channels, ...)")
    scale, shift = (None if v is None else nodes(v)[0] for v in (weight, bias))
    means, variances = (None if v is None else nodes(v)[0] for v in (running_mean, running_var))
    given = {"weight": scale, "bias": shift, "running_mean": means, "running_var": variances}
    same_dtype("batch_norm", x, **given)
    for role, value in given.items():
        if value is not None and value.shape != (x.shape[1],):
            raise ShapeError(f"batch_norm: the input {x.shape} has {x.shape[1]} channels and "
                             f"{role} is {value.shape}; need ({x.shape[1]},)")  # fmt: skip
    if not training:
        if means is None or variances is None:
            raise ArgumentError("batch_norm: no running statistics; need them, or training=True")
        return wrap(_standardized(x, means, variances, scale, shift, eps))
    axes = (0, *range(2, x.rank))
    count = size_of([x.shape[axis] for axis in axes])
    if count == 1:
        raise ShapeError(
            f"batch_norm: the input {x.shape} has 1 value per channel; training needs more than "
            "one: use a larger batch, or eval()"
        )
    if count == 0:  # nothing to take statistics of, and nothing that needs them
        zeros, ones = (constant(value, x.dtype, (x.shape[1],)) for value in (0, 1))
        return wrap(_standardized(x, zeros, ones, scale, shift, eps))
    eps = of_several(eps, count)
    average = mean(x, axes)
    spread = mean_square(away_from(x, average, axes), average, axes)
    if running_mean is not None and means is not None:
        running_mean.data = wrap(moved_statistics(means, average, momentum))
    if running_var is not None and variances is not None:
        fair = multiply(spread, constant_like(spread, count / (count - 1)))
        running_var.data = wrap(moved_statistics(variances, fair, momentum))
    return wrap(_standardized(x, average, spread, scale, shift, eps, moves=True))


def of_several(eps: float, count: Any) -> Any:
    """`eps`; where the count is not known yet, made of it, and it cannot be made of 1: one value
    has no spread, and a functional model says so for the data."""
    return eps + 0.0 * (1 / (count - 1)) if is_unknown(count) else eps


def _standardized(
    x: Node, average: Node, variance: Node, scale: Node | None, shift: Node | None, eps: float,
    moves: bool = False,
) -> Node:  # fmt: skip
    """(x - average) / sqrt(variance + eps) * scale + shift, per channel. `moves`: the average
    depends on x."""
    factor = rsqrt(add(variance, constant_like(variance, eps)))
    if scale is not None:
        factor = multiply(factor, scale)
    away = subtract(x, along(detach(average) if moves else average, 1, x.shape))
    if moves:
        moved = multiply(drift(average), factor)
        shift = negative(moved) if shift is None else subtract(shift, moved)
    y = multiply(away, along(factor, 1, x.shape))
    return y if shift is None else add(y, along(shift, 1, x.shape))


# Gradients without a chain of sums. With a constant c
#     (x - average) s = (x - c) s - (average - c) s
#     variance = mean((x - c)^2) - (average - c)^2
# whatever c is. It is the average itself, detached: the new terms are 0, but the gradient that
# belongs to the average goes through them, where it is a sum that the gradients of scale and shift
# need anyway. One pass over x fewer; derivatives of any order stay right.


def drift(average: Node) -> Node:
    """0, with the gradient of `average`."""
    return subtract(average, detach(average))


def away_from(x: Node, average: Node, axes: Shape) -> Node:
    """x - average, of which `average` gets no gradient."""
    return subtract(x, keep(detach(average), axes, x.shape))


def mean_square(away: Node, average: Node, axes: Shape) -> Node:
    """The variance."""
    zero = drift(average)
    return subtract(mean(multiply(away, away), axes), multiply(zero, zero))


def moved_statistics(old: Node, new: Node, momentum: float | Tensor) -> Node:
    """A running statistic moved towards a new one, of which it gives no gradient."""
    new = detach(new)
    rest, share = (
        expand(reshape(as_type(v._node, old.dtype), attrs=((1,),)), attrs=(old.shape,))
        if isinstance(v, Tensor) else constant_like(old, v)
        for v in (1 - momentum, momentum)
    )  # fmt: skip
    return add(multiply(old, rest), multiply(as_type(new, old.dtype), share))


def last_axes(name: str, x: Node, normalized_shape: int | Sequence[int]) -> Shape:
    """The sizes of the last axes, which have to be what is asked for."""
    given = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
    inner: Shape = tuple(given)
    if not inner or x.shape[-len(inner) :] != inner:
        raise ShapeError(f"{name}: the input is {x.shape} and normalized_shape {inner}; need an "
                         f"input that ends in {inner or 'one axis at least'}")  # fmt: skip
    return inner


def per_element(name: str, x: Node, inner: Shape, **given: Any) -> list[Node | None]:
    """Parameters with one number for each element of the last axes, or None."""
    found = {role: None if v is None else nodes(v)[0] for role, v in given.items()}
    same_dtype(name, x, **found)
    for role, value in found.items():
        if value is not None and value.shape != inner:
            raise ShapeError(f"{name}: {role} is {value.shape}; need {inner}")
    return list(found.values())


def layer_norm(
    input: Any, normalized_shape: int | Sequence[int], weight: Any = None, bias: Any = None,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """The last axes with mean 0 and variance 1, then scaled and shifted.

    Shapes: input (..., *normalized_shape), weight and bias `normalized_shape`.
    Errors: ShapeError.
    Source: Ba, Kiros, Hinton (2016), "Layer normalization".

    Example:
        >>> import ambos as am
        >>> layer_norm(am.tensor([[-1.0, 1.0]]), 2, eps=0.0).numpy()
        array([[-1.,  1.]], dtype=float32)
    """
    (x,) = nodes(input)
    inner = last_axes("layer_norm", x, normalized_shape)
    scale, shift = per_element("layer_norm", x, inner, weight=weight, bias=bias)
    axes = tuple(range(x.rank - len(inner), x.rank))
    average = mean(x, axes)
    away = away_from(x, average, axes)
    spread = mean_square(away, average, axes)
    inverse = rsqrt(add(spread, constant_like(spread, eps)))
    centred = subtract(away, keep(drift(average), axes, x.shape))
    y = multiply(centred, keep(inverse, axes, x.shape))
    if scale is not None:
        y = multiply(y, trailing(scale, x.shape))
    return wrap(y if shift is None else add(y, trailing(shift, x.shape)))


def trailing(value: Node, shape: Shape) -> Node:
    """`value` along the last axes, expanded to `shape`."""
    single = (1,) * (len(shape) - value.rank) + value.shape
    return expand(reshape(value, attrs=(single,)), attrs=(shape,))
