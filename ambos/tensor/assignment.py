"""x[...] = v: the handle is rebound to a tensor that differs in the selected elements."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ambos.core.dtype import bool_, int64
from ambos.core.errors import ShapeError, named
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops.indexing import gather, last_writer, put, take
from ambos.ops.movement import flip, unslice
from ambos.tensor.handle import Tensor, operand_of, reshaped
from ambos.tensor.indexing import bounds, checked, lifted, position, positions_of, read, select
from ambos.tensor.lost import ITEM
from ambos.tensor.operands import convert, expand_to, scalar


@named("assignment")
def setitem(x: Tensor, index: Any, value: Any) -> None:
    """x[index] = value, for every index that x[index] takes."""
    x._rebind(replaced(x._newest()._node, index, value), ITEM)


def replaced(node: Node, index: Any, value: Any) -> Node:
    """`node` with `value` at `index`; of equal positions the last one wins."""
    operand = operand_of(value)
    new = convert(operand, node.dtype) if isinstance(operand, Node) else scalar(operand, node.dtype)
    mask = _whole_mask(index, node.shape)
    if mask is not None and size_of(new.shape) == 1:
        return ops.where(mask, expand_to(reshaped(new, ()), node.shape), node)
    raised, index = lifted(node, index)
    if raised is not node:
        return reshaped(replaced(raised, index, value), node.shape)
    parts = read(index, node.shape)
    only = _only_positions(parts)
    if only is not None:
        axis, index = only[0], checked(only[1], only[0], node.shape)
        region = (*node.shape[:axis], *index.shape, *node.shape[axis + 1 :])
        return _put(node, axis, index, _fitted(new, region))
    if _is_row_of_some(parts):
        return _row_of_some(node, parts, new)
    if builtins.any(isinstance(p, Node) for p in parts):
        places = positions_of(node.shape, index)
        flat = reshaped(_fitted(new, places.shape), (places.size,))
        whole = reshaped(node, (node.size,))
        return reshaped(scatter_last(whole, 0, reshaped(places, flat.shape), flat), node.shape)
    return _place(node, parts, new)


def _only_positions(parts: list[Any]) -> tuple[int, Node] | None:
    """The one tensor of positions and its axis, if the index selects all along the others."""
    found = [(axis, part) for axis, part in enumerate(parts) if part != slice(None)]
    return found[0] if len(found) == 1 and isinstance(found[0][1], Node) else None


def _is_row_of_some(parts: list[Any]) -> bool:
    """Is it one position along an axis, integers along others, and all along the rest?"""
    places = [part for part in parts if isinstance(part, Node)]
    rest = [part for part in parts if not isinstance(part, (Node, int))]
    return (
        len(places) == 1
        and places[0].size == 1
        and builtins.all(part == slice(None) for part in rest)
    )


def _row_of_some(node: Node, parts: list[Any], new: Node) -> Node:
    """Integers choose a part of `node`, one computed position a row of it (cache[layer, :, at])."""
    axis = next(a for a, part in enumerate(parts) if isinstance(part, Node))
    arrays = [a for a, part in enumerate(parts) if part != slice(None)]
    others = [n for a, n in enumerate(node.shape) if a not in arrays]
    together = arrays[-1] - arrays[0] < len(arrays)  # else NumPy puts the positions' axes in front
    front = len([a for a in range(arrays[0]) if a not in arrays]) if together else 0
    new = _fitted(new, (*others[:front], *parts[axis].shape, *others[front:]))
    chosen = [_single(p, a, node.shape) if isinstance(p, int) else p for a, p in enumerate(parts)]
    chosen[axis] = slice(None)
    block = select(node, tuple(chosen))
    row = tuple(1 if a in arrays else n for a, n in enumerate(node.shape))
    index = reshaped(checked(parts[axis], axis, node.shape), (1,))
    return _place(node, chosen, put(block, index, reshaped(new, row), attrs=(axis,)))


def _put(node: Node, axis: int, index: Node, new: Node) -> Node:
    """`node` with `new` at positions along an axis. One is written in place where that may be."""
    if index.size == 1:
        return put(node, index, new, attrs=(axis,))
    count, extent = index.size, node.shape[axis]
    before, after = node.shape[:axis], node.shape[axis + 1 :]
    if count == 0:
        return node
    new = reshaped(new, (*before, count, *after))
    written, number = _last(reshaped(index, (count,)), 0, extent)
    line = reshaped(written, (*(1 for _ in before), extent, *(1 for _ in after)))
    chosen = take(new, number, attrs=(axis,))
    return ops.where(expand_to(line, node.shape), chosen, node)


def _last(index: Node, axis: int, extent: int) -> tuple[Node, Node]:
    """For every position: is it written, and the number of its last writer (else 0)?"""
    writer = last_writer(index, attrs=(axis, extent))
    nobody = scalar(0, int64, writer.shape)
    before = ops.subtract(writer, scalar(1, int64, writer.shape))
    return ops.greater(writer, nobody), ops.maximum(before, nobody)


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


def scatter_last(node: Node, axis: int, index: Node, updates: Node) -> Node:
    """`node` with updates[i, j] at [index[i, j], j] for axis 0, and so on; of equal targets the
    last wins.

    Each target learns the ordinal of its last writer and then gathers: exact for every dtype,
    and gradients reach the updates that were kept.
    """
    if index.size == 0:
        return node
    written, number = _last(index, axis, node.shape[axis])
    chosen = gather(updates, number, attrs=(axis,))
    if written.shape != node.shape:  # fewer positions than elements along another axis
        window = (0,) * node.rank, written.shape, (1,) * node.rank
        written, chosen = (unslice(x, node.shape, *window) for x in (written, chosen))
    return ops.where(written, chosen, node)
