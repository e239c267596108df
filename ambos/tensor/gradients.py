"""What may stand in `.grad`."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.tensor.looking import Looking
from ambos.tensor.resting import Handle, kind_of


def check_gradient(of: Handle, value: Any) -> None:
    """Refuse what is no gradient of `of`: a step with another shape or dtype would give these to
    the parameter.

    Errors: ArgumentError, ShapeError, DTypeError.
    """
    if not isinstance(value, Looking):
        raise ArgumentError(f"grad: got {type(value).__name__}; need a tensor or None")
    (need, dtype), (shape, came) = kind_of(of), kind_of(value)
    if shape != need:
        raise ShapeError(f"grad: got {shape} for a tensor of {need}; need the same shape")
    if came is not dtype:
        raise DTypeError(f"grad: got {came.name} for a {dtype.name} tensor; need "
                         f"grad.to({dtype.name!r})")  # fmt: skip
