"""Elements repeated: as often all of them, or each its own number of times."""

from __future__ import annotations

from typing import Any

import numpy as np

from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops.indexing import take
from ambos.ops.scan import cumsum
from ambos.ops.sources import iota
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.movement import cut_axis, ravel
from ambos.tensor.names import public
from ambos.tensor.operands import convert, expand_to, scalar
from ambos.tensor.searching import searchsorted
from ambos.tensor.tracing import current, refuse_size


@public
def repeat_interleave(
    x: Any, repeats: Any = None, axis: int | None = None, output_size: int | None = None
) -> Tensor:
    """Each element (or slice along an axis) repeated in place: `repeats` times, or as often as a
    vector of counts says (NumPy's and the Array API's `repeat`). A vector of counts alone gives its
    positions, each so often (PyTorch). Counts are looked at, since the result's size is their sum,
    unless `output_size` says it.

    Errors: ArgumentError for counts below 0 or of another sum, ShapeError for as many counts as the
        axis has no elements, DTypeError for counts that are no integers.

    Example:
        >>> import ambos as am
        >>> am.repeat(am.tensor([7, 8]), 2).tolist(), am.repeat(am.tensor([7, 8]), [0, 3]).tolist()
        ([7, 7, 8, 8], [8, 8, 8])
    """
    if repeats is None:
        counts = node_of(x)
        x, repeats = wrap(iota(attrs=(counts.size,))), x
    if axis is None:
        x, axis = ravel(x), 0
    node = node_of(x)
    at = normalize_axis("repeat", axis, node.rank)
    if isinstance(repeats, (int, np.integer)):
        return _equally(node, int(repeats), at)
    counts = node_of(repeats)
    if not counts.dtype.is_integer and counts.size:
        raise DTypeError(f"repeat: counts are {counts.dtype.name}; need integers: use .long()")
    extent = node.shape[at]
    if counts.rank > 1 or (counts.size != extent and counts.size != 1):
        raise ShapeError(f"repeat: counts are {counts.shape} for axis {at} of {node.shape}; need "
                         f"one number or {extent}")  # fmt: skip
    counts = expand_to(reshaped(convert(counts, int64), (counts.size,)), (extent,))
    return wrap(take(node, _sources(counts, output_size), attrs=(at,)))


repeat = repeat_interleave


def _equally(node: Node, times: int, axis: int) -> Tensor:
    if times < 0:
        raise ArgumentError(f"repeat: {times} times; need 0 or more")
    head, extent, tail = node.shape[:axis], node.shape[axis], node.shape[axis + 1 :]
    fine = expand_to(reshaped(node, (*head, extent, 1, *tail)), (*head, extent, times, *tail))
    return wrap(reshaped(fine, (*head, extent * times, *tail)))


def _sources(counts: Node, output_size: int | None) -> Node:
    """For every element of the result: the number of the element that it repeats."""
    if output_size is None:
        refuse_size("repeat", "give output_size=, the sum of the counts")
    if output_size is None or (counts.value is not None and current.trace is None):
        return _of_size(counts, _total(counts, output_size))
    # A sum that is not `output_size` shows when it is computed: no index is -1.
    sources = _of_size(counts, output_size)
    if not counts.size:
        return sources
    ends = cumsum(counts, attrs=(0, False))
    total = expand_to(cut_axis(ends, 0, counts.size - 1, counts.size), sources.shape)
    fits = ops.equal(total, scalar(output_size, int64, sources.shape))
    return ops.where(fits, sources, scalar(-1, int64, sources.shape))


def _total(counts: Node, output_size: int | None) -> int:
    """The sum of the counts, which are looked at."""
    values = wrap(counts).numpy()
    if (values < 0).any():
        raise ArgumentError(f"repeat: a count is {values.min()}; need 0 or more")
    total = int(values.sum())
    if output_size not in (None, total):
        raise ArgumentError(f"repeat: output_size is {output_size}, the counts add up to {total}; "
                            "need their sum")  # fmt: skip
    return total


def _of_size(counts: Node, size: int) -> Node:
    ends = cumsum(counts, attrs=(0, False))
    return searchsorted(wrap(ends), wrap(iota(attrs=(size,))), side="right")._node


__all__ = ["repeat", "repeat_interleave"]
