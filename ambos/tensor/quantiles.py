"""What lies in the middle, or at any share, of elements in order.

`median` and `nanmedian` speak both languages: `axis=` gives NumPy's values (the mean of the two
middle elements), `dim=` or a positional axis gives PyTorch's pair (values, indices) of the lower
one; without either the lower one of all elements.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ambos.core.dtype import float64, int64
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import functions
from ambos.ops import indexing as index_ops
from ambos.ops import reductions as folds
from ambos.ops.movement import permute
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, wrap
from ambos.tensor.movement import cut_axis
from ambos.tensor.names import public
from ambos.tensor.operands import binary, convert, expand_to, floating, scalar
from ambos.tensor.reductions import UNSAID, Axis, Extremes, axes_in

# Where the share q of n elements lies, counted from 0: q (n + 1 - alpha - beta) + alpha - 1.
CONTINUOUS = {
    "linear": (1.0, 1.0), "hazen": (0.5, 0.5), "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3), "normal_unbiased": (3 / 8, 3 / 8),
    "interpolated_inverted_cdf": (0.0, 1.0),
}  # fmt: skip
BETWEEN = ("lower", "higher", "nearest", "midpoint")  # of the two neighbours of "linear"
STEPS = ("inverted_cdf", "averaged_inverted_cdf", "closest_observation")
METHODS = ("linear", *BETWEEN, *STEPS, *(name for name in CONTINUOUS if name != "linear"))


def rows_of(op: str, node: Node, axis: Axis) -> tuple[Node, Shape]:
    """`node` with the axes to reduce behind the others, merged into one, and the result's shape if
    they stay as axes of size 1."""
    axes = axes_in(op, axis, node.rank)
    kept = tuple(a for a in range(node.rank) if a not in axes)
    order, count = (*kept, *axes), math.prod(node.shape[a] for a in axes)
    if not count:
        raise ShapeError(f"{op}: axis {axes} of {node.shape} has no elements; need one")
    moved = node if order == tuple(range(node.rank)) else permute(node, attrs=(order,))
    single = tuple(1 if a in axes else n for a, n in enumerate(node.shape))
    return reshaped(moved, (*(node.shape[a] for a in kept), count)), single


def _missing(rows: Node) -> Node:
    """How many elements of each row are NaN, as a column."""
    count = folds.sum_(convert(ops.isnan(rows), int64), attrs=((rows.rank - 1,),))
    return reshaped(count, (*count.shape, 1))


def _at(rows: Node, place: Node | int) -> Node:
    """One element of each row, as a column."""
    last = rows.rank - 1
    if isinstance(place, int):
        return cut_axis(rows, last, place, place + 1)
    return index_ops.gather(rows, place, attrs=(last,))


def _number(value: int, like: Node) -> Node:
    return scalar(value, like.dtype, like.shape)


def _middle(rows: Node, skip: bool, upper: bool = False) -> Node | int:
    """Where the lower (or upper) middle element is in the order of each row: among what is not NaN,
    or, unless these are left out, at the first NaN."""
    count = rows.shape[-1]
    middle = count // 2 if upper else (count - 1) // 2
    if not rows.dtype.is_floating:
        return middle
    missing = _missing(rows)
    there = ops.subtract(_number(count, missing), missing)
    if not skip:
        return ops.where(ops.equal(there, _number(count, there)), _number(middle, there), there)
    last = ops.subtract(there, _number(0 if upper else 1, there))
    half = ops.floor_divide(last, _number(2, there))
    return ops.maximum(half, _number(0, half))  # all NaN: the first of them


def _lower(op: str, x: Any, axis: Axis, keepdims: bool, skip: bool) -> Extremes:
    """PyTorch's median: the lower middle element, and where it is."""
    rows, single = rows_of(op, node_of(x), axis)
    place = _middle(rows, skip)
    count = place + 1 if isinstance(place, int) else rows.shape[-1]
    index = _at(index_ops.argsort(rows, attrs=(count, False)), place)
    found = index_ops.gather(rows, index, attrs=(rows.rank - 1,))
    shape = single if keepdims else index.shape[:-1]
    return Extremes(wrap(reshaped(found, shape)), wrap(reshaped(index, shape)))


def _average(op: str, x: Any, axis: Axis, keepdims: bool, skip: bool) -> Tensor:
    """NumPy's median: the mean of the two middle elements."""
    rows, single = rows_of(op, node_of(x), axis)
    ordered = index_ops.sort(rows, attrs=(rows.shape[-1], False))
    one, other = (floating(_at(ordered, _middle(rows, skip, upper))) for upper in (False, True))
    # Halves first: the sum of two large ones overflows. Equal infinities stay.
    found = ops.add(*(binary(ops.multiply, part, 0.5) for part in (one, other)))
    return wrap(reshaped(found, single if keepdims else rows.shape[:-1]))


def _median(op: str, x: Any, dim: Any, keepdims: bool, axis: Any, keepdim: bool) -> Any:
    keep, skip = keepdims or keepdim, op == "nanmedian"
    if axis is not UNSAID:
        return _average(op, x, axis, keep, skip)
    if dim is UNSAID or dim is None:
        return _lower(op, x, None, keep, skip).values
    return _lower(op, x, dim, keep, skip)


@public
def median(
    x: Any, dim: Any = UNSAID, keepdims: bool = False, *, axis: Any = UNSAID, keepdim: bool = False
) -> Any:
    """The middle element in order; NaN if there is one. `axis=` gives values, the mean of the two
    middle elements (NumPy); `dim=` or a positional axis gives the pair (values, indices) of the
    lower one (PyTorch), no axis the lower one of all.

    Errors: ShapeError where there are no elements.

    Example:
        >>> import ambos as am
        >>> x = am.tensor([4.0, 1.0, 3.0, 2.0])
        >>> x.median().item(), x.median(dim=0).indices.item(), am.median(x, axis=0).item()
        (2.0, 3, 2.5)
    """
    return _median("median", x, dim, keepdims, axis, keepdim)


@public
def nanmedian(
    x: Any, dim: Any = UNSAID, keepdims: bool = False, *, axis: Any = UNSAID, keepdim: bool = False
) -> Any:
    """The middle element in order of what is not NaN; see `median`."""
    return _median("nanmedian", x, dim, keepdims, axis, keepdim)


@public
def quantile(
    x: Any, q: Any, axis: Axis = None, keepdims: bool = False, interpolation: str = "linear"
) -> Tensor:
    """The elements at shares `q` (0 to 1) of the order over axes (all by default); NaN if there is
    one. `interpolation` (NumPy's `method`) says what lies between two elements: "linear", "lower",
    "higher", "nearest" (of equally near ones that of even number), "midpoint", or one of
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf",
    "hazen", "weibull", "median_unbiased", "normal_unbiased" (Hyndman and Fan, 1996).

    Shapes: that of `q` before that of the reduction.
    Errors: ArgumentError for shares outside 0..1, or an unknown interpolation.

    Example:
        >>> import ambos as am
        >>> am.quantile(am.tensor([0.0, 1.0, 3.0]), [0.5, 0.75]).tolist()
        [1.0, 2.0]
    """
    return _quantile("quantile", x, q, 1, axis, keepdims, interpolation)


@public
def nanquantile(
    x: Any, q: Any, axis: Axis = None, keepdims: bool = False, interpolation: str = "linear"
) -> Tensor:
    """The elements at shares `q` of the order of what is not NaN; see `quantile`."""
    return _quantile("nanquantile", x, q, 1, axis, keepdims, interpolation)


@public
def percentile(
    x: Any, q: Any, axis: Axis = None, keepdims: bool = False, interpolation: str = "linear"
) -> Tensor:
    """`quantile` with shares in percent (0 to 100)."""
    return _quantile("percentile", x, q, 100, axis, keepdims, interpolation)


@public
def nanpercentile(
    x: Any, q: Any, axis: Axis = None, keepdims: bool = False, interpolation: str = "linear"
) -> Tensor:
    """`nanquantile` with shares in percent (0 to 100)."""
    return _quantile("nanpercentile", x, q, 100, axis, keepdims, interpolation)


def _quantile(
    op: str, x: Any, q: Any, whole: int, axis: Axis, keepdims: bool, method: str
) -> Tensor:
    if method not in METHODS:
        raise ArgumentError(f"{op}: interpolation {method!r}; need one of {', '.join(METHODS)}")
    rows, single = rows_of(op, floating(node_of(x)), axis)
    last, count = rows.rank - 1, rows.shape[-1]
    ordered = index_ops.sort(rows, attrs=(count, False))
    shares = _shares(op, q, whole)
    flat = reshaped(shares, (shares.size,))
    if op.startswith("nan"):
        missing = _missing(rows)
        there = ops.subtract(_number(count, missing), missing)
        there = ops.maximum(there, _number(1, there))  # all NaN: the first of them
        size = expand_to(convert(there, flat.dtype), (*rows.shape[:-1], flat.size))
        below, above, weight = _places(method, expand_to(flat, size.shape), size)
        low, high = (index_ops.gather(ordered, place, attrs=(last,)) for place in (below, above))
    else:
        below, above, weight = _places(method, flat, scalar(count, flat.dtype, flat.shape))
        low, high = (index_ops.take(ordered, place, attrs=(last,)) for place in (below, above))
        weight = expand_to(weight, low.shape)
    found = _between(low, high, weight)
    if not op.startswith("nan"):  # NaN is the last in order
        end = expand_to(cut_axis(ordered, last, count - 1, count), found.shape)
        found = ops.where(ops.isnan(end), end, found)
    if last:
        found = permute(found, attrs=((last, *range(last)),))
    return wrap(reshaped(found, (*shares.shape, *(single if keepdims else rows.shape[:-1]))))


def _shares(op: str, q: Any, whole: int) -> Node:
    """`q` as shares of 1; numbers (and lists of them) are exact."""
    given = operand_of(q) if isinstance(q, (bool, int, float)) else q
    if isinstance(given, Tensor):
        shares = floating(node_of(given))
    else:
        shares = Tensor(given, dtype=float64)._node
        found = np.asarray(given)  # not the tensor: `am.jit` lets nobody look at one
        if not ((found >= 0) & (found <= whole)).all():
            raise ArgumentError(f"{op}: q is {q}; need 0 <= q <= {whole}")
    return shares if whole == 1 else binary(ops.divide, shares, float(whole))


def _places(method: str, share: Node, count: Node) -> tuple[Node, Node, Node]:
    """The positions below and above each share of `count` elements in order, int64, and how far it
    is from the former to the latter."""
    end = binary(ops.subtract, count, 1.0)
    if method in CONTINUOUS:
        alpha, beta = CONTINUOUS[method]
        steps = binary(ops.add, count, 1 - alpha - beta)
        rank = binary(ops.add, ops.multiply(share, steps), alpha - 1)
    elif method in BETWEEN:
        rank = ops.multiply(share, end)
    else:
        rank = binary(ops.subtract, ops.multiply(share, count), 1.0)
    if method == "closest_observation":
        rank = binary(ops.subtract, rank, 0.5)
    if method not in STEPS:
        rank = _within(rank, end)
    below, above = functions.floor(rank), functions.ceil(rank)
    whole = ops.equal(below, above)
    following = binary(ops.add, below, 1.0)
    half = scalar(0.5, rank.dtype, rank.shape)
    zero = scalar(0, rank.dtype, rank.shape)
    weight = zero
    if method in CONTINUOUS:
        weight = ops.subtract(rank, below)
    elif method == "lower":
        above = below
    elif method == "higher":
        below = above
    elif method == "nearest":
        below = above = functions.round_(rank)
    elif method == "midpoint":
        weight = half
    elif method == "inverted_cdf":
        below = above
    elif method == "averaged_inverted_cdf":
        above, weight = following, ops.where(whole, half, scalar(1, rank.dtype, rank.shape))
    else:  # of two observations that are equally close the one of even number, counted from 1
        odd = ops.equal(binary(ops.remainder, below, 2.0), scalar(1, rank.dtype, rank.shape))
        below = above = ops.where(ops.bitwise_and(whole, odd), below, following)
    below, above = (convert(_within(place, end), int64) for place in (below, above))
    return below, above, weight


def _within(rank: Node, end: Node) -> Node:
    zero = scalar(0, rank.dtype, rank.shape)
    return ops.minimum(ops.maximum(rank, zero), end)


def _between(low: Node, high: Node, weight: Node) -> Node:
    """From `low` to `high` by `weight`, and exactly these at 0 and 1; equal infinities stay."""
    share = convert(weight, low.dtype)
    gap = ops.subtract(high, low)
    same = ops.bitwise_and(ops.equal(low, high), ops.isinf(low))
    still = ops.bitwise_or(same, ops.equal(share, scalar(0, share.dtype, share.shape)))
    forth = ops.add(low, ops.multiply(gap, share))
    back = ops.subtract(high, ops.multiply(gap, binary(ops.subtract, 1.0, share)))
    near = ops.less(share, scalar(0.5, share.dtype, share.shape))
    return ops.where(still, low, ops.where(near, forth, back))


__all__ = [
    "median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile",
]  # fmt: skip
