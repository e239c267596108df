"""Singular values of matrices of low rank, from a random sketch of their columns."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import ArgumentError
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.linalg import factors
from ambos.tensor.linalg.older import SVDFactors
from ambos.tensor.linalg.operands import adjoint, matrix
from ambos.tensor.movement import broadcast_to
from ambos.tensor.names import public
from ambos.tensor.random.basic import randn


@public
def svd_lowrank(A: Any, q: int | None = 6, niter: int | None = 2, M: Any = None) -> SVDFactors:
    """U, S and V of x = U diag(S) V^H for the largest `q` singular values of A (or of A - M),
    exact where its rank is no higher, else nearly so, the more the more often (`niter`) the sketch
    is iterated. The sketch is drawn from the global stream: `am.manual_seed` repeats it.

    Shapes: (..., m, n) -> (..., m, q), (..., q), (..., n, q).
    Source: Halko, Martinsson and Tropp, Finding structure with randomness, 2011, algorithms 4.4
        and 5.1.

    Example:
        >>> import ambos as am
        >>> x = am.outer(am.arange(1, 5).float(), am.ones(3))
        >>> [f"{size:.3f}" for size in am.svd_lowrank(x, q=1).S.tolist()]  # sqrt(30 * 3)
        ['9.487']
    """
    given = wrap(matrix("svd_lowrank", A))
    if M is not None:
        given = given - broadcast_to(M, given.shape)
    smaller = min(given.shape[-2:])
    count, turns = min(6 if q is None else q, smaller), 2 if niter is None else niter
    _check("svd_lowrank", given, count, turns)
    wide = given.shape[-2] < given.shape[-1]
    u, s, vh = _sketched(adjoint(given) if wide else given, count, turns)
    v = adjoint(vh)
    return SVDFactors(v, s, u) if wide else SVDFactors(u, s, v)


@public
def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> SVDFactors:
    """`svd_lowrank` of the rows of A less their mean (unless `center` is False): the columns of V
    are the principal directions. `q` is min(6, m, n) unless given."""
    given = wrap(matrix("pca_lowrank", A))
    smaller = min(given.shape[-2:])
    count = min(6, smaller) if q is None else q
    _check("pca_lowrank", given, count, niter)
    if center:
        given = given - given.mean(-2, keepdims=True)
    return svd_lowrank(given, count, niter)


def _check(name: str, x: Tensor, count: int, turns: int) -> None:
    smaller = min(x.shape[-2:])
    if not 0 <= count <= smaller:
        raise ArgumentError(f"{name}: q is {count} for {tuple(x.shape)}; need 0 to {smaller}")
    if turns < 0:
        raise ArgumentError(f"{name}: niter is {turns}; need at least 0")


def _sketched(tall: Tensor, count: int, turns: int) -> factors.SVDResult:
    """The decomposition within the span of a random sketch of the columns."""
    drawn = randn(tall.shape[-1], count, dtype=tall.dtype.part).to(tall.dtype)
    basis = factors.qr(tall @ drawn).Q
    for _ in range(turns):
        basis = factors.qr(adjoint(tall) @ basis).Q
        basis = factors.qr(tall @ basis).Q
    u, s, vh = factors.svd(adjoint(basis) @ tall, full_matrices=False)
    return factors.SVDResult(basis @ u, s, vh)


__all__ = ["pca_lowrank", "svd_lowrank"]
