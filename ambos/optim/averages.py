"""Moving averages in the state of an optimizer."""

from __future__ import annotations

from ambos.tensor.handle import Tensor
from ambos.tensor.limits import finfo
from ambos.tensor.pointwise import where


def faded(average: Tensor) -> Tensor:
    """`average`, its subnormal numbers replaced by zero.

    Where no gradient comes any more (a dead unit, a word that does not occur), an average shrinks
    by a constant factor a step, reaches the subnormal numbers and, rounded, stays there for ever.
    Processors need a hundred times longer for those: a step of a small network took 4.5 times
    as long from its 600th step on (docs/performance/steps.md). What is lost is below 1.2e-38.

    Example:
        >>> import ambos as am
        >>> faded(am.tensor([1e-40, -0.5, 2.0])).tolist()
        [0.0, -0.5, 2.0]
    """
    return where(average.abs() < finfo(average.dtype).tiny, 0.0, average)
