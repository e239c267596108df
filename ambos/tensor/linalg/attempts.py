"""PyTorch's functions that return where they failed (`info`) instead of raising."""

from __future__ import annotations

from typing import Any, NamedTuple

from ambos.core.dtype import int32
from ambos.ops import attempts, matrices, solving
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.linalg.factors import lu_factor
from ambos.tensor.linalg.operands import matrix
from ambos.tensor.linalg.systems import system
from ambos.tensor.names import public


class CholeskyExResult(NamedTuple):
    """The factor, and for each matrix 0 or the first leading minor that is not positive."""

    L: Tensor
    info: Tensor


class InvExResult(NamedTuple):
    """The inverse, and for each matrix 0 or the number of the first pivot that is zero."""

    inverse: Tensor
    info: Tensor


class SolveExResult(NamedTuple):
    """The solution, and for each matrix 0 or the number of the first pivot that is zero."""

    result: Tensor
    info: Tensor


class LUFactorsEx(NamedTuple):
    """`lu_factor`, and for each matrix 0 or the number of the first zero on U's diagonal."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


def _ok(batch: tuple[int, ...]) -> Tensor:
    from ambos.tensor.creation import zeros

    return zeros(batch, dtype=int32)


@public
def cholesky_ex(x: Any, *, upper: bool = False, check_errors: bool = False) -> CholeskyExResult:
    """`cholesky` that fills matrices which are not positive definite with NaN and says so."""
    node = matrix("cholesky_ex", x, square=True)
    given = matrices.adjoint(node) if upper else node
    if check_errors:
        found, info = solving.cholesky(given), _ok(node.shape[:-2])
    else:
        found, said = attempts.cholesky_ex.parts(given)
        info = wrap(said)
    return CholeskyExResult(wrap(matrices.adjoint(found) if upper else found), info)


@public
def inv_ex(x: Any, *, check_errors: bool = False) -> InvExResult:
    """`inv` that fills singular matrices with NaN and says so."""
    node = matrix("inv_ex", x, square=True)
    if check_errors:
        return InvExResult(wrap(solving.inv(node)), _ok(node.shape[:-2]))
    return InvExResult(*map(wrap, attempts.inv_ex.parts(node)))


@public
def solve_ex(x: Any, y: Any, *, left: bool = True, check_errors: bool = False) -> SolveExResult:
    """`solve` that fills the solutions of singular systems with NaN and says so."""
    if not left:
        turned = solve_ex(wrap(node_of(x)).mT, wrap(node_of(y)).mT, check_errors=check_errors)
        return SolveExResult(turned.result.mT, turned.info)
    a, b, vectors = system("solve_ex", x, y)
    if check_errors:
        found, info = solving.solve(a, b), _ok(a.shape[:-2])
    else:
        found, said = attempts.solve_ex.parts(a, b)
        info = wrap(said)
    return SolveExResult(wrap(reshaped(found, found.shape[:-1]) if vectors else found), info)


@public
def lu_factor_ex(x: Any, *, pivot: bool = True, check_errors: bool = False) -> LUFactorsEx:
    """`lu_factor`, which never fails, and where U has a zero on its diagonal."""
    packed, pivots = lu_factor(x, pivot)
    count = pivots.shape[-1]
    if not count:
        return LUFactorsEx(packed, pivots, _ok(tuple(packed.shape[:-2])))
    zeros = wrap(matrices.diagonal(packed[..., :count, :count]._node)) == 0
    first = zeros.to(int32).argmax(-1) + 1
    return LUFactorsEx(packed, pivots, zeros.any(-1).where(first, first * 0).to(int32))
