"""Counts by value. Results whose sizes depend on values look at them."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ambos.core.arguments import number, positive
from ambos.core.dtype import float32, float64, int64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.ops import indexing as index_ops
from ambos.tensor.creation import linspace, ones_like, zeros
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import convert, scalar
from ambos.tensor.pointwise import where
from ambos.tensor.searching import searchsorted
from ambos.tensor.tracing import current, refuse_size


@public
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, 2, ... occurs in a vector of integers, or the sums of their
    `weights`. Looks at `x`: the result is as long as its largest value asks for. Where `x` is not
    known yet (`am.jit`, `am.vmap`) it is as long as `minlength`, and all values must be below that.

    Dtypes: int64; of weights theirs, of weights that are no floating numbers float64.
    Errors: DTypeError for other than integers, ArgumentError for negative ones; IndexingError for
        a value that is not below `minlength`, where that is the length.

    Example:
        >>> import ambos as am
        >>> am.bincount(am.tensor([1, 1, 3])).tolist()
        [0, 2, 0, 1]
    """
    node = node_of(x)
    if not node.dtype.is_integer or node.rank != 1:
        raise DTypeError(f"bincount: got {node.dtype.name}{node.shape}; need a vector of integers")
    minlength = positive("bincount: minlength", minlength, 0)
    index = convert(node, int64)
    high = -1
    if not minlength:
        refuse_size("bincount", "minlength=n, which all values are below")
    if node.size and current.trace is None:
        low, high = (int(v) for v in wrap(index).aminmax())
        if low < 0:
            raise ArgumentError(f"bincount: found {low}; need values from 0 on")
    given = scalar(1, int64, index.shape) if weights is None else node_of(weights)
    if given.shape != index.shape:
        raise ShapeError(f"bincount: weights are {given.shape} for {index.shape}; need as many")
    if weights is not None and not given.dtype.is_floating:
        given = convert(given, float64)
    length = builtins.max(high + 1, minlength)
    return wrap(index_ops.scatter_add(scalar(0, given.dtype, (length,)), index, given, attrs=(0,)))


class Histogram(NamedTuple):
    """Counts, and the edges around them (one more along each axis)."""

    hist: Tensor
    bin_edges: Any


@public
def histogram(
    x: Any, bins: Any = 10, range: Any = None, weight: Any = None, density: bool = False
) -> Histogram:
    """Counts of elements (or sums of their weights) between edges: (hist, bin_edges). Every bin
    holds its left edge, the last one both. `bins` is a number of equal bins over `range` (else from
    the least to the greatest element, which is looked at), or the sorted edges.

    Example:
        >>> import ambos as am
        >>> found = am.histogram(am.tensor([1.0, 2.0, 1.0]), bins=4, range=(0.0, 3.0))
        >>> found.hist.tolist()
        [0.0, 2.0, 1.0, 0.0]
    """
    node = node_of(x)
    points = wrap(reshaped(node, (node.size, 1)))
    bounds = None if range is None else (*range,)
    found = histogramdd(points, [bins], bounds, weight, density)
    return Histogram(found.hist, found.bin_edges[0])


@public
def histc(x: Any, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Counts in equal bins from `min` to `max` (from the least to the greatest element where both
    are equal); what lies outside does not count (PyTorch's histc)."""
    low, high = number("histc: min", min), number("histc: max", max)
    range = None if low == high else (low, high)
    return histogram(x, bins, range).hist


@public
def histogramdd(
    x: Any, bins: Any = 10, range: Any = None, weight: Any = None, density: bool = False
) -> Histogram:
    """Counts of points (or sums of their weights) in boxes: (hist, edges along each axis); see
    `histogram`. `bins` is one number for all axes or one for each, or the edges along each; `range`
    is a list of the least and the greatest along each axis, one after the other.

    Shapes: points (..., axes), weights without the last axis.

    Example:
        >>> import ambos as am
        >>> x = am.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
        >>> am.histogramdd(x, bins=[2, 2], weight=am.tensor([1.0, 2.0, 4.0])).hist.tolist()
        [[0.0, 1.0], [2.0, 4.0]]
    """
    node = node_of(x)
    if not node.dtype.is_floating:
        node = convert(node, float32)
    if node.rank == 0 or node.shape[-1] == 0:
        raise ShapeError(f"histogramdd: points are {node.shape}; need (..., axes)")
    depth = node.shape[-1]
    rows = wrap(reshaped(node, (node.size // depth, depth)))
    edges = _all_edges(rows, bins, range)
    place, inside, size = zeros(rows.shape[0], dtype=int64), None, 1
    for axis, along in enumerate(edges):
        column, count = rows[:, axis], along.shape[0] - 1
        here = (column >= along[0]) & (column <= along[-1])
        bin = (searchsorted(along, column, right=True) - 1).clip(0, count - 1)
        place, size = place * count + where(here, bin, 0), size * count
        inside = here if inside is None else inside & here
    assert inside is not None
    share = _shares(rows, weight)
    hist = zeros(size, dtype=rows.dtype).scatter_add(0, place, where(inside, share, 0))
    hist = hist.reshape(tuple(along.shape[0] - 1 for along in edges))
    return Histogram(_density(hist, edges) if density else hist, edges)


def _shares(rows: Tensor, weight: Any) -> Tensor:
    if weight is None:
        return ones_like(rows[:, 0])
    node = node_of(weight)
    if node.size != rows.shape[0]:
        raise ShapeError(f"histogramdd: weights are {node.shape} for {rows.shape[0]} points; need "
                         "as many")  # fmt: skip
    return wrap(convert(reshaped(node, (node.size,)), rows.dtype))


def _density(hist: Tensor, edges: Sequence[Tensor]) -> Tensor:
    """Shares of the sum by the sizes of the boxes."""
    found = hist / hist.sum()
    for axis, along in enumerate(edges):
        widths = along[1:] - along[:-1]
        found = found / widths.reshape(tuple(-1 if a == axis else 1 for a, _ in enumerate(edges)))
    return found


def _all_edges(rows: Tensor, bins: Any, range: Any) -> list[Tensor]:
    depth = rows.shape[1]
    if not isinstance(bins, (int, Iterable)):
        raise ArgumentError(f"histogram: bins is {bins!r}; need a number of them, or edges")
    wanted = [bins] * depth if isinstance(bins, int) else list(bins)
    if len(wanted) != depth:
        raise ArgumentError(f"histogramdd: {len(wanted)} bins for {depth} axes; need one each")
    bounds = None if range is None else [float(v) for v in range]
    if bounds is not None and len(bounds) != 2 * depth:
        raise ArgumentError(f"histogramdd: range has {len(bounds)} numbers for {depth} axes; need "
                            "the least and the greatest along each")  # fmt: skip
    return [
        _edges(rows[:, axis], one, None if bounds is None else bounds[2 * axis : 2 * axis + 2])
        for axis, one in enumerate(wanted)
    ]


def _edges(flat: Tensor, bins: Any, range: Any) -> Tensor:
    if not isinstance(bins, int):
        edges = wrap(convert(node_of(bins), flat.dtype))
        if edges.ndim != 1 or edges.shape[0] < 2:
            raise ShapeError(f"histogram: edges are {edges.shape}; need a vector of two or more")
        return edges
    if bins < 1:
        raise ArgumentError(f"histogram: bins is {bins}; need at least 1")
    low, high = (float(v) for v in (range or (flat.aminmax() if flat.shape[0] else (0, 1))))
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ArgumentError(
            f"histogram: the range is {low} to {high}; need finite numbers in order"
        )
    if low == high:
        low, high = low - 0.5, high + 0.5
    return linspace(low, high, bins + 1, dtype=flat.dtype)


__all__ = ["bincount", "histc", "histogram", "histogramdd"]
