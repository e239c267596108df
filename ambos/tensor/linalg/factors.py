"""Factorisations."""

from __future__ import annotations

from typing import Any, NamedTuple

from ambos.ops import matrices, spectral, triangles
from ambos.ops import solving as ops
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.linalg.operands import choice, matrix
from ambos.tensor.names import public


class EigResult(NamedTuple):
    """Eigenvalues, and eigenvectors of length 1 as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    """Q with orthonormal columns, and the upper triangle R."""

    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """x = U diag(S) Vh, S in descending order."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class LUResult(NamedTuple):
    """x = P L U."""

    P: Tensor
    L: Tensor
    U: Tensor


class LUFactors(NamedTuple):
    """L and U in one matrix, and the row exchanged with each (from 1, as LAPACK counts)."""

    LU: Tensor
    pivots: Tensor


@public
def cholesky(x: Any, upper: bool = False) -> Tensor:
    """L of x = L L^H, a lower triangle with a positive diagonal (or its adjoint, if `upper`).

    Shapes: (..., n, n) -> (..., n, n). Only one triangle of `x` is read, the upper if `upper`.
    Errors: LinAlgError where a matrix is not positive definite.

    Example:
        >>> import ambos as am
        >>> am.linalg.cholesky(am.tensor([[4.0, 2.0], [2.0, 5.0]])).tolist()
        [[2.0, 0.0], [1.0, 2.0]]
    """
    node = matrix("cholesky", x, square=True)
    found = ops.cholesky(matrices.adjoint(node) if upper else node)
    return wrap(matrices.adjoint(found) if upper else found)


@public
def eig(x: Any) -> EigResult:
    """Eigenvalues and eigenvectors of square matrices; both are complex, in no order. Gradients
    through the vectors ask for a function that their length and phase do not change.

    Shapes: (..., n, n) -> (..., n), (..., n, n).
    """
    return EigResult(*map(wrap, spectral.eig.parts(matrix("eig", x, square=True))))


@public
def eigvals(x: Any) -> Tensor:
    """Eigenvalues of square matrices, complex, in no order."""
    return wrap(spectral.eig(matrix("eigvals", x, square=True)))


@public
def eigh(x: Any, UPLO: str = "L") -> EighResult:
    """Eigenvalues (ascending) and eigenvectors of Hermitian matrices, of which one triangle is
    read. Where eigenvalues coincide, gradients through the vectors are not finite.

    Shapes: (..., n, n) -> (..., n), (..., n, n).

    Example:
        >>> import ambos as am
        >>> am.linalg.eigh(am.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues.tolist()
        [1.0, 2.0]
    """
    node = matrix("eigh", x, square=True)
    return EighResult(*map(wrap, spectral.eigh.parts(node, attrs=(_is_upper("eigh", UPLO),))))


@public
def eigvalsh(x: Any, UPLO: str = "L") -> Tensor:
    """Eigenvalues of Hermitian matrices, ascending."""
    node = matrix("eigvalsh", x, square=True)
    return wrap(spectral.eigvalsh(node, attrs=(0, _is_upper("eigvalsh", UPLO))))


def _is_upper(name: str, triangle: str) -> bool:
    return bool(choice(name, "UPLO", triangle, ("L", "U", "l", "u")) in "Uu")


@public
def qr(x: Any, mode: str = "reduced") -> QRResult:
    """Q and R of x = Q R; `mode` "complete" gives a square Q, "r" only R (Q is empty).

    Shapes: (..., m, n) -> (..., m, k), (..., k, n), where k = min(m, n), or m if complete.
    """
    node = matrix("qr", x)
    choice("qr", "mode", mode, ("reduced", "complete", "r"))
    q, r = map(wrap, triangles.qr.parts(node, attrs=(mode == "complete",)))
    return QRResult(q.new_zeros((0,)) if mode == "r" else q, r)


@public
def svd(x: Any, full_matrices: bool = True) -> SVDResult:
    """U, S and V^H of x = U diag(S) V^H; S is in descending order. Where singular values coincide,
    gradients through U and Vh are not finite.

    Shapes: (..., m, n) -> (..., m, m), (..., k), (..., n, n) where k = min(m, n); without
    `full_matrices` (..., m, k), (..., k), (..., k, n).

    Example:
        >>> import ambos as am
        >>> am.linalg.svd(am.tensor([[0.0, 3.0], [2.0, 0.0]])).S.tolist()
        [3.0, 2.0]
    """
    node = matrix("svd", x)
    full = bool(full_matrices) and node.shape[-1] != node.shape[-2]
    return SVDResult(*map(wrap, spectral.svd.parts(node, attrs=(full,))))


@public
def svdvals(x: Any) -> Tensor:
    """Singular values in descending order."""
    return wrap(spectral.svdvals(matrix("svdvals", x)))


@public
def lu_factor(x: Any, pivot: bool = True) -> LUFactors:
    """LU decomposition as `lu_solve` takes it; with row exchanges, unless `pivot` is False, which
    keeps the rows' order and its error."""
    packed, pivots, _ = triangles.lu_factor.parts(matrix("lu_factor", x), attrs=(bool(pivot),))
    return LUFactors(wrap(packed), wrap(pivots))


@public
def lu(x: Any, pivot: bool = True) -> LUResult:
    """P, L and U of x = P L U: a permutation (empty unless `pivot`), a lower triangle with ones on
    the diagonal, and an upper one."""
    node = matrix("lu", x)
    packed, _, order = triangles.lu_factor.parts(node, attrs=(bool(pivot),))
    low, up = wrap(triangles.unit_lower(packed)), wrap(triangles.upper_part(packed))
    if not pivot:
        return LUResult(low.new_zeros((0,)), low, up)
    return LUResult(wrap(triangles.permutation(order, node)), low, up)
