"""Batches of matrices in primitives: what gradients of linear algebra are written with."""

from __future__ import annotations

from ambos.core.dtype import DType
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.ops.arithmetic import add, cast, equal, greater_equal, multiply, subtract, where
from ambos.ops.complex.bridge import conj
from ambos.ops.contraction import contract, make_spec, plain
from ambos.ops.kinds import constant, constant_like
from ambos.ops.movement import expand, permute, reshape
from ambos.ops.reductions import sum_
from ambos.ops.sources import iota


def product(a: Node, b: Node) -> Node:
    """a @ b; the leading axes of both are the same."""
    batch = [f"b{i}" for i in range(a.rank - 2)]
    sizes = dict(zip(batch, a.shape, strict=False))
    sizes |= {"m": a.shape[-2], "k": a.shape[-1], "n": b.shape[-1]}
    spec = make_spec(
        plain([*batch, "m", "k"]), [*batch, "k", "n"], [*batch, "m", "n"], ["k"], sizes
    )
    return contract(a, b, attrs=(spec,))


def products(first: Node, *others: Node) -> Node:
    """The product of several, from the left."""
    for other in others:
        first = product(first, other)
    return first


def transpose(a: Node) -> Node:
    """The last two axes swapped."""
    axes = (*range(a.rank - 2), a.rank - 1, a.rank - 2)
    return permute(a, attrs=(axes,))


def adjoint(a: Node) -> Node:
    """The conjugate transpose."""
    return transpose(conj(a) if a.dtype.is_complex else a)


def like(v: Node, a: Node) -> Node:
    """Real numbers as complex ones where `a` is complex."""
    return v if v.dtype is a.dtype else cast(v, attrs=(a.dtype,))


def is_below(shape: Shape, offset: int = 0) -> Node:
    """Where row >= column - offset, as bool in `shape` (..., m, n)."""
    return greater_equal(_places(shape, -2, offset), _places(shape, -1))


def is_diagonal(shape: Shape) -> Node:
    """Where row == column, as bool in `shape`."""
    return equal(_places(shape, -2), _places(shape, -1))


def _places(shape: Shape, axis: int, offset: int = 0) -> Node:
    rank = len(shape)
    index = iota(attrs=(shape[axis],))
    if offset:
        index = add(index, constant_like(index, offset))
    single = tuple(n if a == axis % rank else 1 for a, n in enumerate(shape))
    return expand(reshape(index, attrs=(single,)), attrs=(shape,))


def lower(a: Node, offset: int = 0) -> Node:
    """The triangle below the diagonal number `offset` and that diagonal; zeros above."""
    return where(is_below(a.shape, offset), a, constant_like(a, 0))


def upper(a: Node, offset: int = 0) -> Node:
    """The triangle above the diagonal number `offset` and that diagonal; zeros below."""
    return where(is_below(a.shape, offset - 1), constant_like(a, 0), a)


def identity(dtype: DType, shape: Shape) -> Node:
    """Ones on the diagonal of the last two axes."""
    return where(is_diagonal(shape), constant(1, dtype, shape), constant(0, dtype, shape))


def diagonal(a: Node) -> Node:
    """The main diagonals of square matrices, (..., n)."""
    chosen = where(is_diagonal(a.shape), a, constant_like(a, 0))
    return sum_(chosen, attrs=((a.rank - 1,),))


def spread_rows(v: Node, shape: Shape) -> Node:
    """Row i is v[i] everywhere: (..., m) to `shape` (..., m, n)."""
    return expand(reshape(v, attrs=((*v.shape, 1),)), attrs=(shape,))


def spread_columns(v: Node, shape: Shape) -> Node:
    """Column j is v[j] everywhere: (..., n) to `shape` (..., m, n)."""
    return expand(reshape(v, attrs=((*v.shape[:-1], 1, v.shape[-1]),)), attrs=(shape,))


def matrix_of(v: Node) -> Node:
    """Matrices with `v` (..., n) on the diagonal."""
    shape = (*v.shape, v.shape[-1])
    return where(is_diagonal(shape), spread_rows(v, shape), constant(0, v.dtype, shape))


def times_columns(a: Node, v: Node) -> Node:
    """a @ matrix_of(v)."""
    return multiply(a, spread_columns(like(v, a), a.shape))


def times_rows(v: Node, a: Node) -> Node:
    """matrix_of(v) @ a."""
    return multiply(spread_rows(like(v, a), a.shape), a)


def batched(v: Node, shape: Shape) -> Node:
    """One number a matrix, (...), to `shape` (..., m, n)."""
    return expand(reshape(v, attrs=((*v.shape, 1, 1),)), attrs=(shape,))


def halved_diagonal(a: Node) -> Node:
    """`a` with half of its diagonal."""
    half = multiply(a, constant_like(a, 0.5))
    return where(is_diagonal(a.shape), half, a)


def hermitian(a: Node) -> Node:
    """(a + a^H) / 2."""
    return multiply(add(a, adjoint(a)), constant_like(a, 0.5))


def rest_of(a: Node, q: Node) -> Node:
    """a - q q^H a: what of `a` is orthogonal to the columns of `q`."""
    return subtract(a, product(q, product(adjoint(q), a)))
