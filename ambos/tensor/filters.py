"""Weights move, once, to the layout in which kernels read them.

A convolution multiplies by rows of filters: for each tap and channel all filters side by side. That
is also how a filter's gradient is written, and so the filter after its first update. Filters from a
file lie one after the other, their channels apart by the number of taps, and would be copied into
that order at every call. Values never change, so nobody can tell where they lie.

Filters of one tap stay: kernels turn them in registers. (At 49 rows, 2048 filters of 512 channels
take 0.71 ms lying one after the other, 1.1 ms side by side: each channel is on another page.)
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from ambos.compiler.layout import strides_in_order
from ambos.core.shape import Shape, row_major
from ambos.graph import Node
from ambos.ops.contraction import Spec
from ambos.tensor.tracing import relay


def lay_out_filters(order: Sequence[Node], stay: Container[Node] = ()) -> bool:
    """Lay out row-major filters of the convolutions among `order`, but for those in `stay`. Did any
    move?"""
    found = [(filters, strides) for filters, strides in misplaced(order) if filters not in stay]
    for filters, strides in dict(reversed(found)).items():  # of two wishes the first
        relay(filters, strides)
    return bool(found)


def misplaced(order: Sequence[Node]) -> Iterator[tuple[Node, Shape]]:
    """Row-major filters of the convolutions among `order`, and the strides they should have."""
    for node in order:
        if node.value is not None or node.op.name != "contract" or not reads_taps(node.attrs[0]):
            continue
        filters, dims = node.inputs[1], reading_order(node.attrs[0])
        if filters.op.name == "reshape" and filters.value is None:  # without axes of size 1
            filters = filters.inputs[0]
            dims = with_single_axes(filters.shape, dims)
        strides = better_strides(filters, dims)
        if strides:
            yield filters, strides


def lay_out_vectors(order: Sequence[Node], stay: Container[Node]) -> None:
    """Lay out the matrices by which a single row is multiplied, but for those in `stay`: a vector
    of results takes neighbours then, where rows of (out, in) would have to be turned at every call
    (1 x 768 by 768 x 768: 104 us, 71 side by side; by 768 x 3072: 433 and 364). For data that stays
    from call to call."""
    for node in order:
        if node.value is not None or node.op.name != "contract":
            continue
        matrix, spec = node.inputs[1], node.attrs[0]
        is_row = node.rank > 0 and node.size == node.shape[-1] > 1
        if matrix.rank != 2 or not is_row or not spec.is_plain:
            continue
        order_of_axes = reading_order(spec)
        while matrix.op.name == "permute" and matrix.value is None:  # x @ w.T
            order_of_axes = [matrix.attrs[0][axis] for axis in order_of_axes]
            (matrix,) = matrix.inputs
        strides = None if matrix in stay else better_strides(matrix, order_of_axes)
        if strides:
            relay(matrix, strides)


def better_strides(node: Node, order: Sequence[int]) -> Shape | None:
    """The strides of row-major data if its axes lay in `order`; None where nothing would change."""
    value = node.value
    if value is None or not order or value.strides != row_major(value.shape):
        return None
    strides = strides_in_order(value.shape, order)
    return strides if strides != value.strides else None


def reads_taps(spec: Spec) -> bool:
    """Does `b` hold a factor for each of several taps of the windows on `a`?"""
    taps, sizes = [label for dim in spec.a for label, _ in dim[1:]], spec.sizes()
    return set(taps) <= set(spec.b) and any(sizes[tap] > 1 for tap in taps)


def reading_order(spec: Spec) -> list[int]:
    """The dimensions of `b`, outermost first, as a convolution walks them."""
    summed = [label for label in spec.contracted if label in spec.b]
    kept = [label for label in spec.b if label not in summed]
    return [spec.b.index(label) for label in (*summed, *kept)]


def with_single_axes(shape: Shape, order: Sequence[int]) -> list[int]:
    """`order` of the axes longer than 1, as an order of all axes of `shape` (nothing if they are
    not as many).

    Example:
        >>> with_single_axes((32, 1, 3, 3), [1, 2, 0])
        [1, 2, 3, 0]
    """
    single = [axis for axis, extent in enumerate(shape) if extent == 1]
    longer = [axis for axis, extent in enumerate(shape) if extent != 1]
    return [*single, *(longer[i] for i in order)] if len(longer) == len(order) else []
