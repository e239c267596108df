"""Losses by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ambos.core.errors import ArgumentError, suggest
from ambos.nn import functional as F
from ambos.tensor.handle import Tensor

Score = Callable[[Any, Any], Tensor]


LOSSES: dict[str, Score] = {
    "cross_entropy": F.cross_entropy,
    "nll": F.nll_loss,
    "nll_loss": F.nll_loss,
    "mse": F.mse_loss,
    "mse_loss": F.mse_loss,
    "mean_squared_error": F.mse_loss,
    "l1": F.l1_loss,
    "l1_loss": F.l1_loss,
    "mae": F.l1_loss,
    "mean_absolute_error": F.l1_loss,
    "huber": F.huber_loss,
    "huber_loss": F.huber_loss,
    "smooth_l1": F.smooth_l1_loss,
    "smooth_l1_loss": F.smooth_l1_loss,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
}
# Names whose usual meaning is on probabilities: taking them for ours would be wrong in silence.
ON_PROBABILITIES = {
    "sparse_categorical_crossentropy": "cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "binary_crossentropy": "bce_with_logits",
}


def find_loss(loss: Any) -> Score:
    """The loss itself, or the one of that name.

    Errors: ArgumentError for an unknown name.
    """
    if callable(loss):
        return loss() if isinstance(loss, type) else loss
    if loss in ON_PROBABILITIES:
        raise ArgumentError(
            f"compile: loss {loss!r} takes probabilities; ambos's take logits: leave the softmax "
            f"or sigmoid out of the model and use loss={ON_PROBABILITIES[loss]!r}"
        )
    return _find("loss", loss, LOSSES)


def _find(role: str, name: Any, known: dict[str, Score]) -> Score:
    if not isinstance(name, str) or name not in known:
        raise ArgumentError(f"compile: unknown {role} {name!r}; known: {', '.join(known)}"
                            f"{suggest(str(name), known)}")  # fmt: skip
    return known[name]
