"""Learning rates that callbacks change."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import ArgumentError


def groups_of(callback: Any) -> list[dict[str, Any]]:
    """The optimizer's groups, whose rates a callback may set.

    Errors: ArgumentError where a schedule sets them already.
    """
    model, name = callback.model, type(callback).__name__
    if getattr(model.plan, "schedule", None) is not None:
        raise ArgumentError(
            f"{name}: the model was compiled with a schedule, which sets the learning rate; need "
            "one of the two"
        )
    found: list[dict[str, Any]] = model.optimizer.param_groups
    return found


def rate_of(callback: Any) -> float:
    """The learning rate now, of the first group."""
    return float(callback.model.optimizer.lr)
