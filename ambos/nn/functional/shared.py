"""What the functions share: checks on the way in, reductions that keep their place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ambos.core.dtype import DType, as_dtype, bool_
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.core.unknown import as_float
from ambos.graph.node import Node
from ambos.ops.arithmetic import cast, divide, where
from ambos.ops.kinds import constant, constant_like
from ambos.ops.movement import expand, pad, reshape
from ambos.ops.reductions import sum_
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.operands import floating as promoted


def nodes(*values: Any) -> tuple[Node, ...]:
    """The expressions behind tensors (or arrays)."""
    return tuple(node_of(value) for value in values)


def as_tensor(value: Any) -> Tensor:
    """`value` itself, or a tensor of an array's or a list's numbers."""
    return value if isinstance(value, Tensor) else wrap(node_of(value))


def channels_first(x: Tensor, axis: int, channels: int) -> str:
    """What to add where an input has no `channels` in `axis` but as its last, as in Keras."""
    if x.shape[-1] != channels:
        return ""
    axes = [n for n in range(x.ndim) if n < axis % x.ndim]
    order = (*axes, x.ndim - 1, *range(len(axes), x.ndim - 1))
    return f"; channels stand before what they are of: x.permute{order}; else"


def floating(name: str, x: Node) -> Node:
    """`x`, or a DTypeError unless it is floating."""
    if not x.dtype.is_floating:
        raise DTypeError(f"{name}: got {x.dtype.name}; need a floating dtype: use x.float()")
    return x


def in_dtype(name: str, value: Any, dtype: Any) -> Node:
    """`value` in `dtype`, where one is given, or a DTypeError unless it is floating then."""
    x = node_of(value)
    return floating(name, x if dtype is None else as_type(x, as_dtype(dtype)))


def numeric(name: str, x: Node) -> Node:
    """`x`, or a DTypeError where it is bool."""
    if x.dtype is bool_:
        raise DTypeError(f"{name}: got bool; need numbers: use x.float(), or x.long() to count")
    return x


def inexact(value: Any) -> Tensor:
    """`value` as a tensor; integers and bools as float32."""
    return wrap(promoted(node_of(value)))


def real(name: str, value: Any) -> Tensor:
    """`value` as a floating tensor, or a DTypeError."""
    x = as_tensor(value)
    floating(name, x._node)
    return x


def computed(x: Tensor) -> Tensor:
    """`x` in the dtype that arithmetic runs in: a formula of several steps rounds a half precision
    once, at its end."""
    return wrap(as_type(x._node, x.dtype.compute))


def back(y: Tensor, x: Tensor) -> Tensor:
    """`y` in the dtype of `x`."""
    return wrap(as_type(y._node, x.dtype))


def same_dtype(name: str, x: Node, **others: Node | None) -> None:
    """A DTypeError unless all are of one floating dtype."""
    same_numbers(name, floating(name, x), **others)


def same_numbers(name: str, x: Node, **others: Node | None) -> None:
    """A DTypeError unless all are of one dtype, which may be an integer one, but not bool."""
    numeric(name, x)
    for role, other in others.items():
        if other is not None and other.dtype is not x.dtype:
            raise DTypeError(
                f"{name}: the input is {x.dtype.name} and the {role} {other.dtype.name}; need "
                f"one dtype: use x.to({role}.dtype)"
            )


def as_type(x: Node, dtype: DType) -> Node:
    return x if x.dtype is dtype else cast(x, attrs=(dtype,))


def along(value: Node, axis: int, shape: Shape) -> Node:
    """A vector laid along `axis` and expanded to `shape`."""
    single = tuple(extent if i == axis else 1 for i, extent in enumerate(shape))
    return expand(reshape(value, attrs=(single,)), attrs=(shape,))


def mean(x: Node, axes: Sequence[int]) -> Node:
    """The average over `axes`, which disappear."""
    total = sum_(x, attrs=(tuple(axes),))
    count = size_of([x.shape[axis] for axis in axes])
    return divide(total, constant_like(total, as_float(count) if count else math.nan))


def pad_with(x: Node, before: Sequence[int], after: Sequence[int], value: float = 0) -> Node:
    """`x` with `value` around it."""
    if not any((*before, *after)):
        return x
    amounts = (tuple(before), tuple(after))
    zeros = pad(x, attrs=amounts)
    if value == 0:
        return zeros
    inside = pad(constant(True, bool_, x.shape), attrs=amounts)
    return where(inside, zeros, constant_like(zeros, value))


def per_axis(name: str, role: str, value: Any, count: int, least: int = 1) -> Shape:
    """An integer for every spatial axis, from one for all (alone or in a tuple) or one each."""
    given = (value,) * count if isinstance(value, int) else value
    if isinstance(given, (tuple, list)) and len(given) == 1:
        given = tuple(given) * count
    ok = isinstance(given, (tuple, list)) and len(given) == count
    if not ok or not all(isinstance(n, int) and n >= least for n in given):
        raise ArgumentError(
            f"{name}: {role} is {value!r}; need an integer >= {least}"
            + (f" or {count} of them" if count > 1 else "")
        )
    return tuple(given)


def same_shape(name: str, prediction: Node, target: Node) -> None:
    """A ShapeError unless the shapes are equal: losses never broadcast."""
    a, b = prediction.shape, target.shape
    if a == b:
        return
    fix = "need equal shapes"
    if size_of(a) == size_of(b):
        fix += f": use target.reshape{b if len(a) == 0 else a}"
        one = [i for i in range(max(len(a), len(b))) if i < len(a) and a[i] == 1]
        if len(a) == len(b) + 1 and one:
            fix += f" or prediction.squeeze({one[-1]})"
    raise ShapeError(
        f"{name}: the prediction is {a} and the target {b}; {fix} (losses never broadcast)"
    )


def reduced(name: str, loss: Node, reduction: str) -> Node:
    """All of `loss`, its mean or its sum."""
    if reduction == "none":
        return loss
    axes = tuple(range(loss.rank))
    if reduction == "mean":
        return mean(loss, axes) if axes else loss
    if reduction == "sum":
        return sum_(loss, attrs=(axes,)) if axes else loss
    raise ArgumentError(f"{name}: reduction is {reduction!r}; need 'mean', 'sum' or 'none'")


def check_reduction(name: str, reduction: str, *more: str) -> None:
    """An ArgumentError unless `reduction` is one that losses know."""
    known = ("mean", "sum", "none", *more)
    if reduction not in known:
        need = ", ".join(map(repr, known[:-1]))
        raise ArgumentError(f"{name}: reduction is {reduction!r}; need {need} or {known[-1]!r}")


def loss_of(name: str, loss: Tensor, reduction: str) -> Tensor:
    """All of `loss`, its mean or its sum."""
    return wrap(reduced(name, loss._node, reduction))


def prediction_and_target(name: str, input: Any, target: Any) -> tuple[Tensor, Tensor]:
    """A floating prediction, and a target of its shape in its dtype."""
    x, t = nodes(input, target)
    floating(name, x)
    same_shape(name, x, t)
    return wrap(x), wrap(as_type(t, x.dtype))


def described(x: Tensor | Node) -> str:
    """`float32[8, 3]`."""
    return f"{x.dtype.name}{list(x.shape)}"
