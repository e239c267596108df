"""Values that are known when an operation is asked for, and have to lie in a range.

They are looked at once, at the user's own line. A jitted function is asked once for all its calls,
so it looks again at every call, before anything is overwritten; a value that is still to be
computed is not waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ambos.core.dtype import bfloat16, float64, int64, uint64
from ambos.core.errors import AmbosError, ArgumentError
from ambos.graph.node import Node, make
from ambos.ops.arithmetic import (
    bitwise_and,
    bitwise_or,
    cast,
    equal,
    greater,
    greater_equal,
    isfinite,
    less,
    logical_not,
    not_equal,
    subtract,
)
from ambos.ops.functions import trunc
from ambos.ops.kinds import constant_like
from ambos.ops.movement import expand, reshape
from ambos.ops.reductions import any_, sum_
from ambos.ops.sources import iota
from ambos.tensor.tracing import current

SHAPES = ("reshape", "permute")
MOVES = (*SHAPES, "slice", "flip")
UNNAMED = "out of range"  # in place of the value, which only the native check has seen


def require_range(
    node: Node, low: int, high: int, error: type[AmbosError], message: Callable[[Any], str],
    besides: int | None = None, lengths: Node | None = None,
) -> None:  # fmt: skip
    """Every value of `node` that is known, cut to an integer, has to lie in [low, high) or be
    `besides`; else an `error` with the `message` for the first that does not. Of rows only the
    first so many as `lengths` says count, where it is given."""
    if lengths is None:
        node, values = known(node)
    else:
        values = None if node.value is None or lengths.value is None else node.value.numpy()
    if values is None or not values.size:
        return
    wrong = outside(values, low, high, besides)
    if lengths is not None:
        wrong = wrong & (np.arange(node.shape[1]) < lengths.value.numpy()[:, None])
    if wrong.any():
        raise error(message(values[wrong].flat[0]))
    if current.trace is not None:
        found = outside_node(node, low, high, besides, lengths)
        current.trace.checks[found] = error, message(UNNAMED)


def known(node: Node) -> tuple[Node, np.ndarray[Any, Any] | None]:
    """A node with the values of `node`, in any shape and not cut to integers yet, and these; None
    where they are still to be computed. What is only moved is known: `y[:, 0]` of known data."""
    moves: list[Node] = []
    found = node
    while found.value is None and (found.op.name in MOVES or _is_cut(found) or _is_whole(found)):
        is_nothing = found.op.name in SHAPES and not moves  # their order says nothing
        if not is_nothing and not _is_cut(found):
            moves.append(found)
        found = found.inputs[0]
    if found.value is None:
        return node, None
    values = found.value.numpy()
    for move in reversed(moves):
        op: Any = move.op
        attrs = (np.dtype(move.dtype.name),) if op is cast else move.attrs
        values, found = op.ref(np, values, *attrs), make(op, (found,), move.attrs)
    return found, values


def _is_cut(node: Node) -> bool:
    """Is `node` a cast to integers, which are cut anyway where their range is looked at?"""
    return node.op is cast and node.dtype is int64 and node.inputs[0].dtype is not uint64


def _is_whole(node: Node) -> bool:
    """Is `node` a cast of integers, which NumPy has too?"""
    return node.op is cast and node.inputs[0].dtype.is_integer and node.dtype is not bfloat16


def require_whole(node: Node, message: Callable[[Any], str]) -> None:
    """Every known value has to be a whole number; else an ArgumentError with the `message` for the
    first that is none."""
    node, values = known(node)
    if values is None or not values.size:
        return
    wrong = ~(values == np.trunc(values))
    if wrong.any():
        raise ArgumentError(message(values[wrong].flat[0]))
    if current.trace is not None:
        odd = not_equal(node, trunc(node))
        found = any_(odd, attrs=(tuple(range(node.rank)),)) if node.rank else odd
        current.trace.checks[found] = ArgumentError, message("no whole number")


def require_between(node: Node, low: float, high: float, above: bool, start: str, end: str) -> None:
    """Every known value has to lie in [low, high], or with `above` in (low, high]; NaN does not.
    Else an ArgumentError that says the first that does not between `start` and `end`."""
    if node.value is None or not node.size:
        return
    values = node.value.numpy()
    fit = ((values > low) if above else (values >= low)) & (values <= high)
    if not fit.all():
        raise ArgumentError(f"{start}{values[~fit].flat[0]}{end}")
    if current.trace is not None:
        least, most = constant_like(node, low), constant_like(node, high)
        inside = (greater if above else greater_equal)(node, least)
        wrong = logical_not(bitwise_and(inside, greater_equal(most, node)))
        found = any_(wrong, attrs=(tuple(range(node.rank)),)) if node.rank else wrong
        current.trace.checks[found] = ArgumentError, f"{start}{UNNAMED}{end}"


def require_weights(op: str, node: Node, needed: int) -> None:
    """Every known row (along the last axis) has to hold finite numbers that are not negative,
    `needed` of them above 0; else an ArgumentError."""
    if node.value is None or not node.size:
        return
    values = node.value.numpy()
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ArgumentError(f"{op}: a weight is negative, infinite or NaN; need finite weights >= "
                            "0: use am.softmax on logits")  # fmt: skip
    message = f"{op}: a row has fewer than {needed} weights above 0; need as many as are drawn"
    if not ((values > 0).sum(-1) >= needed).all():
        raise ArgumentError(message)
    if current.trace is not None:
        current.trace.checks[_unfit_node(node, needed)] = (
            ArgumentError, f"{message}, and none negative, infinite or NaN"
        )  # fmt: skip


def _unfit_node(node: Node, needed: int) -> Node:
    """A bool scalar: is any row of `node` none of weights?"""
    zero = constant_like(node, 0)
    fit = bitwise_and(isfinite(node), greater_equal(node, zero))
    there = cast(greater(node, zero), attrs=(int64,))
    count = sum_(there, attrs=((node.rank - 1,),))
    few = less(count, constant_like(count, needed))
    few = any_(few, attrs=(tuple(range(few.rank)),)) if few.rank else few
    odd = any_(logical_not(fit), attrs=(tuple(range(node.rank)),))
    return bitwise_or(few, odd)


def outside(
    values: np.ndarray[Any, Any], low: int, high: int, besides: int | None = None
) -> np.ndarray[Any, Any]:
    """Which of `values` do not lie in [low, high)? NaN does not."""
    if values.dtype.kind == "f":
        whole = np.trunc(values.astype(np.float64, copy=False))
        wrong = ~((whole >= float(low)) & (whole < float(high)))
    else:
        wrong = (values < low) | (values > high - 1)
    return wrong if besides is None else wrong & (values != besides)


def outside_node(
    node: Node, low: int, high: int, besides: int | None, lengths: Node | None = None
) -> Node:
    """A bool scalar: does any value of `node` not lie in [low, high)?"""
    if node.dtype.is_floating:
        whole = trunc(cast(node, attrs=(float64,)))
        above = greater_equal(whole, constant_like(whole, float(low)))
        inside = bitwise_and(above, less(whole, constant_like(whole, float(high))))
        wrong = equal(inside, constant_like(inside, False))
    else:
        # Without a sign what lies below is huge, so that one comparison finds both.
        whole = cast(node, attrs=(int64,))
        shifted = subtract(whole, constant_like(whole, low)) if low else whole
        far = cast(shifted, attrs=(uint64,))
        wrong = greater_equal(far, constant_like(far, high - low))
    if besides is not None:
        wrong = bitwise_and(wrong, not_equal(whole, constant_like(whole, besides)))
    if lengths is not None:
        end = expand(reshape(cast(lengths, attrs=(int64,)), attrs=((node.shape[0], 1),)),
                     attrs=(node.shape,))  # fmt: skip
        place = expand(reshape(iota(attrs=(node.shape[1],)), attrs=((1, node.shape[1]),)),
                       attrs=(node.shape,))  # fmt: skip
        wrong = bitwise_and(wrong, less(place, end))
    return any_(wrong, attrs=(tuple(range(node.rank)),)) if node.rank else wrong
