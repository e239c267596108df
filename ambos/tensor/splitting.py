"""Pieces of a tensor: cut at places, selected, and written back."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ambos.core.errors import ArgumentError, IndexingError, ShapeError
from ambos.core.shape import normalize_axis
from ambos.graph.node import Node
from ambos.tensor.assignment import replaced
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.indexing import getitem
from ambos.tensor.joining import split
from ambos.tensor.movement import cut_axis
from ambos.tensor.names import public
from ambos.tensor.tracing import refuse_size


@public
def split_with_sizes(x: Any, sizes: Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Pieces of these sizes along an axis."""
    return split(x, list(sizes), axis)


@public
def tensor_split(x: Any, indices_or_sections: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """So many pieces along an axis, the first ones longer by one where it does not come out even,
    or pieces that begin at these places (NumPy's array_split).

    Example:
        >>> import ambos as am
        >>> [part.tolist() for part in am.tensor_split(am.arange(5), 2)]
        [[0, 1, 2], [3, 4]]
        >>> [part.tolist() for part in am.tensor_split(am.arange(5), (1, 3))]
        [[0], [1, 2], [3, 4]]
    """
    node = node_of(x)
    if node.rank == 0:
        raise ShapeError("tensor_split: got a scalar; need at least one dimension")
    at = normalize_axis("tensor_split", axis, node.rank)
    extent = node.shape[at]
    where = _places("tensor_split", indices_or_sections)
    if isinstance(where, int):
        if where < 1:
            raise ArgumentError(f"tensor_split: {where} pieces; need at least 1")
        whole, longer = divmod(extent, where)
        bounds = [i * whole + min(i, longer) for i in range(where + 1)]
        starts, stops = bounds[:-1], bounds[1:]
    else:
        # As slices count them: negative from the end, and what lies outside stops at the end.
        bounds = [slice(None, place).indices(extent)[1] for place in where]
        starts, stops = [0, *bounds], [*bounds, extent]
    return tuple(
        wrap(cut_axis(node, at, start, max(start, stop)))
        for start, stop in zip(starts, stops, strict=True)
    )


def _places(op: str, value: Any) -> int | list[int]:
    """A number of pieces, or where they begin; a tensor of places is looked at."""
    if isinstance(value, Tensor):
        if not value.dtype.is_integer or value.ndim > 1:
            raise ArgumentError(f"{op}: places are {value.dtype.name}{value.shape}; need one "
                                "integer or a vector of integers")  # fmt: skip
        refuse_size(op, "give the places as a list of integers")
        value = value.tolist()
    try:
        return operator.index(value)
    except TypeError:
        pass
    try:
        return [operator.index(place) for place in value]
    except TypeError:
        raise ArgumentError(f"{op}: places are {value!r}; need one integer or several") from None


def _even(op: str, x: Any, indices_or_sections: Any, axis: int, least: int) -> tuple[Tensor, ...]:
    node = node_of(x)
    if node.rank < least:
        raise ShapeError(f"{op}: got {node.shape}; need at least {least} dimension"
                         f"{'s' * (least > 1)}")  # fmt: skip
    where = _places(op, indices_or_sections)
    if isinstance(where, int) and (where < 1 or node.shape[axis] % where):
        raise ShapeError(f"{op}: {where} pieces of axis {axis} of {node.shape}; need a number that "
                         f"divides {node.shape[axis]}: use tensor_split")  # fmt: skip
    return tensor_split(x, where, axis)


@public
def hsplit(x: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Equal pieces (or pieces that begin at places) along axis 1, of a vector along axis 0."""
    return _even("hsplit", x, indices_or_sections, 0 if node_of(x).rank == 1 else 1, 1)


@public
def vsplit(x: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Equal pieces (or pieces that begin at places) along axis 0."""
    return _even("vsplit", x, indices_or_sections, 0, 2)


@public
def dsplit(x: Any, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Equal pieces (or pieces that begin at places) along axis 2."""
    return _even("dsplit", x, indices_or_sections, 2, 3)


@public
def select(x: Any, axis: int, indices: int) -> Tensor:
    """The slice at one position along an axis, without that axis.

    Example:
        >>> import ambos as am
        >>> am.select(am.tensor([[1, 2], [3, 4]]), 1, 0).tolist()
        [1, 3]
    """
    node, at, place = _selected("select", x, axis, indices)
    rest = (*node.shape[:at], *node.shape[at + 1 :])
    return wrap(reshaped(cut_axis(node, at, place, place + 1), rest))


def _selected(op: str, x: Any, axis: int, index: Any) -> tuple[Node, int, int]:
    node = node_of(x)
    if node.rank == 0:
        raise IndexingError(f"{op}: got a scalar; need at least one dimension")
    at = normalize_axis(op, axis, node.rank)
    extent, place = node.shape[at], operator.index(index)
    if not -extent <= place < extent:
        raise IndexingError(f"{op}: position {place} on axis {axis} of {node.shape}; need "
                            f"{-extent} <= position < {extent}")  # fmt: skip
    return node, at, place % extent


@public
def select_scatter(x: Any, updates: Any, axis: int, indices: int) -> Tensor:
    """A copy of `x` with another slice at one position along an axis.

    Errors: ShapeError unless `updates` has the shape of that slice.
    """
    node, at, place = _selected("select_scatter", x, axis, indices)
    return _written("select_scatter", node, at, place, updates)


@public
def slice_scatter(
    x: Any, updates: Any, axis: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Tensor:  # fmt: skip
    """A copy of `x` with other elements at start:end:step along an axis.

    Errors: ShapeError unless `updates` has the shape of that part.

    Example:
        >>> import ambos as am
        >>> am.slice_scatter(am.zeros(4), am.ones(2), 0, 1, None, 2).tolist()
        [0.0, 1.0, 0.0, 1.0]
    """
    node = node_of(x)
    at = normalize_axis("slice_scatter", axis, node.rank)
    if step < 1:
        raise ArgumentError(f"slice_scatter: the step is {step}; need at least 1")
    return _written("slice_scatter", node, at, slice(start, end, step), updates)


def _written(op: str, node: Node, axis: int, place: Any, updates: Any) -> Tensor:
    index = (*(slice(None) for _ in range(axis)), place)
    need, new = getitem(wrap(node), index).shape, node_of(updates)
    if new.shape != need:
        raise ShapeError(f"{op}: {need} is selected and the updates are {new.shape}; need equal "
                         "shapes")  # fmt: skip
    return wrap(replaced(node, index, wrap(new)))


__all__ = [
    "dsplit", "hsplit", "select", "select_scatter", "slice_scatter", "split_with_sizes",
    "tensor_split", "vsplit",
]  # fmt: skip
