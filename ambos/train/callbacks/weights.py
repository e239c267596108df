"""Values of a model's weights, taken out and put in again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ambos.tensor.handle import Tensor
from ambos.tensor.modes import no_grad

Weights = dict[str, Tensor]


def as_weights(saved: Mapping[str, Any] | None) -> Weights | None:
    """Weights by name as tensors, after they were written and read as arrays."""
    if saved is None:
        return None
    return {name: v if isinstance(v, Tensor) else Tensor(v) for name, v in saved.items()}


def trained(model: Any) -> Weights:
    """The values of the trained parameters now: no handles, so later updates leave them alone."""
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}


def settled_by(callback: Any) -> Any:
    """Another callback of this training which says what weights are left after it, if any."""
    others = callback.told_with.callbacks if callback.told_with else []
    return next((other for other in others if other.settles_weights), None)


def give(model: Any, weights: Weights) -> None:
    """Put values into parameters of these names."""
    with no_grad():
        for name, parameter in model.named_parameters():
            if name in weights:
                parameter.data = weights[name].to(parameter.dtype)
