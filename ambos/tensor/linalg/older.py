"""PyTorch's names outside `linalg`; `ambos` and Tensor have them as well (`am.det`, `x.inverse()`).

Where both have a name, this is the one of `torch.<name>`: `svd` gives V and not its adjoint.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ambos.core.errors import ShapeError
from ambos.ops import matrices, triangles
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.linalg import attempts, factors, systems
from ambos.tensor.linalg.factors import QRResult, cholesky
from ambos.tensor.linalg.functions import det, matrix_exp, matrix_power, slogdet
from ambos.tensor.linalg.operands import adjoint, matrix
from ambos.tensor.linalg.products import multi_dot, outer
from ambos.tensor.linalg.reflections import geqrf, householder_product, ormqr
from ambos.tensor.linalg.systems import cholesky_solve
from ambos.tensor.movement import broadcast_to
from ambos.tensor.names import public


class SVDFactors(NamedTuple):
    """x = U diag(S) V^H."""

    U: Tensor
    S: Tensor
    V: Tensor


@public
def inverse(x: Any) -> Tensor:
    """Inverses of square matrices: `linalg.inv`."""
    return systems.inv(x)


@public
def pinverse(x: Any, rcond: float = 1e-15) -> Tensor:
    """Moore-Penrose inverses: `linalg.pinv`."""
    return systems.pinv(x, rtol=rcond)


@public
def logdet(x: Any) -> Tensor:
    """The logarithm of determinants: NaN where these are negative, minus infinity where zero."""
    sign, size = slogdet(x)
    return (sign < 0).where(float("nan"), size) if not sign.dtype.is_complex else sign.log() + size


@public
def qr(x: Any, some: bool = True) -> QRResult:
    """Q and R; Q is square unless `some`."""
    return factors.qr(x, mode="reduced" if some else "complete")


@public
def svd(x: Any, some: bool = True, compute_uv: bool = True) -> SVDFactors:
    """U, S and V (not its adjoint); U and V are square unless `some`."""
    u, s, vh = factors.svd(x, full_matrices=not some)
    if not compute_uv:
        u, vh = u.detach() * 0, vh.detach() * 0
    return SVDFactors(u, s, adjoint(vh))


@public
def cholesky_inverse(x: Any, upper: bool = False) -> Tensor:
    """The inverse of the matrix whose Cholesky factor `x` is."""
    factor = wrap(node_of(x))
    low = systems.solve_triangular(factor, _identity(factor), upper=upper)
    return low @ adjoint(low) if upper else adjoint(low) @ low


def _identity(like: Tensor) -> Tensor:
    return wrap(matrices.identity(like.dtype, tuple(like.shape)))


class TriangularSolution(NamedTuple):
    """The solution, and a copy of the coefficients."""

    solution: Tensor
    cloned_coefficient: Tensor


class UnpackedLU(NamedTuple):
    """P, L and U of x = P L U; what was not asked for is empty."""

    P: Tensor
    L: Tensor
    U: Tensor


@public
def triangular_solve(
    y: Any, x: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> TriangularSolution:
    """z of x @ z = y (of its transpose, if so) for a triangle, and `x`: `linalg.solve_triangular`,
    which has its arguments the other way round.

    Example:
        >>> import ambos as am
        >>> x = am.tensor([[2.0, 1.0], [0.0, 4.0]])
        >>> am.triangular_solve(am.tensor([[5.0], [4.0]]), x).solution.tolist()
        [[2.0], [1.0]]
    """
    right, given = wrap(node_of(y)), wrap(node_of(x))
    for tensor in (right, given):
        if tensor.ndim < 2:
            raise ShapeError(f"triangular_solve: got {tuple(right.shape)} and "
                             f"{tuple(given.shape)}; need (..., n, k) and (..., n, n)")  # fmt: skip
    turned = given.mT if transpose else given
    found = systems.solve_triangular(
        turned, right, upper=upper != transpose, unitriangular=unitriangular
    )
    shape = (*found.shape[:-2], *given.shape[-2:])
    return TriangularSolution(found, broadcast_to(given, shape))


@public
def lu(x: Any, pivot: bool = True, get_infos: bool = False) -> Any:
    """`linalg.lu_factor`, or with `get_infos` `linalg.lu_factor_ex`: L and U in one matrix, the
    rows exchanged, and where U has a zero on its diagonal."""
    if get_infos:
        return attempts.lu_factor_ex(x, pivot=pivot)
    return factors.lu_factor(x, pivot)


@public
def lu_solve(y: Any, LU: Any, pivots: Any) -> Tensor:
    """`linalg.lu_solve`, which has its arguments in another order."""
    return systems.lu_solve(LU, pivots, y)


@public
def lu_unpack(
    LU: Any, pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True
) -> UnpackedLU:  # fmt: skip
    """P, L and U from what `lu_factor` returns.

    Shapes: (..., m, n), (..., k) -> (..., m, m), (..., m, k), (..., k, n) where k = min(m, n).

    Example:
        >>> import ambos as am
        >>> found = am.lu_unpack(*am.lu(am.tensor([[1.0, 2.0], [2.0, 2.0]])))
        >>> found.L.tolist(), found.U.tolist()
        ([[1.0, 0.0], [0.5, 1.0]], [[2.0, 2.0], [0.0, 1.0]])
    """
    packed = matrix("lu_unpack", LU)
    k = min(packed.shape[-2:])
    empty = wrap(packed).new_zeros((0,))
    if wrap(node_of(pivots)).shape != (*packed.shape[:-2], k):
        raise ShapeError(f"lu_unpack: got {packed.shape} and pivots {node_of(pivots).shape}; need "
                         f"{(*packed.shape[:-2], k)}, as lu_factor returns them")  # fmt: skip
    low, up = empty, empty
    if unpack_data:
        low, up = wrap(triangles.unit_lower(packed)), wrap(triangles.upper_part(packed))
    moved = systems.permutation("lu_unpack", pivots, packed) if unpack_pivots else empty
    return UnpackedLU(moved, low, up)


@public
def chain_matmul(*arrays: Any) -> Tensor:
    """The product of matrices in the order that costs least: `linalg.multi_dot`."""
    return wrap(matrix("chain_matmul", arrays[0])) if len(arrays) == 1 else multi_dot(arrays)


@public
def ger(x: Any, y: Any) -> Tensor:
    """`outer` of two vectors."""
    return outer(x, y)


@public
def orgqr(x: Any, tau: Any) -> Tensor:
    """The first columns of a product of reflections: `linalg.householder_product`."""
    return householder_product(x, tau)


__all__ = [
    "chain_matmul", "cholesky", "cholesky_inverse", "cholesky_solve", "det", "geqrf", "ger",
    "inverse", "logdet", "lu", "lu_solve", "lu_unpack", "matrix_exp", "matrix_power", "orgqr",
    "ormqr", "pinverse", "qr", "slogdet", "svd", "triangular_solve",
]  # fmt: skip
