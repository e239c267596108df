"""x[...] = v: the handle is rebound to a tensor that differs in the selected elements."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ambos.core.dtype import bool_, int64
from ambos.core.errors import ShapeError
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops.indexing import argsort, scatter_add, take
from ambos.ops.movement import concat, flip, slice_, unslice
from ambos.tensor.handle import Tensor, operand_of, reshaped
from ambos.tensor.indexing import bounds, position, positions_of, read
from ambos.tensor.operands import convert, expand_to, scalar


def setitem(x: Tensor, index: Any, value: Any) -> None:
    """x[index] = value, for every index that x[index] takes."""
    x._rebind(replaced(x._node, index, value), "x[...] = v")


def replaced(node: Node, index: Any, value: Any) -> Node:
    """`node` with `value` at `index`; of equal positions the last one wins."""
    operand = operand_of(value)
    new = convert(operand, node.dtype) if isinstance(operand, Node) else scalar(operand, node.dtype)
    mask = _whole_mask(index, node.shape)
    if mask is not None and size_of(new.shape) == 1:
        return ops.where(mask, expand_to(reshaped(new, ()), node.shape), node)
    parts = read(index, node.shape)
    if builtins.any(isinstance(p, Node) for p in parts):
        places = positions_of(node.shape, index)
        flat = reshaped(_fitted(new, places.shape), (places.size,))
        return scatter_last(node, reshaped(places, (places.size,)), flat)
    return _place(node, parts, new)


def _whole_mask(index: Any, shape: Shape) -> Node | None:
    """A mask that covers every axis needs no look at its values."""
    if isinstance(index, np.ndarray):
        index = Tensor(index)
    if isinstance(index, Tensor) and index.dtype is bool_ and index.shape == shape:
        return index._node
    return None


def _fitted(value: Node, region: Shape) -> Node:
    """`value` broadcast to the selected region; leading axes of size 1 may be dropped."""
    extra = value.rank - len(region)
    if extra > 0 and value.shape[:extra] == (1,) * extra:
        value = reshaped(value, value.shape[extra:])
    offset = len(region) - value.rank
    fits = offset >= 0 and builtins.all(
        n in (1, m) for n, m in zip(value.shape, region[offset:], strict=True)
    )
    if not fits:
        raise ShapeError(f"x[...] = v: v is {value.shape} but {region} is selected; need a shape "
                         "that broadcasts to the selection")  # fmt: skip
    return expand_to(value, region)


def _place(node: Node, parts: list[Any], value: Node) -> Node:
    """Slices, integers and new axes: the value, padded to the whole, chosen under a mask."""
    starts: list[int] = []
    stops: list[int] = []
    steps: list[int] = []
    sizes: list[int] = []
    flips, region = [], []
    axis = 0
    for part in parts:
        if part is ...:
            continue
        if part is None:
            region.append(1)
            continue
        extent = node.shape[axis]
        whole = isinstance(part, slice)
        if not whole:
            part = _single(part, axis, node.shape)
        start, stop, step, backwards = bounds(part, extent)
        count = len(range(start, stop, step))
        if backwards:
            flips.append(axis)
        if whole:
            region.append(count)
        for found, field in zip((starts, stops, steps, sizes), (start, stop, step, count),
                                strict=True):  # fmt: skip
            found.append(field)
        axis += 1
    fitted = reshaped(_fitted(value, tuple(region)), tuple(sizes))
    if tuple(sizes) == node.shape and not flips:
        return fitted
    if flips:
        fitted = flip(fitted, attrs=(tuple(flips),))
    window = (tuple(starts), tuple(stops), tuple(steps))
    placed = unslice(fitted, node.shape, *window)
    inside = unslice(scalar(True, bool_, fitted.shape), node.shape, *window)
    return ops.where(inside, placed, node)


def _single(index: int, axis: int, shape: Shape) -> slice:
    start = position(index, axis, shape)
    return slice(start, start + 1)


def scatter_last(node: Node, positions: Node, updates: Node) -> Node:
    """`node` with updates (a vector) put at row-major positions; of equal targets the last wins.

    Each target learns the ordinal of its last writer and then gathers: exact for every dtype,
    and gradients reach the updates that were kept.
    """
    count = positions.size
    if count == 0:
        return node
    # Stable: writers of one target keep their order.
    order = argsort(positions, attrs=(count, False))
    there = take(positions, order, attrs=(0,))
    last = _differs_from_next(there)
    zero = scalar(0, int64, (count,))
    ordinal = ops.where(last, ops.add(order, scalar(1, int64, (count,))), zero)
    size = node.size
    writer = scatter_add(scalar(0, int64, (size,)), there, ordinal, attrs=(0,))
    none = scalar(0, int64, (size,))
    written = ops.greater(writer, none)
    number = ops.maximum(ops.subtract(writer, scalar(1, int64, (size,))), none)
    chosen = take(updates, number, attrs=(0,))
    return reshaped(ops.where(written, chosen, reshaped(node, (size,))), node.shape)


def _differs_from_next(values: Node) -> Node:
    """For each of a sorted vector: is it the last of its equals?"""
    count = values.size
    if count == 1:
        return scalar(True, bool_, (1,))
    one = ((1,), (count,), (1,)), ((0,), (count - 1,), (1,))
    later, earlier = (slice_(values, attrs=window) for window in one)
    end = scalar(True, bool_, (1,))
    return concat(ops.not_equal(later, earlier), end, attrs=(0,))
