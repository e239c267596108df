"""Writing at computed positions: replaced, added, or folded into what is there."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.dtype import DType, bool_, int64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import broadcast, normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import indexing as index_ops
from ambos.ops import scan
from ambos.ops.bounds import wrapped
from ambos.ops.folding import scatter_fold
from ambos.tensor.assignment import replaced, scatter_last
from ambos.tensor.gather import positions, scatter_parts
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.indexing import positions_of
from ambos.tensor.names import public
from ambos.tensor.operands import convert, expand_to, scalar
from ambos.tensor.padding import pad

FOLDS = ("sum", "prod", "mean", "amax", "amin")
OLDER_FOLDS = {"add": "sum", "multiply": "prod"}  # what `scatter` calls them


@public
def index_copy(x: Any, axis: int, indices: Any, updates: Any) -> Tensor:
    """A copy of `x` with slices of updates put at positions along an axis; of equal positions the
    last wins.

    Example:
        >>> import ambos as am
        >>> am.index_copy(am.zeros(3), 0, am.tensor([2, 0]), am.tensor([5.0, 7.0])).tolist()
        [7.0, 0.0, 5.0]
    """
    node, at, index, new = _slices("index_copy", x, axis, indices, updates)
    if node.rank == 0:
        return wrap(reshaped(new, ()))
    place = (*(slice(None) for _ in range(at)), wrap(index))
    return wrap(replaced(node, place, wrap(new)))


def _slices(op: str, x: Any, axis: int, indices: Any, updates: Any) -> tuple[Node, int, Node, Node]:
    """Operands of a function on slices along an axis: what is written to, the axis, the vector of
    positions, what is written."""
    node, index, new = node_of(x), positions(op, indices), node_of(updates)
    at = normalize_axis(op, axis, max(node.rank, 1))
    if index.rank > 1:
        raise ShapeError(f"{op}: indices are {index.shape}; need a vector")
    if new.dtype is not node.dtype:
        raise DTypeError(f"{op}: updates are {new.dtype.name} for {node.dtype.name}; need one "
                         "dtype")  # fmt: skip
    need = (*node.shape[:at], index.size, *node.shape[at + 1 :]) if node.rank else ()
    if new.shape != need and not (new.size == 1 == math.prod(need)):
        raise ShapeError(f"{op}: updates are {new.shape} for {index.size} positions on axis {axis} "
                         f"of {node.shape}; need {need}")  # fmt: skip
    return node, at, reshaped(index, (index.size,)), reshaped(new, need)


@public
def index_add(x: Any, axis: int, indices: Any, updates: Any, alpha: float = 1) -> Tensor:
    """A copy of `x` to which slices of updates, times `alpha`, are added at positions along an
    axis; of bools "or".

    Example:
        >>> import ambos as am
        >>> at, new = am.tensor([0, 0]), am.tensor([2.0, 4.0])
        >>> am.index_add(am.ones(2), 0, at, new, alpha=10).tolist()
        [61.0, 1.0]
    """
    given = wrap(convert(node_of(updates), node_of(x).dtype))
    node, at, index, new = _slices("index_add", x, axis, indices, given)
    if alpha != 1:
        new = ops.multiply(new, scalar(alpha, node.dtype, new.shape))
    if node.rank == 0:
        node, new = reshaped(node, (1,)), reshaped(new, (1,))
    found = _add(node, wrapped(index, node.shape[at]), new, at)
    return wrap(reshaped(found, node_of(x).shape))


@public
def index_put(x: Any, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """A copy of `x` with `values` at x[indices] (a tuple of tensors, one an axis; None takes all),
    or with `accumulate` added there, as often as a position occurs.

    Example:
        >>> import ambos as am
        >>> at = (am.tensor([1, 1]),)
        >>> am.index_put(am.zeros(2), at, am.ones(2), accumulate=True).tolist()
        [0.0, 2.0]
    """
    node, new = node_of(x), node_of(values)
    if new.dtype is not node.dtype:
        raise DTypeError(f"index_put: values are {new.dtype.name} for {node.dtype.name}; need one "
                         "dtype")  # fmt: skip
    if not isinstance(indices, (tuple, list)):
        raise ArgumentError(f"index_put: indices are {indices!r}; need a tuple of tensors")
    place = tuple(slice(None) if one is None else one for one in indices)
    if not accumulate:
        return wrap(replaced(node, place, wrap(new)))
    places = positions_of(node.shape, place)
    flat = reshaped(expand_to(new, places.shape), (places.size,))
    start = reshaped(node, (node.size,))
    total = _add(start, reshaped(places, (places.size,)), flat, 0)
    return wrap(reshaped(total, node.shape))


def _add(node: Node, index: Node, new: Node, axis: int) -> Node:
    """Slices added at a vector of positions; of bools "or"."""
    if node.dtype is bool_:
        return convert(_add(convert(node, int64), index, convert(new, int64), axis), bool_)
    return index_ops.scatter_add(node, index, new, attrs=(axis,))


@public
def put(x: Any, indices: Any, updates: Any, accumulate: bool = False) -> Tensor:
    """A copy of `x` with updates at row-major positions (negative ones count from the end), or with
    `accumulate` added there; of equal positions the last wins.

    Example:
        >>> import ambos as am
        >>> am.put(am.zeros(2, 2), am.tensor([1, -1]), am.tensor([5.0, 7.0])).tolist()
        [[0.0, 5.0], [0.0, 7.0]]
    """
    node, index, new = node_of(x), positions("put", indices), node_of(updates)
    if new.size != index.size:
        raise ShapeError(f"put: {new.size} updates for {index.size} positions; need one each")
    if new.dtype is not node.dtype:
        raise DTypeError(f"put: updates are {new.dtype.name} for {node.dtype.name}; need one dtype")
    flat, count = reshaped(node, (node.size,)), index.size
    places = wrapped(reshaped(index, (count,)), node.size)
    new = reshaped(new, (count,))
    written = _add(flat, places, new, 0) if accumulate else scatter_last(flat, 0, places, new)
    return wrap(reshaped(written, node.shape))


@public
def masked_scatter(x: Any, mask: Any, updates: Any) -> Tensor:
    """A copy of `x` where elements under the mask are those of `updates`, in row-major order.

    Errors: IndexingError, when the result is looked at, where the updates do not suffice.

    Example:
        >>> import ambos as am
        >>> x, mask = am.zeros(3), am.tensor([True, False, True])
        >>> am.masked_scatter(x, mask, am.tensor([5.0, 7.0])).tolist()
        [5.0, 0.0, 7.0]
    """
    node, chosen, new = node_of(x), node_of(mask), node_of(updates)
    if chosen.dtype is not bool_:
        raise DTypeError(f"masked_scatter: the mask is {chosen.dtype.name}; need bool: compare it")
    if new.dtype is not node.dtype:
        raise DTypeError(f"masked_scatter: updates are {new.dtype.name} for {node.dtype.name}; "
                         "need one dtype")  # fmt: skip
    node = expand_to(node, broadcast("masked_scatter", node.shape, chosen.shape))
    count = node.size
    if not count:
        return wrap(node)
    under = reshaped(expand_to(chosen, node.shape), (count,))
    number = scan.cumsum(convert(under, int64), attrs=(0, False))
    # An element in front, for those that are not under the mask, so that the numbers fit.
    padded = node_of(pad(wrap(reshaped(new, (new.size,))), (1, 0)))
    place = ops.where(under, number, scalar(0, int64, (count,)))
    found = index_ops.take(padded, place, attrs=(0,))
    return wrap(reshaped(ops.where(under, found, reshaped(node, (count,))), node.shape))


@public
def scatter(x: Any, axis: int, indices: Any, updates: Any, *, reduce: str | None = None) -> Tensor:
    """A copy of `x` with updates[i, j] put at [indices[i, j], j] for axis 0, and so on; of equal
    targets the last wins. With reduce "add" or "multiply" all of them count, and what is there.

    Example:
        >>> import ambos as am
        >>> at, new = am.tensor([2, 2]), am.tensor([5.0, 7.0])
        >>> am.scatter(am.ones(3), 0, at, new).tolist()
        [1.0, 1.0, 7.0]
        >>> am.scatter(am.ones(3), 0, at, new, reduce="add").tolist()
        [1.0, 1.0, 13.0]
    """
    node, at, index, new = scatter_parts("scatter", x, axis, indices, updates)
    if reduce is None:
        found = scatter_last(node, at, index, new)
    else:
        _check_fold("scatter", reduce, tuple(OLDER_FOLDS))
        found = _folded(node, index, new, at, OLDER_FOLDS[reduce], True)
    return wrap(reshaped(found, node_of(x).shape))


@public
def scatter_reduce(
    x: Any, axis: int, indices: Any, updates: Any, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy of `x` with updates[i, j] folded into [indices[i, j], j] for axis 0, and so on:
    "sum", "prod", "mean", "amax" or "amin" of them and (`include_self`) of what is there.

    Means of integers are rounded down. Gradients of extremes are shared by equal ones.

    Example:
        >>> import ambos as am
        >>> at, new = am.tensor([0, 0, 1]), am.tensor([1.0, 5.0, 2.0])
        >>> am.scatter_reduce(am.full((2,), 3.0), 0, at, new, "amax").tolist()
        [5.0, 3.0]
    """
    node, at, index, new = scatter_parts("scatter_reduce", x, axis, indices, updates)
    _check_fold("scatter_reduce", reduce, FOLDS)
    folded = _folded(node, index, new, at, reduce, include_self)
    return wrap(reshaped(folded, node_of(x).shape))


def _check_fold(op: str, reduce: Any, known: tuple[str, ...]) -> None:
    if reduce not in known:
        raise ArgumentError(f"{op}: reduce is {reduce!r}; need one of {', '.join(known)}")


@public
def index_reduce(
    x: Any, axis: int, indices: Any, updates: Any, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy of `x` with slices of updates folded into positions along an axis: "prod", "mean",
    "amax" or "amin" (see `scatter_reduce`).

    Example:
        >>> import ambos as am
        >>> at, new = am.tensor([0, 0]), am.tensor([2.0, 4.0])
        >>> am.index_reduce(am.ones(2), 0, at, new, "mean", include_self=False).tolist()
        [3.0, 1.0]
    """
    node, at, index, new = _slices("index_reduce", x, axis, indices, updates)
    _check_fold("index_reduce", reduce, FOLDS)
    if node.rank == 0:
        node, new = reshaped(node, (1,)), reshaped(new, (1,))
    line = reshaped(index, tuple(index.size if a == at else 1 for a in range(node.rank)))
    folded = _folded(node, expand_to(line, new.shape), new, at, reduce, include_self)
    return wrap(reshaped(folded, node_of(x).shape))


def _folded(
    node: Node, index: Node, new: Node, axis: int, reduce: str, include_self: bool
) -> Node:  # fmt: skip
    if not index.size:
        return node
    if node.dtype is bool_:  # numbers of 0 and 1: sums and largest are "or", products "and"
        inner = {"sum": "amax", "mean": "amin", "prod": "amin"}.get(reduce, reduce)
        first, updates = convert(node, int64), convert(new, int64)
        return convert(_folded(first, index, updates, axis, inner, include_self), bool_)
    nobody = scalar(0, int64, node.shape)
    counts = index_ops.scatter_elements(nobody, index, scalar(1, int64, new.shape), attrs=(axis,))
    if not include_self:
        neutral = scalar(_neutral(reduce, node.dtype), node.dtype, node.shape)
        node = ops.where(ops.greater(counts, nobody), neutral, node)
    if reduce in ("prod", "amax", "amin"):
        return scatter_fold(node, index, new, attrs=(axis, reduce))
    total = index_ops.scatter_elements(node, index, new, attrs=(axis,))
    if reduce == "sum":
        return total
    one = scalar(1, int64, node.shape)
    counts = ops.add(counts, one) if include_self else ops.maximum(counts, one)
    divide = ops.divide if total.dtype.is_floating else ops.floor_divide
    return divide(total, convert(counts, total.dtype))


def _neutral(reduce: str, dtype: DType) -> int | float:
    """What changes nothing when something is folded into it."""
    if reduce in ("amax", "amin"):
        return dtype.min if reduce == "amax" else dtype.max
    return 1 if reduce == "prod" else 0


__all__ = [
    "index_add", "index_copy", "index_put", "index_reduce", "masked_scatter", "put", "scatter",
    "scatter_reduce",
]  # fmt: skip
