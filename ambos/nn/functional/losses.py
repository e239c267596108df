"""Losses. A prediction is never broadcast against its target."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.dtype import bool_, int64
from ambos.core.errors import ArgumentError, DTypeError, IndexingError, ShapeError
from ambos.graph.node import Node
from ambos.nn.functional.activation import log_softmax
from ambos.nn.functional.linear import linear
from ambos.nn.functional.shared import (
    along,
    as_type,
    described,
    floating,
    nodes,
    reduced,
    same_dtype,
    same_shape,
)
from ambos.ops.arithmetic import (
    absolute,
    add,
    bitwise_and,
    divide,
    equal,
    greater_equal,
    less,
    maximum,
    multiply,
    negative,
    not_equal,
    subtract,
    where,
)
from ambos.ops.functions import exp, log1p
from ambos.ops.kinds import constant_like
from ambos.ops.reductions import keep, sum_
from ambos.ops.sources import iota
from ambos.tensor.checks import known, require_range
from ambos.tensor.handle import Tensor, wrap


def cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """Cross entropy of logits against class indices or class probabilities.

    Shapes: input (C,) or (N, C, ...); target () or (N, ...) of indices, or probabilities shaped
        like the input; weight (C,).
    Dtypes: input floating; indices integer.
    Errors: ShapeError, DTypeError; IndexingError for an index that is no class (NaN where the
        index is itself a pending result).

    Example:
        >>> import ambos as am
        >>> cross_entropy(am.tensor([[0.0, 0.0]]), am.tensor([1]))
        tensor(0.6931)
    """
    x, t = nodes(input, target)
    w = None if weight is None else nodes(weight)[0]
    _check_reduction("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"cross_entropy: label_smoothing is {label_smoothing}; need 0 to 1")
    axis = _class_axis("cross_entropy", x)
    logp = nodes(log_softmax(wrap(x), axis))[0]
    if t.dtype.is_floating and t.shape == x.shape:
        if ignore_index >= 0:
            raise ArgumentError(
                f"cross_entropy: ignore_index is {ignore_index} and the target probabilities; need "
                "class indices, or no ignore_index"
            )
        return wrap(_against_probabilities(logp, t, w, axis, reduction, label_smoothing))
    return wrap(_against_indices(
        "cross_entropy", logp, t, w, axis, ignore_index, reduction, label_smoothing
    ))  # fmt: skip


def linear_cross_entropy(
    input: Any, linear_weight: Any, target: Any, *, linear_bias: Any = None, weight: Any = None,
    reduction: str = "mean", ignore_index: int | None = None, label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:  # fmt: skip
    """`cross_entropy` of the logits linear(input, linear_weight, linear_bias). `options`, which say
    how PyTorch cuts up the work, are accepted and change nothing.

    Shapes: input (N, features) or (features,), linear_weight (C, ..., features), linear_bias
        (C, ...), target (N, ...) of indices, or (N, C, ...) of probabilities.
    Errors: ShapeError, DTypeError; ArgumentError for ignore_index with probabilities.

    Example:
        >>> import ambos as am
        >>> linear_cross_entropy(am.ones(1, 2), am.zeros(2, 2), am.tensor([1]))
        tensor(0.6931)
    """
    name = "linear_cross_entropy"
    x, w, t = nodes(input, linear_weight, target)
    if (
        x.rank not in (1, 2)
        or w.rank < 2
        or x.shape[-1] != w.shape[-1]
        or (x.rank == 1 and w.rank > 2)
    ):
        raise ShapeError(f"{name}: the input is {x.shape} and linear_weight {w.shape}; need "
                         "(N, features) and (C, ..., features), or (features,) and "
                         "(C, features)")  # fmt: skip
    if ignore_index is not None and t.dtype.is_floating:
        raise ArgumentError(f"{name}: ignore_index with a target of probabilities; need class "
                            "indices for it")  # fmt: skip
    bias = None if linear_bias is None else nodes(linear_bias)[0]
    classes = w.shape[:-1]
    if bias is not None and bias.shape != classes:
        raise ShapeError(f"{name}: linear_bias is {bias.shape}; need {classes}")
    rows = wrap(w).reshape(-1, w.shape[-1])
    logits = linear(wrap(x), rows, None if bias is None else wrap(bias).reshape(-1))
    return cross_entropy(
        logits.reshape(*x.shape[:-1], *classes), wrap(t), weight,
        -100 if ignore_index is None else ignore_index, reduction, label_smoothing,
    )  # fmt: skip


def nll_loss(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """Minus the log-probability, given by `input`, of the target's classes.

    Shapes: as `cross_entropy`.
    Errors: ShapeError, DTypeError, IndexingError.

    Example:
        >>> import ambos as am
        >>> nll_loss(am.tensor([[-1.0, -2.0]]), am.tensor([1]))
        tensor(2.)
    """
    x, t = nodes(input, target)
    w = None if weight is None else nodes(weight)[0]
    _check_reduction("nll_loss", reduction)
    axis = _class_axis("nll_loss", x)
    return wrap(_against_indices("nll_loss", x, t, w, axis, ignore_index, reduction, 0.0))


def _class_axis(name: str, x: Node) -> int:
    floating(name, x)
    if x.rank == 0:
        raise ShapeError(f"{name}: the input is a scalar; need (classes,) or (batch, classes, ...)")
    return 0 if x.rank == 1 else 1


def _against_indices(
    name: str, logp: Node, t: Node, w: Node | None, axis: int, ignored: int, reduction: str,
    smoothing: float,
) -> Node:  # fmt: skip
    """Selecting by comparison, not by gathering: forward and backward stay passes over rows."""
    classes = logp.shape[axis]
    _check_indices(name, logp, t, axis)
    require_range(
        t, 0, classes, IndexingError,
        lambda found: f"{name}: a target is {found}; need 0 <= index < {classes} (the input has "
        f"{classes} classes), or ignore_index={ignored}",
        besides=ignored,
    )  # fmt: skip
    chosen = as_type(t, int64)
    counts = not_equal(chosen, constant_like(chosen, ignored))
    place = along(iota(attrs=(classes,)), axis, logp.shape)
    hit = equal(place, keep(chosen, (axis,), logp.shape))
    zero = constant_like(logp, 0.0)
    loss = negative(sum_(where(hit, logp, zero), attrs=((axis,),)))
    share = as_type(counts, logp.dtype)
    if w is not None:
        _check_weight(name, w, logp, axis)
        share = sum_(where(hit, along(w, axis, logp.shape), zero), attrs=((axis,),))
        share = where(counts, share, constant_like(share, 0.0))
        loss = multiply(loss, share)
    if smoothing:
        every = logp if w is None else multiply(logp, along(w, axis, logp.shape))
        spread = negative(sum_(every, attrs=((axis,),)))
        loss = add(
            multiply(loss, constant_like(loss, 1 - smoothing)),
            multiply(spread, constant_like(loss, smoothing / classes)),
        )
    loss = where(counts, loss, constant_like(loss, 0.0))
    if known(t)[1] is None:
        loss = _poisoned(loss, chosen, counts, classes)
    if reduction == "none":
        return loss
    axes = tuple(range(loss.rank))
    total = sum_(loss, attrs=(axes,)) if axes else loss
    if reduction == "sum":
        return total
    return divide(total, sum_(share, attrs=(axes,)) if axes else share)


def _poisoned(loss: Node, chosen: Node, counts: Node, classes: int) -> Node:
    """NaN where an index that could not be checked beforehand is no class."""
    fits = bitwise_and(
        greater_equal(chosen, constant_like(chosen, 0)),
        less(chosen, constant_like(chosen, classes)),
    )
    wrong = bitwise_and(counts, equal(fits, constant_like(fits, False)))
    return where(wrong, constant_like(loss, math.nan), loss)


def _check_indices(name: str, x: Node, t: Node, axis: int) -> None:
    need = x.shape[:axis] + x.shape[axis + 1 :]
    if not t.dtype.is_integer:
        fix = "use target.long() for class indices"
        if t.dtype is bool_ and t.shape == x.shape:
            fix = "use target.float() for probabilities"
        raise DTypeError(
            f"{name}: the input is {described(x)} and the target {described(t)}; need integer "
            f"class indices shaped {need}, or probabilities shaped {x.shape}; {fix}"
        )
    if t.shape != need:
        fix = f"need {need}"
        if t.shape == x.shape and x.rank > 1:
            fix += f"; one-hot codes must be floating: use target.float() or target.argmax({axis})"
        elif t.size == math.prod(need):
            fix += f": use target.reshape({need})"
        raise ShapeError(f"{name}: the input is {x.shape} and the target {t.shape}; {fix}")


def _check_weight(name: str, w: Node, x: Node, axis: int) -> None:
    same_dtype(name, x, weight=w)
    if w.shape != (x.shape[axis],):
        raise ShapeError(f"{name}: weight is {w.shape}; need ({x.shape[axis]},), one per class")


def _against_probabilities(
    logp: Node, t: Node, w: Node | None, axis: int, reduction: str, smoothing: float
) -> Node:
    classes = logp.shape[axis]
    share = as_type(t, logp.dtype)
    if smoothing:
        share = add(
            multiply(share, constant_like(share, 1 - smoothing)),
            constant_like(share, smoothing / classes),
        )
    if w is not None:
        _check_weight("cross_entropy", w, logp, axis)
        share = multiply(share, along(w, axis, logp.shape))
    return reduced(
        "cross_entropy", negative(sum_(multiply(logp, share), attrs=((axis,),))), reduction
    )


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Squared differences.

    Shapes: input and target alike.
    Errors: ShapeError where the shapes differ.

    Example:
        >>> import ambos as am
        >>> mse_loss(am.tensor([1.0, 2.0]), am.tensor([1.0, 4.0]))
        tensor(2.)
    """
    x, t = _pair("mse_loss", input, target)
    away = subtract(x, t)
    return wrap(reduced("mse_loss", multiply(away, away), reduction))


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Absolute differences.

    Shapes: input and target alike.
    Errors: ShapeError where the shapes differ.

    Example:
        >>> import ambos as am
        >>> l1_loss(am.tensor([1.0, 2.0]), am.tensor([1.0, 4.0]))
        tensor(1.)
    """
    x, t = _pair("l1_loss", input, target)
    return wrap(reduced("l1_loss", absolute(subtract(x, t)), reduction))


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """Cross entropy of yes-or-no logits against probabilities of yes.

    Shapes: input and target alike; weight and pos_weight broadcast to them.
    Errors: ShapeError where the shapes differ.

    Example:
        >>> import ambos as am
        >>> binary_cross_entropy_with_logits(am.tensor([0.0]), am.tensor([1.0]))
        tensor(0.6931)
    """
    name = "binary_cross_entropy_with_logits"
    x, t = _pair(name, input, target)
    # log(1 + exp(-x)), stable for both signs; `maximum` shares ties, so the slope at 0 is 1/2.
    magnitude = log1p(exp(negative(absolute(x))))
    minus = add(maximum(negative(x), constant_like(x, 0.0)), magnitude)
    if pos_weight is not None:
        extra = multiply(subtract(_fitted(name, pos_weight, x), constant_like(x, 1.0)), t)
        minus = multiply(add(extra, constant_like(x, 1.0)), minus)
    loss = add(multiply(subtract(constant_like(t, 1.0), t), x), minus)
    if weight is not None:
        loss = multiply(loss, _fitted(name, weight, x))
    return wrap(reduced(name, loss, reduction))


def _fitted(name: str, value: Any, x: Node) -> Node:
    (w,) = nodes(wrap(as_type(nodes(value)[0], x.dtype)).expand(x.shape))
    return w


def _pair(name: str, input: Any, target: Any) -> tuple[Node, Node]:
    x, t = nodes(input, target)
    floating(name, x)
    same_shape(name, x, t)
    return x, as_type(t, x.dtype)


def _check_reduction(name: str, reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f"{name}: reduction is {reduction!r}; need 'mean', 'sum' or 'none'")
