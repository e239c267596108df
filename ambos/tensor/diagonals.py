"""Diagonals of two axes: read, written, made into matrices; and the indices of triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from ambos.core.arguments import integer
from ambos.core.dtype import as_dtype, int64
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops.sources import iota
from ambos.tensor.assignment import replaced
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.movement import moveaxis, permuted
from ambos.tensor.names import public
from ambos.tensor.operands import convert, expand_to, scalar
from ambos.tensor.padding import pad
from ambos.tensor.reductions import sum as total


@public
def diagonal(x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A diagonal of two axes (`offset` above the main one), as the new last axis.

    Example:
        >>> import ambos as am
        >>> am.diagonal(am.arange(9).reshape(3, 3), offset=1).tolist()
        [1, 5]
    """
    node, _, _, places = _flat_diagonal("diagonal", node_of(x), offset, dim1, dim2)
    found: Tensor = wrap(node)[..., places]
    return found


def _flat_diagonal(
    op: str, node: Node, offset: int, dim1: int, dim2: int
) -> tuple[Node, tuple[int, ...], tuple[int, ...], slice]:
    """`node` with both axes at the end as one, the order that brought them there, the shape in
    that order, and where the diagonal lies in the last axis."""
    offset = integer(f"{op}: offset", offset)
    a, b = normalize_axis(op, dim1, node.rank), normalize_axis(op, dim2, node.rank)
    if a == b:
        raise ArgumentError(f"{op}: both axes are {dim1} of {node.shape}; need two different ones")
    order = (*(i for i in range(node.rank) if i not in (a, b)), a, b)
    moved = permuted(node, order)
    *front, rows, columns = moved.shape
    count = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    start = offset if offset >= 0 else -offset * columns
    places = slice(start, start + (count - 1) * (columns + 1) + 1, columns + 1)
    return (
        reshaped(moved, (*front, rows * columns)), order, moved.shape,
        places if count else slice(0, 0),
    )  # fmt: skip


@public
def trace(x: Any) -> Tensor:
    """The sum of the main diagonal of a matrix; of integers and bools int64."""
    node = node_of(x)
    if node.rank != 2:
        raise ShapeError(f"trace: got {node.shape}; need a matrix: use am.linalg.trace for several")
    return total(diagonal(x))


@public
def diagonal_scatter(x: Any, updates: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of `x` with another diagonal of two axes (see `diagonal` for its shape).

    Errors: ShapeError unless `updates` has the shape of that diagonal.
    """
    flat, order, shape, places = _flat_diagonal("diagonal_scatter", node_of(x), offset, dim1, dim2)
    new = node_of(updates)
    need = wrap(flat)[..., places].shape
    if new.shape != need:
        raise ShapeError(f"diagonal_scatter: the diagonal is {need} and the updates {new.shape}; "
                         "need equal shapes")  # fmt: skip
    whole = reshaped(replaced(flat, (..., places), wrap(new)), shape)
    return wrap(permuted(whole, tuple(sorted(range(len(order)), key=order.__getitem__))))


@public
def diag_embed(x: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last axis as a diagonal of two new axes, zeros elsewhere.

    Example:
        >>> import ambos as am
        >>> am.diag_embed(am.tensor([1, 2]), offset=1).tolist()
        [[0, 1, 0], [0, 0, 2], [0, 0, 0]]
    """
    node = node_of(x)
    if node.rank == 0:
        raise ShapeError("diag_embed: got a scalar; need at least one dimension: use x.reshape(1)")
    offset, rank = integer("diag_embed: offset", offset), node.rank + 1
    a, b = normalize_axis("diag_embed", dim1, rank), normalize_axis("diag_embed", dim2, rank)
    if a == b:
        raise ArgumentError(f"diag_embed: both new axes are {dim1}; need two different ones")
    wide = node_of(pad(wrap(node), (0, abs(offset))))
    size = wide.shape[-1]
    front = wide.shape[:-1]
    # An element's number is its row above the main diagonal, and its column below it.
    single = (*front, size, 1) if offset >= 0 else (*front, 1, size)
    values = expand_to(reshaped(wide, single), (*front, size, size))
    row = expand_to(reshaped(iota(attrs=(size,)), (size, 1)), (size, size))
    column = expand_to(iota(attrs=(size,)), (size, size))
    on = ops.equal(column, ops.add(row, scalar(offset, int64, (size, size))))
    zero = scalar(0, node.dtype, values.shape)
    square = ops.where(expand_to(on, values.shape), values, zero)
    return moveaxis(wrap(square), (-2, -1), (a, b))


_read = diagonal  # `diag` has an argument of that name, as in PyTorch


@public
def diag(x: Any, diagonal: int = 0, k: int | None = None) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal.

    Example:
        >>> import ambos as am
        >>> am.diag(am.tensor([1, 2])).tolist(), am.diag(am.tensor([[1, 2], [3, 4]])).tolist()
        ([[1, 0], [0, 2]], [1, 4])
    """
    node = node_of(x)
    offset = diagonal if k is None else k
    if node.rank not in (1, 2):
        raise ShapeError(f"diag: got {node.shape}; need a vector or a matrix: use diagonal or "
                         "diag_embed")  # fmt: skip
    return diag_embed(x, offset) if node.rank == 1 else _read(x, offset)


@public
def diagflat(x: Any, offset: int = 0, k: int | None = None) -> Tensor:
    """The matrix with all elements of `x` on its diagonal."""
    node = node_of(x)
    return diag_embed(wrap(reshaped(node, (node.size,))), offset if k is None else k)


@public
def tril_indices(row: int, col: int | None = None, offset: int = 0, dtype: Any = int64) -> Tensor:
    """Rows and columns of the lower triangle of a matrix, shape (2, count), row by row.

    Example:
        >>> import ambos as am
        >>> am.tril_indices(2, 2).tolist()
        [[0, 1, 1], [0, 0, 1]]
    """
    return _triangle("tril_indices", np.tril_indices, row, col, offset, dtype)


@public
def triu_indices(row: int, col: int | None = None, offset: int = 0, dtype: Any = int64) -> Tensor:
    """Rows and columns of the upper triangle of a matrix, shape (2, count), row by row."""
    return _triangle("triu_indices", np.triu_indices, row, col, offset, dtype)


def _triangle(op: str, indices: Any, row: int, col: int | None, offset: int, dtype: Any) -> Tensor:
    columns = row if col is None else col
    wanted = as_dtype(dtype or int64)
    if row < 0 or columns < 0:
        raise ShapeError(f"{op}: a matrix of {row} rows and {columns} columns; need sizes >= 0")
    if not wanted.is_integer:
        raise ArgumentError(f"{op}: dtype is {wanted.name}; need an integer dtype")
    found = np.stack(indices(row, offset, columns)).astype(np.int64)
    return wrap(convert(node_of(found), wanted))


__all__ = [
    "diag", "diag_embed", "diagflat", "diagonal", "diagonal_scatter", "trace", "tril_indices",
    "triu_indices",
]  # fmt: skip
