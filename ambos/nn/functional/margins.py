"""Losses that ask for a margin: between classes, between pairs, between near and far.

A prediction is never broadcast against its target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError, DTypeError, IndexingError, ShapeError
from ambos.core.shape import Shape
from ambos.nn.functional.shared import (
    along,
    as_tensor,
    check_reduction,
    inexact,
    loss_of,
    prediction_and_target,
    real,
    same_dtype,
    same_shape,
)
from ambos.nn.functional.smooth import log_of_sigmoid
from ambos.tensor.checks import require_range
from ambos.tensor.creation import arange
from ambos.tensor.distances import pairwise_distance
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.movement import broadcast_to
from ambos.tensor.pointwise import where

Distance = Callable[[Any, Any], Tensor]


def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target * input)), where targets are 1 or -1; without overflow.

    Shapes: input and target alike.
    Errors: ShapeError where the shapes differ.

    Example:
        >>> import ambos as am
        >>> soft_margin_loss(am.tensor([0.0]), am.tensor([1.0]))
        tensor(0.6931)
    """
    x, t = prediction_and_target("soft_margin_loss", input, target)
    return loss_of("soft_margin_loss", -log_of_sigmoid(t * x), reduction)


def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """Distances where the target is 1, and what they lack to the margin where it is -1.

    Shapes: input and target alike.
    Errors: ShapeError where the shapes differ.

    Example:
        >>> import ambos as am
        >>> hinge_embedding_loss(am.tensor([0.5, 0.25]), am.tensor([1, -1]), reduction="none")
        tensor([0.5 , 0.75])
    """
    x, t = prediction_and_target("hinge_embedding_loss", input, target)
    near, far = where(t != -1, x, 0.0), where(t != 1, (margin - x).clamp_min(0.0), 0.0)
    return loss_of("hinge_embedding_loss", near + far, reduction)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """What input1 lacks to be larger than input2 by the margin, where the target is 1; the other
    way round where it is -1.

    Shapes: all alike.
    Dtypes: integers are computed as float32.
    Errors: ShapeError where the shapes differ.

    Example:
        >>> import ambos as am
        >>> margin_ranking_loss(am.tensor([1.0]), am.tensor([3.0]), am.tensor([1.0])).item()
        2.0
    """
    name = "margin_ranking_loss"
    x, t = prediction_and_target(name, inexact(input1), target)
    y, _ = prediction_and_target(name, inexact(input2), target)
    return loss_of(name, (-t * (x - y) + margin).clamp_min(0.0), reduction)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 - cosine of the angle where the target is 1, and what it exceeds the margin by where it is
    -1.

    Shapes: inputs (N, D) and target (N,), or (D,) and ().
    Dtypes: integers and bools are computed as float32.
    Errors: ShapeError.

    Example:
        >>> import ambos as am
        >>> x = am.tensor([[1.0, 0.0]])
        >>> cosine_embedding_loss(x, x, am.tensor([-1])).item()
        1.0
    """
    name = "cosine_embedding_loss"
    x, y, t = inexact(input1), inexact(input2), as_tensor(target)
    same_shape(name, x._node, y._node)
    if x.ndim not in (1, 2) or t.shape != x.shape[:-1]:
        raise ShapeError(f"{name}: inputs are {x.shape} and the target {t.shape}; need (N, D) and "
                         "(N,), or (D,) and ()")  # fmt: skip
    inner = (x * y).sum(-1)
    size = (((x * x).sum(-1) + 1e-12) * ((y * y).sum(-1) + 1e-12)).sqrt()
    cosine = inner / size
    apart = (cosine - margin).clamp_min(0.0)
    return loss_of(name, where(t == 1, 1 - cosine, where(t == -1, apart, 0.0)), reduction)


def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2.0,
    eps: float = 1e-6, swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """By how much, margin included, the positive is farther from the anchor than the negative.

    `swap` takes the negative's distance from the positive where that is smaller.

    Shapes: all alike, (..., D); the result without reduction (...).
    Dtypes: integers are computed as float32.
    Errors: ShapeError; ArgumentError unless the margin is positive.
    Source: Balntas et al. (2016), "Learning local feature descriptors with triplets".

    Example:
        >>> import ambos as am
        >>> a, n = am.zeros(1, 2), am.tensor([[3.0, 4.0]])
        >>> round(triplet_margin_loss(a, n, a, margin=1.0, eps=0.0).item(), 4)
        6.0
    """

    def distance(x: Tensor, y: Tensor) -> Tensor:
        found: Tensor = pairwise_distance(x, y, p, eps)
        return found

    return _triplet("triplet_margin_loss", (anchor, positive, negative), distance, margin, swap,
                    reduction)  # fmt: skip


def triplet_margin_with_distance_loss(
    anchor: Any, positive: Any, negative: Any, *, distance_function: Distance | None = None,
    margin: float = 1.0, swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """`triplet_margin_loss` with a distance of your own (`pairwise_distance` where left out).

    Shapes: all alike.
    Dtypes: integers are computed as float32.
    Errors: ShapeError; ArgumentError unless the margin is positive.

    Example:
        >>> import ambos as am
        >>> a, n = am.zeros(1, 2), am.ones(1, 2)
        >>> triplet_margin_with_distance_loss(
        ...     a, n, a, distance_function=lambda x, y: (x - y).abs().sum(-1)
        ... ).item()
        3.0
    """
    return _triplet(
        "triplet_margin_with_distance_loss", (anchor, positive, negative),
        distance_function or pairwise_distance, margin, swap, reduction,
    )  # fmt: skip


def _triplet(
    name: str, given: tuple[Any, Any, Any], distance: Distance, margin: float, swap: bool,
    reduction: str,
) -> Tensor:  # fmt: skip
    anchor, positive, negative = (inexact(x) for x in given)
    check_reduction(name, reduction)
    if not margin > 0:
        raise ArgumentError(f"{name}: margin is {margin}; need a positive number")
    if not anchor.shape == positive.shape == negative.shape:
        raise ShapeError(f"{name}: the anchor is {anchor.shape}, the positive {positive.shape} and "
                         f"the negative {negative.shape}; need equal shapes (losses never "
                         "broadcast)")  # fmt: skip
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return loss_of(name, (near - far + margin).clamp_min(0.0), reduction)


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """What the target's score lacks to be larger by the margin than those of other classes, to the
    power p, as a mean over classes.

    Shapes: input (N, C) or (C,), target (N,) or (), weight (C,).
    Errors: ShapeError, DTypeError; IndexingError for an index that is no class; ArgumentError
        unless p is 1 or 2.

    Example:
        >>> import ambos as am
        >>> multi_margin_loss(am.tensor([[0.5, 0.0]]), am.tensor([0])).item()
        0.25
    """
    name = "multi_margin_loss"
    x, t = real(name, input), as_tensor(target)
    check_reduction(name, reduction)
    if p not in (1, 2):
        raise ArgumentError(f"{name}: p is {p}; need 1 or 2")
    rows, classes = _rows(name, x)
    if t.ndim > 1 or t.numel() != rows:
        raise ShapeError(f"{name}: the input is {x.shape} and the target {t.shape}; need "
                         f"{x.shape[:-1]}")  # fmt: skip
    alone = x.ndim < 2
    x, t = x.reshape(rows, classes), _classes(name, t, classes, 0).reshape(rows, 1)
    hit = arange(classes) == t
    own = where(hit, x, 0.0).sum(1, keepdims=True)
    lack = (margin - own + x).clamp_min(0.0)
    lack = lack if p == 1 else lack * lack
    if weight is not None:
        w = real(name, weight)
        same_dtype(name, x._node, weight=w._node)
        if w.shape != (classes,):
            raise ShapeError(f"{name}: weight is {w.shape}; need ({classes},), one per class")
        lack = lack * where(hit, wrap(along(w._node, 1, x.shape)), 0.0).sum(1, keepdims=True)
    loss = where(hit, 0.0, lack).sum(1) / classes
    return loss_of(name, loss.reshape(()) if alone else loss, reduction)


def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """What each of the target's scores lacks to be larger by 1 than those of other classes.

    A row of the target lists classes; the first -1 ends the list.

    Shapes: input and target (N, C) or (C,).
    Errors: ShapeError, DTypeError; IndexingError for an index that is no class.

    Example:
        >>> import ambos as am
        >>> x = am.tensor([0.5, 0.0, 0.25, 0.75])
        >>> multilabel_margin_loss(x, am.tensor([3, 0, -1, 1])).item()
        0.5
    """
    name = "multilabel_margin_loss"
    x, t = real(name, input), as_tensor(target)
    check_reduction(name, reduction)
    rows, classes = _rows(name, x)
    if t.shape != x.shape:
        raise ShapeError(f"{name}: the input is {x.shape} and the target {t.shape}; need equal "
                         "shapes: pad lists of classes with -1")  # fmt: skip
    alone = x.ndim < 2
    x, t = x.reshape(rows, classes), _classes(name, t, classes, -1).reshape(rows, classes)
    listed = (t < 0).cumsum(1) == 0
    # [row, entry of the list, class]
    hit = (t.unsqueeze(2) == arange(classes)) & listed.unsqueeze(2)
    own = where(hit, x.unsqueeze(1), 0.0).sum(2)
    named = hit.any(1)
    lack = (1 - own.unsqueeze(2) + x.unsqueeze(1)).clamp_min(0.0)
    counts = listed.unsqueeze(2) & named.logical_not().unsqueeze(1)
    loss = where(counts, lack, 0.0).sum((1, 2)) / classes
    return loss_of(name, loss.reshape(()) if alone else loss, reduction)


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """Cross entropy of yes-or-no logits, as a mean over the last axis.

    Shapes: input and target (..., C); weight broadcasts to them.
    Errors: ShapeError where the shapes differ.

    Example:
        >>> import ambos as am
        >>> multilabel_soft_margin_loss(am.tensor([[0.0, 0.0]]), am.tensor([[1.0, 0.0]]))
        tensor(0.6931)
    """
    name = "multilabel_soft_margin_loss"
    x, t = prediction_and_target(name, input, target)
    if x.ndim == 0:
        raise ShapeError(f"{name}: the input is a scalar; need (..., classes)")
    loss = -(t * log_of_sigmoid(x) + (1 - t) * log_of_sigmoid(-x))
    if weight is not None:
        loss = loss * broadcast_to(weight, x.shape)
    return loss_of(name, loss.sum(-1) / x.shape[-1], reduction)


def _rows(name: str, x: Tensor) -> Shape:
    """How many rows of how many scores; a vector is one row."""
    if x.ndim > 2 or 0 in x.shape[-1:]:
        raise ShapeError(f"{name}: the input is {x.shape}; need (batch, classes) or (classes,), "
                         "and one class at least")  # fmt: skip
    return (x.shape[0] if x.ndim == 2 else 1), (x.shape[-1] if x.ndim else 1)


def _classes(name: str, t: Tensor, classes: int, least: int) -> Tensor:
    """`t` as int64, whose known values are checked."""
    if not t.dtype.is_integer:
        raise DTypeError(f"{name}: the target is {t.dtype.name}; need integers: use target.long()")
    require_range(
        t._node, least, classes, IndexingError,
        lambda found: f"{name}: a target is {found}; need {least} <= index < {classes}",
    )  # fmt: skip
    return t.to(int64)
