"""x[...], NumPy's rules: basic slices are movement; integer tensors gather; masks are looked at."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from ambos.core.dtype import bool_, int64
from ambos.core.errors import ArgumentError, IndexingError, named
from ambos.core.shape import Shape, broadcast, size_of
from ambos.core.unknown import is_unknown, larger, refuse, smaller, whole
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops.bounds import wrapped
from ambos.ops.indexing import take as take_op
from ambos.ops.movement import flip, permute, slice_
from ambos.ops.sources import iota
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.operands import convert, expand_to, scalar
from ambos.tensor.positions import indices_where

Part = int | slice | None | EllipsisType | Node  # one entry of an index, after reading


@named("indexing")
def getitem(x: Tensor, index: Any) -> Tensor:
    """x[index]: integers, slices (negative steps too), None, ..., bool masks, integer tensors."""
    if type(index) is int and x._node.shape:  # the commonest case, as iteration needs it
        return wrap(_one(x._node, index))
    return wrap(select(x._node, index))


def _one(node: Node, index: int) -> Node:
    start = position(index, 0, node.shape)
    rest = node.shape[1:]
    zeros, ones = (0,) * len(rest), (1,) * (len(rest) + 1)
    cut = slice_(node, attrs=((start, *zeros), (start + 1, *rest), ones))
    return reshaped(cut, rest)


def position(index: int, axis: int, shape: Shape) -> int:
    extent = shape[axis]
    if not -extent <= index < extent:
        if is_unknown(index) or is_unknown(extent):
            refuse(f"x[{index}] on an axis of {extent}")
        raise IndexingError(
            f"index: {index} is outside axis {axis} of {shape}; need {-extent} <= index < {extent}"
        )
    return index + extent if index < 0 else index


def select(node: Node, index: Any) -> Node:
    """node[index]."""
    node, index = lifted(node, index)
    parts = read(index, node.shape)
    if builtins.any(isinstance(p, Node) for p in parts):
        # NumPy: beside an index array an integer is one as well.
        parts = [_as_index(p) if isinstance(p, int) else p for p in parts]
    separated = _are_separated(parts)
    node, arrays = _basic(node, parts)
    return _gather(node, arrays, separated) if arrays else node


def lifted(node: Node, index: Any) -> tuple[Node, Any]:
    """`node` with an axis of size 1 for each mask without axes, which becomes a mask of it."""
    entries = index if isinstance(index, tuple) else (index,)
    for i, entry in enumerate(entries):
        if _is_mask(entry) and not _sizes(entry):
            axis = _axis_of(i, entries, node.rank)
            node = reshaped(node, (*node.shape[:axis], 1, *node.shape[axis:]))
            mask = wrap(reshaped(node_of(entry), (1,)))
            return lifted(node, (*entries[:i], mask, *entries[i + 1 :]))
    return node, index


def _are_separated(parts: list[Part]) -> bool:
    """Is there anything between index arrays?"""
    places = [i for i, part in enumerate(parts) if isinstance(part, Node)]
    return bool(places) and places[-1] - places[0] >= len(places)


def _as_index(value: int) -> Node:
    return scalar(value, int64)


def read(index: Any, shape: Shape) -> list[Part]:
    """The entries of an index, `...` and masks resolved, one an axis of `shape` (and Nones).

    A `...` that stands for no axis stays: to NumPy it still separates index arrays.
    """
    entries = list(index) if isinstance(index, tuple) else [index]
    parts: list[Any] = []
    for entry in entries:
        parts.extend(_entry(entry))
    used = builtins.sum(1 for p in parts if p is not None and p is not ...)
    dots = builtins.sum(1 for p in parts if p is ...)
    if dots > 1:
        raise IndexingError("index: more than one ellipsis ('...'); need at most one")
    if used > len(shape):
        raise IndexingError(f"index: {used} indices for {shape}; need at most {len(shape)}")
    fill: list[Any] = [slice(None)] * (len(shape) - used) or [...] * dots
    at = next((i for i, p in enumerate(parts) if p is ...), None)
    parts = parts + fill if at is None else parts[:at] + fill + parts[at + 1 :]
    _check_masks(entries, shape)
    return parts


def _entry(entry: Any) -> Sequence[Any]:
    """One entry as parts: a mask becomes as many index arrays as it has axes."""
    if entry is None or entry is ... or isinstance(entry, slice):
        return [entry]
    if isinstance(entry, (bool, np.bool_)):
        raise IndexingError(f"index: got {entry}; need an integer, a slice or a tensor: use "
                            "x[None] for a new axis")  # fmt: skip
    if isinstance(entry, (int, np.integer)):
        return [whole(entry)]
    if isinstance(entry, float):
        raise IndexingError(f"index: got the float {entry}; need an integer: use int(...)")
    if isinstance(entry, str):
        raise IndexingError(f"index: got the string {entry!r}; need an integer or a slice")
    node = _empty_list(entry) if isinstance(entry, list) and not entry else node_of(entry)
    if node.dtype is bool_:
        return list(indices_where(node, "x[mask]", "am.where(mask, x, fill) keeps the shape"))
    if not node.dtype.is_integer:
        raise IndexingError(f"index: got a {node.dtype.name} tensor; need integers or bools: "
                            "use .long()")  # fmt: skip
    return [convert(node, int64)]


def _empty_list(entry: list[Any]) -> Node:
    return node_of(np.zeros(0, np.int64))


def _check_masks(entries: Sequence[Any], shape: Shape) -> None:
    """A mask must have the shape of the axes that it stands for."""
    for i, entry in enumerate(entries):
        if not _is_mask(entry):
            continue
        axis, sizes = _axis_of(i, entries, len(shape)), _sizes(entry)
        if sizes != shape[axis : axis + len(sizes)]:
            raise IndexingError(
                f"index: a mask of {sizes} for axes {axis}..{axis + len(sizes) - 1} of {shape}; "
                "need equal sizes"
            )


def _axis_of(place: int, entries: Sequence[Any], rank: int) -> int:
    """The first axis that an entry stands for."""
    widths = [_width(entry) for entry in entries]
    dots = next((i for i, entry in enumerate(entries) if entry is ...), len(entries))
    # Before the dots axes count from the front, after them from the end.
    return builtins.sum(widths[:place]) if place < dots else rank - builtins.sum(widths[place:])


def _width(entry: Any) -> int:
    """How many axes an entry stands for."""
    if entry is None or entry is ...:
        return 0
    return len(_sizes(entry)) if _is_mask(entry) else 1


def _sizes(mask: Any) -> Shape:
    return np.shape(mask) if isinstance(mask, list) else mask.shape


def _is_mask(entry: Any) -> bool:
    if isinstance(entry, Tensor):
        return entry.dtype is bool_
    return isinstance(entry, (np.ndarray, list)) and np.asarray(entry).dtype == np.bool_


def _basic(node: Node, parts: list[Part]) -> tuple[Node, list[tuple[int, Node]]]:
    """Slices, integers and new axes; what is left are (axis, index tensor) pairs."""
    starts, stops, steps, flips, kept = [], [], [], [], []
    arrays: list[tuple[int, Node]] = []
    axis = 0  # of the node
    for part in parts:
        if part is ...:
            continue
        if part is None:
            kept.append(1)
            continue
        extent = node.shape[axis]
        if isinstance(part, slice):
            start, stop, step, backwards = bounds(part, extent)
            if backwards:
                flips.append(axis)
            kept.append(stop - start if step == 1 else -((start - stop) // step))
        elif isinstance(part, int):
            start = position(part, axis, node.shape)
            stop, step = start + 1, 1
        else:
            start, stop, step = 0, extent, 1
            arrays.append((len(kept), checked(part, axis, node.shape)))
            kept.append(extent)
        starts.append(start)
        stops.append(stop)
        steps.append(step)
        axis += 1
    everything = (0,) * node.rank, node.shape, (1,) * node.rank
    if (tuple(starts), tuple(stops), tuple(steps)) != everything:
        node = slice_(node, attrs=(tuple(starts), tuple(stops), tuple(steps)))
    if flips:
        node = flip(node, attrs=(tuple(flips),))
    return reshaped(node, tuple(kept)), arrays


def bounds(part: slice, extent: int) -> tuple[int, int, int, bool]:
    """(start, stop, step > 0, reversed?) within [0, extent]."""
    try:
        fields = [None if v is None else operator.index(v) for v in
                  (part.start, part.stop, part.step)]  # fmt: skip
        if fields[2] == 0:
            raise IndexingError("index: a slice with step 0; need a step that is not 0")
        places = range(*slice(*fields).indices(extent))
    except TypeError:
        raise IndexingError(f"index: {part}; need integers in a slice") from None
    except ArgumentError:  # a Size is no index
        return _unknown_bounds(part, extent)
    if not places:
        return 0, 0, 1, False
    low, high = builtins.min(places[0], places[-1]), builtins.max(places[0], places[-1])
    return low, high + 1, abs(places.step), places.step < 0 and len(places) > 1


def _unknown_bounds(part: slice, extent: Any) -> tuple[Any, Any, Any, bool]:
    """The same where sizes are not known yet. What is within the axis where it is long is refused
    of shorter ones, so that x[:, -5:] has 5; beyond that as much is taken as there is."""
    start, stop = (None if at is None else whole(at) for at in (part.start, part.stop))
    step = 1 if part.step is None else operator.index(part.step)
    if step < 0 and not (start is stop is None):
        refuse(f"x[{start}:{stop}:{step}]")
    if step < 0:
        return (extent - 1) % -step if step < -1 else 0, extent, -step, True
    start, stop = 0 if start is None else start, extent if stop is None else stop
    start, stop = (extent - -at if at < 0 else at for at in (start, stop))
    start, stop = (_within(extent, 0, at) for at in (start, stop))
    return start, _within(extent, start, stop), step, False


def _within(extent: Any, low: Any, at: Any) -> Any:
    """`at` within [low, extent], as it is where that is so for long axes."""
    at = at if _is_below(low, at) else larger(low, at)
    return at if _is_below(at, extent) else smaller(at, extent)


def _is_below(a: Any, b: Any) -> bool:
    """Is a <= b, as far as it can be told?"""
    try:
        return bool(a <= b)
    except ArgumentError:
        return False


def checked(index: Node, axis: int, shape: Shape) -> Node:
    """Negative positions counted from the end. Constants (a plain integer) are checked at once."""
    extent = shape[axis]
    if index.op.name == "constant":
        return _as_index(position(int(index.attrs[0]), axis, shape))
    return wrapped(index, extent)


def _gather(node: Node, arrays: list[tuple[int, Node]], separated: bool) -> Node:
    """Index tensors: their axes replace the indexed axes, in place if those were neighbours,
    else in front (NumPy's rule)."""
    axes = [axis for axis, _ in arrays]
    shape = broadcast("index", *(index.shape for _, index in arrays))
    if len(arrays) == 1:
        return take_op(node, arrays[0][1], attrs=(axes[0],))
    place = 0 if separated else axes[0]
    rest = [a for a in range(node.rank) if a not in axes]
    order = (*rest[:place], *axes, *rest[place:])
    if order != tuple(range(node.rank)):
        node = permute(node, attrs=(order,))
    sizes = node.shape[place : place + len(axes)]
    tail = node.shape[place + len(axes) :]
    flat = reshaped(node, (*node.shape[:place], size_of(sizes), *tail))
    indices = [expand_to(index, shape) for _, index in arrays]
    return take_op(flat, linear_index(indices, sizes), attrs=(place,))


def linear_index(indices: Sequence[Node], sizes: Shape) -> Node:
    """Row-major positions; -1 where any index is outside its axis, which evaluation reports."""
    shape = indices[0].shape
    total, valid = scalar(0, int64, shape), None
    for index, extent in zip(indices, sizes, strict=True):
        total = ops.add(ops.multiply(total, scalar(extent, int64, shape)), index)
        inside = ops.bitwise_and(
            ops.greater_equal(index, scalar(0, int64, shape)),
            ops.less(index, scalar(extent, int64, shape)),
        )
        valid = inside if valid is None else ops.bitwise_and(valid, inside)
    assert valid is not None
    return ops.where(valid, total, scalar(-1, int64, shape))


def positions_of(shape: Shape, index: Any) -> Node:
    """The row-major positions in `shape` that an index selects, in the shape of the selection."""
    return select(reshaped(iota(attrs=(size_of(shape),)), shape), index)
