"""The largest elements of cells that are not of one size, axis by axis, and where they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ambos.core.dtype import int64
from ambos.core.shape import Shape, size_of
from ambos.graph.node import Node
from ambos.ops.arithmetic import add, bitwise_or, equal, multiply, not_equal, where
from ambos.ops.indexing import gather
from ambos.ops.kinds import constant_like
from ambos.ops.movement import concat, expand, reshape, slice_, window
from ambos.ops.reductions import argmax, max_, min_
from ambos.ops.sources import iota


def largest_in_cells(x: Node, grid: Shape) -> Node:
    """The largest elements of a grid of cells of images. A gradient is scattered to where they lie:
    half the time that one cell by cell takes."""
    if not x.tracked:
        for axis, cells in enumerate(grid, start=2):  # whole rows first: vectors along them
            x = _largest_along(x, axis, cells)
        return x
    places = places_in_cells(x, grid)
    flat, index = (reshape(v, attrs=((*v.shape[:2], size_of(v.shape[2:])),)) for v in (x, places))
    found = reshape(gather(flat, index, attrs=(2,)), attrs=(places.shape,))
    return add(found, constant_like(found, 0))  # zeros are +0, as those of a reduction


def places_in_cells(x: Node, grid: Shape) -> Node:
    """Row-major positions of the largest elements of cells, the first of equals: the first of each
    column, and of the columns' the least."""
    space, (first, *others) = x.shape[2:], grid
    places = _cell_by_cell(x, 2, first, _first_of_column)
    inside = size_of(space[1:])
    along = reshape(iota(attrs=(inside,)), attrs=((1, 1, 1, *space[1:]),))
    places = multiply(places, constant_like(places, inside))
    places = add(places, expand(along, attrs=(places.shape,)))
    x = _cell_by_cell(x, 2, first, _largest_of_column)  # beside their places
    for axis, cells in enumerate(others, start=3):
        pairs = zip(_parts(x, axis, cells), _parts(places, axis, cells), strict=True)
        found = [_least_of_largest(cell, place, axis) for (cell, _), (place, _) in pairs]
        x, places = (_joined(parts, axis) for parts in zip(*found, strict=True))
    return places


def _largest_along(x: Node, axis: int, cells: int) -> Node:
    """The largest elements of cells along an axis: of windows, where they are as far apart."""
    bounds = _bounds(x.shape[axis], cells)
    size, step = bounds[0][1], bounds[1][0] if cells > 1 else 1
    if bounds == [(i * step, i * step + size) for i in range(cells)]:  # 64 in 7: 10, every 9
        return max_(window(x, attrs=((axis,), (size,), (step,), (1,))), attrs=((x.rank,),))
    return _cell_by_cell(x, axis, cells, lambda cell, _: max_(cell, attrs=((axis,),)))


def _largest_of_column(cell: Node, _: int) -> Node:
    return max_(cell, attrs=((2,),))


def _first_of_column(cell: Node, start: int) -> Node:
    place = argmax(cell, attrs=((2,),))
    return add(place, constant_like(place, start))


def _least_of_largest(cell: Node, places: Node, axis: int) -> tuple[Node, Node]:
    """The largest element along an axis, and the least of the places where it (or NaN) lies."""
    largest = max_(cell, attrs=((axis,),))
    single = tuple(1 if a == axis else n for a, n in enumerate(cell.shape))
    wanted = expand(reshape(largest, attrs=(single,)), attrs=(cell.shape,))
    is_one = bitwise_or(equal(cell, wanted), not_equal(cell, cell))
    beyond = constant_like(places, int64.max)
    return largest, min_(where(is_one, places, beyond), attrs=((axis,),))


def _cell_by_cell(x: Node, axis: int, cells: int, found: Callable[[Node, int], Node]) -> Node:
    """What is `found` along an axis in each cell, of which it is told where it begins."""
    return _joined([found(*part) for part in _parts(x, axis, cells)], axis)


def _parts(x: Node, axis: int, cells: int) -> Iterator[tuple[Node, int]]:
    """The cells along an axis, and where they begin."""
    for first, end in _bounds(x.shape[axis], cells):
        start, stop = [0] * x.rank, list(x.shape)
        start[axis], stop[axis] = first, end
        yield slice_(x, attrs=(tuple(start), tuple(stop), (1,) * x.rank)), first


def _bounds(extent: int, cells: int) -> list[tuple[int, int]]:
    """Where the cells of an axis begin and end."""
    return [(i * extent // cells, -(-(i + 1) * extent // cells)) for i in range(cells)]


def _joined(parts: Sequence[Node], axis: int) -> Node:
    """Cells beside each other, each without the axis."""
    shape = parts[0].shape
    shaped = [reshape(x, attrs=((*shape[:axis], 1, *shape[axis:]),)) for x in parts]
    return concat(*shaped, attrs=(axis,)) if len(shaped) > 1 else shaped[0]
