"""The gradient that a jitted step has used up."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import GradientError
from ambos.tensor.handle import Tensor


class SpentGradientError(GradientError):
    """A gradient was read that was never stored."""


class SpentGradient(Tensor):
    """Stands in `.grad` of a parameter that a jitted function has updated: the gradient went
    into the update and was not stored. Whoever reads it is told so."""

    __slots__ = ()

    def __init__(self) -> None:
        self._grad, self._kept, self._retains_grad = None, None, False

    @property
    def _node(self) -> Any:  # type: ignore[override]
        raise SpentGradientError(
            "grad: the jitted function used the gradient up when it updated the parameter; need "
            "optimizer.zero_grad() before backward() inside it, or to return p.grad from it in "
            "order to look at it"
        )

    def __repr__(self) -> str:
        return "SpentGradient()"


SPENT = SpentGradient()
