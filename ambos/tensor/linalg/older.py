"""PyTorch's names outside `linalg`; `ambos` and Tensor have them as well (`am.det`, `x.inverse()`).

Where both have a name, this is the one of `torch.<name>`: `svd` gives V and not its adjoint.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.linalg import factors, systems
from ambos.tensor.linalg.factors import QRResult, cholesky
from ambos.tensor.linalg.functions import det, matrix_exp, matrix_power, slogdet
from ambos.tensor.linalg.operands import adjoint
from ambos.tensor.linalg.systems import cholesky_solve
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
    from ambos.ops.matrices import identity

    return wrap(identity(like.dtype, tuple(like.shape)))


__all__ = [
    "cholesky", "cholesky_inverse", "cholesky_solve", "det", "inverse", "logdet", "matrix_exp",
    "matrix_power", "pinverse", "qr", "slogdet", "svd",
]  # fmt: skip
