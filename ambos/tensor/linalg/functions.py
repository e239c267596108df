"""Functions of a matrix: norms, determinants, powers, the exponential."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ambos.core.errors import ArgumentError
from ambos.core.shape import normalize_axis
from ambos.ops import solving as ops
from ambos.ops import spectral
from ambos.ops.matrices import identity
from ambos.ops.sources import iota
from ambos.tensor import norms
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.linalg.factors import svdvals
from ambos.tensor.linalg.operands import default_tolerance, matrix, real_size
from ambos.tensor.linalg.systems import inv
from ambos.tensor.names import public
from ambos.tensor.operands import floating


class SlogdetResult(NamedTuple):
    """Sign, and logarithm of the absolute value, of a determinant."""

    sign: Tensor
    logabsdet: Tensor


@public
def det(x: Any) -> Tensor:
    """Determinants of square matrices. Singular ones have a gradient as well."""
    return wrap(ops.det(matrix("det", x, square=True)))


@public
def slogdet(x: Any) -> SlogdetResult:
    """Sign and logarithm of the absolute value of determinants, which neither overflow."""
    return SlogdetResult(*map(wrap, ops.slogdet.parts(matrix("slogdet", x, square=True))))


@public
def matrix_exp(x: Any) -> Tensor:
    """The exponential of square matrices: the sum of x^k / k!.

    Source: Higham, The scaling and squaring method for the matrix exponential revisited, 2005.
    """
    return wrap(spectral.matrix_exp(matrix("matrix_exp", x, square=True)))


@public
def matrix_power(x: Any, n: int) -> Tensor:
    """Square matrices to an integer power; negative ones need an inverse."""
    if not isinstance(n, int):
        raise ArgumentError(f"linalg.matrix_power: n is {n!r}; need an integer")
    base = wrap(matrix("matrix_power", x, square=True))
    if n == 0:
        return wrap(identity(base.dtype, tuple(base.shape)))
    if n < 0:
        base, n = inv(base), -n
    found: Tensor | None = None
    while True:
        if n & 1:
            found = base if found is None else found @ base
        n >>= 1
        if not n:
            assert found is not None
            return found
        base = base @ base


@public
def vector_norm(
    x: Any, ord: float = 2, axis: Any = None, keepdims: bool = False, dtype: Any = None
) -> Tensor:
    """Norms of vectors along axes (all, if None): of order 2, 1, 0, inf, -inf or any number."""
    if not isinstance(ord, (int, float)):
        raise ArgumentError(f"linalg.vector_norm: ord is {ord!r}; need a number")
    given = wrap(floating(node_of(x)))
    given = given if dtype is None else given.to(dtype)
    return norms.norm(real_size(given), ord, axis, keepdims)


@public
def matrix_norm(
    x: Any, ord: Any = "fro", axis: Any = (-2, -1), keepdims: bool = False, dtype: Any = None
) -> Tensor:
    """Norms of matrices: "fro", "nuc" (the sum of singular values), 2 and -2 (the largest and
    smallest), 1 and -1 (of column sums), inf and -inf (of row sums)."""
    given = wrap(matrix("matrix_norm", x))
    given = given if dtype is None else given.to(dtype)
    rows, columns = _two_axes(given, axis)
    if ord == "fro":
        return norms.norm(real_size(given), 2, (rows, columns), keepdims)
    if ord in ("nuc", 2, -2):
        values = svdvals(given.moveaxis((rows, columns), (-2, -1)))
        found = values.sum(-1) if ord == "nuc" else (
            values.amax(-1) if ord == 2 else values.amin(-1)
        )  # fmt: skip
    elif ord in (1, -1, math.inf, -math.inf):
        summed, kept = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = given.abs().sum(summed, keepdims=True)
        found = (sums.amax(kept) if ord > 0 else sums.amin(kept)).squeeze(
            summed - (kept < summed)
        )  # fmt: skip
    else:
        raise ArgumentError(f"linalg.matrix_norm: ord is {ord!r}; need 'fro', 'nuc', 1, -1, 2, -2, "
                            "inf or -inf")  # fmt: skip
    if keepdims:
        for at in sorted((rows, columns)):
            found = found.unsqueeze(at)
    return found


def _two_axes(x: Tensor, axis: Any) -> tuple[int, int]:
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
    if len(axes) != 2:
        raise ArgumentError(f"linalg.matrix_norm: axis is {axis!r}; need two axes")
    rows, columns = (normalize_axis("linalg.matrix_norm", a, x.ndim) for a in axes)
    if rows == columns:
        raise ArgumentError(f"linalg.matrix_norm: axis is {axis!r}; need two different axes")
    return rows, columns


@public
def norm(
    x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, dtype: Any = None
) -> Tensor:
    """The vector norm, or the matrix norm where two axes (or a matrix and an order) are given.
    Without an order, the root of the sum of squares."""
    given = wrap(floating(node_of(x)))
    if ord is None:
        return vector_norm(given, 2, axis, keepdims, dtype)
    pair = isinstance(axis, (list, tuple)) and len(axis) == 2
    if isinstance(ord, str) and not pair and not (axis is None and given.ndim == 2):
        raise ArgumentError(f"linalg.norm: ord {ord!r} of {tuple(given.shape)} over axis {axis}; "
                            "need a matrix, or two axes")  # fmt: skip
    if pair:
        return matrix_norm(given, ord, axis, keepdims, dtype)
    if axis is None and given.ndim == 2:
        return matrix_norm(given, ord, (0, 1), keepdims, dtype)
    if axis is None and given.ndim > 2:
        raise ArgumentError(f"linalg.norm: ord {ord!r} of {tuple(given.shape)}; need axis=")
    return vector_norm(given, ord, axis, keepdims, dtype)


@public
def cond(x: Any, p: Any = None) -> Tensor:
    """Condition numbers: the norm of a matrix times that of its inverse. `p` is an order of
    `matrix_norm`; None is 2, which takes matrices of any shape."""
    given = wrap(matrix("cond", x, square=p not in (None, 2, -2)))
    if p in (None, 2, -2):
        values = svdvals(given)
        if not values.shape[-1]:
            return values.sum(-1)
        largest, least = values[..., 0], values[..., -1]
        return least / largest if p == -2 else largest / least
    return matrix_norm(given, p) * matrix_norm(inv(given), p)


@public
def matrix_rank(
    x: Any, rtol: Any = None, atol: Any = None, tol: Any = None, hermitian: bool = False
) -> Tensor:
    """How many singular values are larger than max(atol, rtol * the largest), int64.

    `rtol` defaults to max(m, n) * eps of the dtype (0 where `atol` is given).
    """
    node = matrix("matrix_rank", x, square=hermitian)
    atol = tol if atol is None else atol
    values = svdvals(wrap(node))
    if not values.shape[-1]:
        return (values > 0).sum(-1)
    if rtol is None:
        rtol = default_tolerance(node) if atol is None else 0.0
    floor = values.amax(-1) * rtol
    if atol is not None:
        floor = floor.maximum(atol if isinstance(atol, Tensor) else floor.new_full((), atol))
    return (values > floor[..., None]).sum(-1)


@public
def vander(x: Any, N: int | None = None) -> Tensor:
    """Powers 0 to N - 1 (n - 1, unless given) of the elements of vectors: (..., n) -> (..., n, N).
    A number is a vector of one."""
    given = wrap(node_of(x))
    if not given.ndim:
        given = given.reshape(1)
    count = given.shape[-1] if N is None else N
    if count < 1 and N is not None:
        raise ArgumentError(f"linalg.vander: N is {N}; need at least 1")
    shape = (*given.shape, count)
    later = wrap(iota(attrs=(count,))) > 0
    factors = given[..., None].expand(shape)
    return later.expand(shape).where(factors, factors.new_ones(())).cumprod(-1)
