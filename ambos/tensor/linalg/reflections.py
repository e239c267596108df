"""QR as a product of reflections: I - tau_i v_i v_i^H, where v_i lies below the diagonal of column
i and has a one on it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ambos.core.errors import ShapeError
from ambos.ops import matrices
from ambos.ops.reflections import geqrf as reflections_of
from ambos.tensor.creation import eye
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.linalg.operands import adjoint, matrix, together
from ambos.tensor.linalg.systems import solve_triangular
from ambos.tensor.names import public


class Reflections(NamedTuple):
    """R on and above the diagonal of `a`, the vectors of the reflections below; their factors."""

    a: Tensor
    tau: Tensor


@public
def geqrf(x: Any) -> Reflections:
    """The QR decomposition as reflections, for `householder_product` and `ormqr`. It has no
    gradient; that of `qr` has.

    Shapes: (..., m, n) -> (..., m, n), (..., min(m, n)).
    """
    return Reflections(*map(wrap, reflections_of.parts(matrix("geqrf", x))))


@public
def householder_product(x: Any, tau: Any) -> Tensor:
    """The first n columns of the product of the reflections.

    Shapes: (..., m, n), (..., k) -> (..., m, n) with m >= n >= k.
    """
    given, factors = _vectors("householder_product", x, tau)
    m, n = given.shape[-2:]
    if m < n:
        raise ShapeError(f"linalg.householder_product: got {tuple(given.shape)}; need (..., m, n) "
                         "with m >= n")  # fmt: skip
    start = eye(m, n, dtype=given.dtype).expand(given.shape)
    return _reflected(given, factors, start, False)


@public
def ormqr(x: Any, tau: Any, other: Any, left: bool = True, transpose: bool = False) -> Tensor:
    """Q @ other (or other @ Q, unless `left`), where Q is the whole square product of the
    reflections; with `transpose` Q^H instead.

    Shapes: (..., m, n), (..., k), (..., m, p) -> (..., m, p), or (..., p, m) unless `left`.

    Example:
        >>> import ambos as am
        >>> x = am.tensor([[3.0, 1.0], [4.0, 2.0]])
        >>> found = am.ormqr(*am.geqrf(x), x, transpose=True)  # Q^H x is R
        >>> [f"{value:.1f}" for value in found.abs().flatten().tolist()]
        ['5.0', '2.2', '0.0', '0.4']
    """
    x, other = map(wrap, together("ormqr", x, other))
    given, factors = _vectors("ormqr", x, tau)
    if not left:
        return adjoint(ormqr(given, factors, adjoint(other), True, not transpose))
    if other.ndim < 2 or other.shape[-2] != given.shape[-2]:
        raise ShapeError(f"ormqr: got reflections {tuple(given.shape)} and other "
                         f"{tuple(other.shape)}; need equal numbers of rows, or columns of other "
                         "where left=False")  # fmt: skip
    return _reflected(given, factors, other, transpose)


def _vectors(name: str, x: Any, tau: Any) -> tuple[Tensor, Tensor]:
    given, factors = together(name, x, tau)
    given = matrix(name, wrap(given))
    if not factors.rank or factors.shape[-1] > min(given.shape[-2:]):
        raise ShapeError(f"linalg.{name}: got {given.shape} and tau {factors.shape}; need (..., m, "
                         "n) and (..., k) with k up to m and n")  # fmt: skip
    if factors.shape[:-1] != given.shape[:-2]:
        raise ShapeError(f"linalg.{name}: got {given.shape} and tau {factors.shape}; need equal "
                         "leading axes")  # fmt: skip
    return wrap(given), wrap(factors)


def _reflected(given: Tensor, factors: Tensor, start: Tensor, transpose: bool) -> Tensor:
    """The product of the reflections, or its adjoint, times `start`. All at once: it is I - V T V^H
    with the vectors as columns of V, and (I + D U) T = D for the factors D on a diagonal and what
    is above the diagonal of V^H V as U (Schreiber and Van Loan 1989, solved for T)."""
    count = factors.shape[-1]
    if not count:
        return start
    whole = given.tril(-1) + wrap(matrices.identity(given.dtype, tuple(given.shape)))
    vectors = whole[..., :count]
    turned = adjoint(vectors)
    above = factors[..., None] * (turned @ vectors)
    scales = wrap(matrices.matrix_of(factors._node))
    middle = solve_triangular(above, scales, upper=True, unitriangular=True)
    return start - vectors @ ((adjoint(middle) if transpose else middle) @ (turned @ start))


__all__ = ["geqrf", "householder_product", "ormqr"]
