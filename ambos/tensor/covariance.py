"""How variables vary together: covariances and correlations."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.unknown import known, larger
from ambos.tensor.diagonals import diagonal
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.linear import matmul
from ambos.tensor.movement import reshape
from ambos.tensor.names import public
from ambos.tensor.operands import floating
from ambos.tensor.parts import complex as complex_of
from ambos.tensor.parts import imag, real
from ambos.tensor.refusals import require_none


@public
def cov(x: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
    """The covariances of variables, a row of samples each; of complex ones the second factor is
    conjugated. A sample counts `fweights` times and has the importance `aweights`.

    Shapes: (variables, samples) -> (variables, variables); of one variable a scalar.

    Example:
        >>> import ambos as am
        >>> am.cov(am.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    node = floating(node_of(x))
    if node.rank > 2:
        raise ShapeError(f"cov: got {node.shape}; need at most two dimensions: a row of samples "
                         "for each variable")  # fmt: skip
    rows = reshape(wrap(node), node.shape if node.rank == 2 else (1, node.size))
    samples = rows.shape[1]
    times = _weights("fweights", fweights, samples, integers=True)
    importance = _weights("aweights", aweights, samples, integers=False)
    part = node.dtype.part
    given = [w.astype(part) for w in (times, importance) if w is not None]
    total: Any = samples
    lost: Any = float(correction)
    centred = weighted = rows
    if given:
        weights = given[0] if len(given) == 1 else given[0] * given[1]
        total = weights.sum()
        if importance is not None:
            lost = correction * (weights * importance.astype(part)).sum() / total
        centred = rows - (rows * weights).sum(1, True) / total
        weighted = centred * weights
    else:
        centred = weighted = rows - rows.sum(1, True) / total
    left = total - lost
    left = left.clip(0) if isinstance(left, Tensor) else larger(left, 0.0)
    square = matmul(centred, weighted.mH) / left
    return reshape(square, ()) if known("cov: variables", rows.shape[0]) == 1 else square


def _weights(name: str, given: Any, samples: int, integers: bool) -> Tensor | None:
    if given is None:
        return None
    node = node_of(given)
    if node.shape != (samples,):
        raise ShapeError(f"cov: {name} are {node.shape} for {samples} samples; need one each")
    if not (node.dtype.is_integer if integers else node.dtype.is_floating):
        kind = "integers" if integers else "floating numbers"
        raise DTypeError(f"cov: {name} are {node.dtype.name}; need {kind}")
    found = wrap(node)
    if samples:
        message = f"cov: {name} hold a negative number; need none below 0"
        require_none(found < 0, ArgumentError, message)
    return found


@public
def corrcoef(x: Any) -> Tensor:
    """The correlations of variables, a row of samples each (see `cov`), within [-1, 1], as are both
    parts of complex ones.

    Example:
        >>> import ambos as am
        >>> am.corrcoef(am.tensor([[0.0, 1.0, 2.0], [4.0, 2.0, 0.0]])).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]
    """
    square = cov(x)
    if square.ndim == 0:
        return square / square
    deviations = real(diagonal(square)).sqrt()
    found = square / deviations[:, None] / deviations
    if not found.dtype.is_complex:
        return found.clip(-1, 1)
    return complex_of(real(found).clip(-1, 1), imag(found).clip(-1, 1))


__all__ = ["corrcoef", "cov"]
