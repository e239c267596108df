"""Positions of what holds: their number depends on values, which are looked at."""

from __future__ import annotations

from ambos.core.dtype import bool_, float64, int32, int64
from ambos.core.shape import Shape, row_major, size_of
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops.indexing import last_writer
from ambos.ops.scan import cumsum
from ambos.tensor.handle import reshaped, wrap
from ambos.tensor.movement import cut_axis
from ambos.tensor.operands import convert, scalar
from ambos.tensor.tracing import refuse_size


def indices_where(x: Node, op: str, fix: str) -> list[Node]:
    """The positions of elements that are not zero, in row-major order: one vector an axis."""
    flat = reshaped(convert(x, bool_), (x.size,))
    return unraveled(places_where(flat, op, fix), x.shape)


def unraveled(places: Node, shape: Shape) -> list[Node]:
    """Row-major positions in `shape` as one index an axis."""
    found, rest = [], places
    for step in row_major(shape)[:-1]:
        index = _quotient(rest, max(1, step), size_of(shape))
        found.append(index)
        rest = ops.subtract(rest, ops.multiply(index, scalar(step, int64, places.shape)))
    return [*found, rest] if shape else []


def _quotient(places: Node, step: int, size: int) -> Node:
    """How often `step` goes into positions below `size`. Vectors have no division of integers; that
    of float64 is rounded to no other whole number below 2**53, and numbers that fit int32 are
    converted by one instruction: 1000 x 1000 places 4.0 ms, 9.8 by integers."""
    if size > 1 << 53:
        return ops.floor_divide(places, scalar(step, int64, places.shape))
    narrow = int32 if size <= 1 << 31 else int64
    share = ops.divide(
        convert(convert(places, narrow), float64), scalar(step, float64, places.shape)
    )
    return convert(convert(share, narrow), int64)


def places_where(mask: Node, op: str, fix: str) -> Node:
    """The positions where `mask` (a vector) holds, in order. Looks at how many they are, for which
    `am.jit` refuses the `op`, and proposes a `fix`."""
    refuse_size(op, fix)
    extent = mask.shape[0]
    if not extent:
        return scalar(0, int64, (0,))
    ends = cumsum(convert(mask, int64), attrs=(0, False))
    count = int(wrap(cut_axis(ends, 0, extent - 1, extent)).sum())
    # Each moves to the number of those before it; all that are not meant meet behind the last.
    target = ops.where(mask, ops.subtract(ends, scalar(1, int64, ends.shape)),
                       scalar(count, int64, ends.shape))  # fmt: skip
    writer = last_writer(target, attrs=(0, count + 1))
    return ops.subtract(cut_axis(writer, 0, 0, count), scalar(1, int64, (count,)))
