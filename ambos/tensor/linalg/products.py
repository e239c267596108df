"""Products and diagonals: kernels of our own, no LAPACK."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import broadcast, normalize_axis
from ambos.ops.movement import permute
from ambos.tensor import diagonals, linear
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.joining import stack
from ambos.tensor.linear import matmul, tensordot, vecdot
from ambos.tensor.movement import broadcast_to
from ambos.tensor.names import public


@public
def matrix_transpose(x: Any) -> Tensor:
    """The last two axes swapped."""
    node = node_of(x)
    if node.rank < 2:
        raise ShapeError(f"linalg.matrix_transpose: got shape {node.shape}; need at least two "
                         "dimensions, (..., m, n)")  # fmt: skip
    return wrap(permute(node, attrs=((*range(node.rank - 2), node.rank - 1, node.rank - 2),)))


@public
def outer(x: Any, y: Any) -> Tensor:
    """Products of every element of the vector `x` with every element of the vector `y`."""
    for node in (node_of(x), node_of(y)):
        if node.rank != 1:
            raise ShapeError(f"linalg.outer: got shape {node.shape}; need vectors: flatten it, or "
                             "use x[..., :, None] * y[..., None, :]")  # fmt: skip
    return linear.outer(x, y)


@public
def diagonal(x: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Diagonals of matrices (..., m, n), as the last axis; `offset` > 0 is above the main one.

    Example:
        >>> import ambos as am
        >>> am.linalg.diagonal(am.arange(4).reshape(2, 2), offset=1).tolist()
        [1]
    """
    if node_of(x).rank < 2:
        raise ShapeError(f"linalg.diagonal: got shape {node_of(x).shape}; need at least two "
                         "dimensions, (..., m, n)")  # fmt: skip
    return diagonals.diagonal(x, offset, dim1, dim2)


@public
def trace(x: Any, offset: int = 0, dtype: Any = None) -> Tensor:
    """Sums of the diagonals of matrices (..., m, n)."""
    found: Tensor = diagonal(x, offset).sum(-1, dtype=dtype)
    return found


@public
def cross(x: Any, y: Any, axis: int = -1) -> Tensor:
    """Cross products along an axis of three.

    Errors: ShapeError unless both have 3 elements there; the other axes broadcast.

    Example:
        >>> import ambos as am
        >>> am.linalg.cross(am.tensor([1.0, 0, 0]), am.tensor([0, 1.0, 0])).tolist()
        [0.0, 0.0, 1.0]
    """
    a, b = node_of(x), node_of(y)
    # An axis counted from the end is the same one before and after broadcasting.
    shape = broadcast("linalg.cross", a.shape, b.shape)
    at = normalize_axis("linalg.cross", axis, len(shape)) - len(shape)
    for node in (a, b):
        if -at > node.rank or node.shape[at] != 3:
            raise ShapeError(f"linalg.cross: got shapes {a.shape} and {b.shape}; need 3 elements "
                             f"each along axis {axis}")  # fmt: skip
    left = broadcast_to(wrap(a), shape).moveaxis(at, 0)
    right = broadcast_to(wrap(b), shape).moveaxis(at, 0)
    parts = [left[(i + 1) % 3] * right[(i + 2) % 3] - left[(i + 2) % 3] * right[(i + 1) % 3]
             for i in range(3)]  # fmt: skip
    return stack(parts, at)


@public
def multi_dot(arrays: Sequence[Any]) -> Tensor:
    """The product of several matrices in the order that costs least; the first and the last may be
    vectors.

    Errors: ArgumentError for fewer than two.
    """
    if not isinstance(arrays, (list, tuple)) or len(arrays) < 2:
        count = len(arrays) if isinstance(arrays, (list, tuple)) else type(arrays).__name__
        raise ArgumentError(f"linalg.multi_dot: got {count} arrays; need at least two, in a list")
    nodes = [node_of(array) for array in arrays]
    for number, node in enumerate(nodes):
        at_end = number in (0, len(nodes) - 1)
        if node.rank != 2 and not (at_end and node.rank == 1):
            raise ShapeError(f"linalg.multi_dot: array {number} has shape {node.shape}; need "
                             "matrices, or vectors at both ends")  # fmt: skip
    tensors = [wrap(node) for node in nodes]
    first, last = tensors[0].ndim == 1, tensors[-1].ndim == 1
    if first:
        tensors[0] = tensors[0][None, :]
    if last:
        tensors[-1] = tensors[-1][:, None]
    for left, right in pairwise(tensors):
        if left.shape[1] != right.shape[0]:
            raise ShapeError(f"linalg.multi_dot: {tuple(left.shape)} and {tuple(right.shape)} are "
                             "neighbours; need equal inner sizes")  # fmt: skip
    found = _cheapest(tensors)
    return found[(0 if first else slice(None), 0 if last else slice(None))]


def _cheapest(tensors: Sequence[Tensor]) -> Tensor:
    sizes = [tensors[0].shape[0], *(tensor.shape[1] for tensor in tensors)]

    @cache
    def cost(first: int, last: int) -> tuple[int, int]:
        """Multiplications of the product of first..last, and where it is cut."""
        if first == last:
            return 0, first
        return min(
            (cost(first, cut)[0] + cost(cut + 1, last)[0]
             + sizes[first] * sizes[cut + 1] * sizes[last + 1], cut)
            for cut in range(first, last)
        )  # fmt: skip

    def build(first: int, last: int) -> Tensor:
        if first == last:
            return tensors[first]
        cut = cost(first, last)[1]
        return matmul(build(first, cut), build(cut + 1, last))

    return build(0, len(tensors) - 1)


__all__ = [
    "cross", "diagonal", "matmul", "matrix_transpose", "multi_dot", "outer", "tensordot", "trace",
    "vecdot",
]  # fmt: skip
