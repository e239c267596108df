"""Products added to something, and products by name: Kronecker's, inner, cross, Vandermonde."""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import bool_, int64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import normalize_axis
from ambos.core.unknown import known
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops.movement import concat, flip
from ambos.ops.scan import cumprod
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, wrap
from ambos.tensor.linear import bmm, mm, mv, outer, tensordot
from ambos.tensor.movement import broadcast_to, roll
from ambos.tensor.names import public
from ambos.tensor.operands import align, binary, convert, expand_to, scalar


def _added(op: str, x: Any, product: Tensor, beta: float, alpha: float) -> Tensor:
    """beta * x + alpha * product. With beta 0 nothing of `x` counts, not even its NaN."""
    start = wrap(node_of(x))
    for name, factor in (("beta", beta), ("alpha", alpha)):
        if not (isinstance(factor, int) or product.dtype.is_inexact):
            raise DTypeError(f"{op}: {name} is {factor} for {product.dtype.name}; need an integer, "
                             "or floating operands")  # fmt: skip
    start = broadcast_to(start, product.shape)
    if beta == 0:
        return product if alpha == 1 else product * alpha
    if product.dtype is bool_:
        return start | product if alpha else start
    return (product if alpha == 1 else product * alpha) + (start if beta == 1 else start * beta)


@public
def addmm(x: Any, y: Any, z: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * x + alpha * (y @ z) for matrices y and z; `x` broadcasts to the product. With beta 0
    nothing of `x` counts, not even its NaN.

    Example:
        >>> import ambos as am
        >>> am.addmm(am.ones(2), am.eye(2), am.eye(2), alpha=3).tolist()
        [[4.0, 1.0], [1.0, 4.0]]
    """
    return _added("addmm", x, mm(y, z), beta, alpha)


@public
def addmv(x: Any, y: Any, z: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * x + alpha * (y @ z) for a matrix y and a vector z; see `addmm`."""
    return _added("addmv", x, mv(y, z), beta, alpha)


@public
def addr(x: Any, y: Any, z: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * x + alpha * outer(y, z) for vectors y and z; see `addmm`."""
    a, b = node_of(y), node_of(z)
    if a.rank != 1 or b.rank != 1:
        raise ShapeError(f"addr: got {a.shape} and {b.shape}; need two vectors")
    return _added("addr", x, outer(y, z), beta, alpha)


@public
def baddbmm(x: Any, y: Any, z: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * x + alpha * (y @ z) for batches of matrices y and z; see `addmm`."""
    return _added("baddbmm", x, bmm(y, z), beta, alpha)


@public
def addbmm(x: Any, y: Any, z: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * x + alpha * the sum of (y @ z) over a batch of matrices; see `addmm`."""
    a, b = node_of(y), node_of(z)
    if a.rank != 3 or b.rank != 3:
        raise ShapeError(f"addbmm: got {a.shape} and {b.shape}; need batches of matrices (three "
                         "dimensions)")  # fmt: skip
    return _added("addbmm", x, tensordot(y, z, ([0, 2], [0, 1])), beta, alpha)


@public
def inner(x: Any, y: Any) -> Tensor:
    """Products summed over the last axes of both; a scalar multiplies.

    Example:
        >>> import ambos as am
        >>> am.inner(am.ones(2, 3), am.ones(4, 3)).shape
        (2, 4)
    """
    a, b = node_of(x), node_of(y)
    if a.rank == 0 or b.rank == 0:
        return wrap(binary(ops.multiply, a, b))
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"inner: the last axes of {a.shape} and {b.shape} differ; need equal "
                         "sizes")  # fmt: skip
    return tensordot(x, y, ([-1], [-1]))


@public
def kron(x: Any, y: Any) -> Tensor:
    """Kronecker's product: every element of `x`, times all of `y`, in its place.

    Example:
        >>> import ambos as am
        >>> am.kron(am.tensor([1, 10]), am.tensor([1, 2, 3])).tolist()
        [1, 2, 3, 10, 20, 30]
    """
    a, b = node_of(x), node_of(y)
    rank = max(a.rank, b.rank)
    outer_sizes = (1,) * (rank - a.rank) + a.shape
    inner_sizes = (1,) * (rank - b.rank) + b.shape
    left = reshaped(a, tuple(v for n in outer_sizes for v in (n, 1)))
    right = reshaped(b, tuple(v for n in inner_sizes for v in (1, n)))
    product = binary(ops.multiply, left, right)
    shape = tuple(n * m for n, m in zip(outer_sizes, inner_sizes, strict=True))
    return wrap(reshaped(product, shape))


@public
def cross(x: Any, y: Any, axis: int | None = None) -> Tensor:
    """Cross products along an axis of size 3 (without one: along the first of that size).

    Example:
        >>> import ambos as am
        >>> am.cross(am.tensor([1, 0, 0]), am.tensor([0, 1, 0])).tolist()
        [0, 0, 1]
    """
    for one in (node_of(x), node_of(y)):
        if axis is not None and one.shape[normalize_axis("cross", axis, one.rank)] != 3:
            raise ShapeError(f"cross: axis {axis} of {one.shape} does not have 3 elements; need 3")
    a, b = align("cross", (operand_of(x), operand_of(y)))
    if axis is None:
        sizes = (known("cross without axis=", n) for n in a.shape)
        axis = next((i for i, n in enumerate(sizes) if n == 3), None)
        if axis is None:
            raise ShapeError(f"cross: no axis of {a.shape} has size 3; need one")
    at = normalize_axis("cross", axis, a.rank)
    u, v = wrap(a), wrap(b)
    # (u x v)[i] = u[i+1] v[i+2] - u[i+2] v[i+1], positions modulo 3.
    return roll(u, -1, at) * roll(v, -2, at) - roll(u, -2, at) * roll(v, -1, at)


@public
def vander(x: Any, n: int | None = None, increasing: bool = False, N: int | None = None) -> Tensor:
    """Rows of powers of the elements of a vector: the highest first, or with `increasing` last.

    Example:
        >>> import ambos as am
        >>> am.vander(am.tensor([2, 3]), 3).tolist()
        [[4, 2, 1], [9, 3, 1]]
    """
    node = node_of(x)
    if node.rank != 1:
        raise ShapeError(f"vander: got {node.shape}; need a vector")
    return wrap(powers("vander", node, n if N is None else N, increasing))


def powers(op: str, node: Node, count: int | None, increasing: bool) -> Node:
    """1, x, x * x, ... along a new last axis."""
    columns = node.shape[-1] if count is None else count
    if columns < 0:
        raise ArgumentError(f"{op}: {columns} columns; need at least 0")
    node = convert(node, int64) if node.dtype is bool_ else node
    single = (*node.shape, 1)
    if columns < 2:
        return scalar(1, node.dtype, (*node.shape, columns))
    one = scalar(1, node.dtype, single)
    rest = expand_to(reshaped(node, single), (*node.shape, columns - 1))
    last = len(single) - 1
    found = cumprod(concat(one, rest, attrs=(last,)), attrs=(last, False))
    return found if increasing else flip(found, attrs=((last,),))


__all__ = [
    "addbmm", "addmm", "addmv", "addr", "baddbmm", "cross", "inner", "kron", "vander",
]  # fmt: skip
