"""Symmetric and Hermitian matrices that need not be positive: their LDL^H factors."""

from __future__ import annotations

from typing import Any, NamedTuple

from ambos.core.errors import DTypeError, ShapeError
from ambos.ops import indefinite
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.linalg.operands import batched, matrix, together
from ambos.tensor.names import public
from ambos.tensor.operands import convert, expand_to


class LDLFactors(NamedTuple):
    """L below the diagonal, D on it and beside it, and the row exchanged with each (from 1;
    negative for both rows of a block of two in D)."""

    LD: Tensor
    pivots: Tensor


class LDLFactorsEx(NamedTuple):
    """`ldl_factor`, and for each matrix 0 or the number of the first column where D is zero."""

    LD: Tensor
    pivots: Tensor
    info: Tensor


@public
def ldl_factor_ex(
    x: Any, *, hermitian: bool = False, check_errors: bool = False
) -> LDLFactorsEx:  # fmt: skip
    """`ldl_factor` that says where D is singular instead of raising, unless `check_errors`."""
    node = matrix("ldl_factor_ex", x, square=True)
    attrs = (bool(hermitian), bool(check_errors))
    return LDLFactorsEx(*map(wrap, indefinite.ldl_factor.parts(node, attrs=attrs)))


@public
def ldl_factor(x: Any, *, hermitian: bool = False) -> LDLFactors:
    """Factors of symmetric (or `hermitian`) matrices, of which the lower triangle is read, as
    `ldl_solve` takes them. They have no gradients.

    Errors: LinAlgError where a matrix is singular.
    Source: Bunch and Kaufman, Some stable methods for calculating inertia and solving symmetric
        linear systems, 1977.

    Example:
        >>> import ambos as am
        >>> a = am.tensor([[4.0, 2.0], [2.0, 5.0]])
        >>> am.linalg.ldl_factor(a).LD.tolist()
        [[4.0, 0.0], [0.5, 4.0]]
    """
    return LDLFactors(*ldl_factor_ex(x, hermitian=hermitian, check_errors=True)[:2])


@public
def ldl_solve(LD: Any, pivots: Any, y: Any, *, hermitian: bool = False) -> Tensor:
    """z of A @ z = y from A's `ldl_factor`.

    Shapes: (..., n, n), (..., n) and (..., n, k) -> (..., n, k); leading axes broadcast.

    Example:
        >>> import ambos as am
        >>> factors = am.linalg.ldl_factor(am.tensor([[0.0, 2.0], [2.0, 0.0]]))
        >>> am.linalg.ldl_solve(*factors, am.tensor([[2.0], [4.0]])).tolist()
        [[2.0], [1.0]]
    """
    a, b = together("ldl_solve", LD, y)
    a, exchanges = matrix("ldl_solve", wrap(a), square=True), node_of(pivots)
    if not exchanges.dtype.is_integer:
        raise DTypeError(f"linalg.ldl_solve: pivots are {exchanges.dtype.name}; need integers, as "
                         "ldl_factor returns them")  # fmt: skip
    if b.rank < 2 or b.shape[-2] != a.shape[-1] or exchanges.shape[-1:] != a.shape[-1:]:
        raise ShapeError(f"linalg.ldl_solve: got {a.shape}, pivots {exchanges.shape} and right "
                         f"sides {b.shape}; need (..., n, n), (..., n) and (..., n, k), here n = "
                         f"{a.shape[-1]}")  # fmt: skip
    a, b = batched("ldl_solve", a, b)
    exchanges = expand_to(convert(exchanges, a.dtype.part), a.shape[:-1])
    return wrap(indefinite.ldl_solve(a, exchanges, b, attrs=(0, bool(hermitian))))


__all__ = ["ldl_factor", "ldl_factor_ex", "ldl_solve"]
