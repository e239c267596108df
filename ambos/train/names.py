"""Losses by name, and functions as losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ambos.core.errors import ArgumentError, suggest
from ambos.nn import functional as F
from ambos.tensor.handle import Tensor
from ambos.train.order import output_first

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
    "mape": F.absolute_percentage_loss,
    "mean_absolute_percentage_error": F.absolute_percentage_loss,
    "msle": F.squared_logarithmic_loss,
    "mean_squared_logarithmic_error": F.squared_logarithmic_loss,
    "log_cosh": F.log_cosh_loss,
    "hinge": F.hinge_loss,
    "squared_hinge": F.squared_hinge_loss,
}
# Names whose usual meaning is on probabilities: taking them for ours would be wrong in silence.
ON_PROBABILITIES = {
    "sparse_categorical_crossentropy": "cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "binary_crossentropy": "bce_with_logits",
    "binary_cross_entropy": "bce_with_logits",
    "bce": "bce_with_logits",
}


def find_loss(loss: Any) -> Score:
    """The loss itself, f(output, target), or the one of that name; a function whose first parameter
    is called y_true, as Keras's are, gets the targets first.

    Errors: ArgumentError for an unknown name.
    """
    if callable(loss):
        return output_first(loss() if isinstance(loss, type) else loss)
    if loss in ON_PROBABILITIES:
        name = ON_PROBABILITIES[loss]
        theirs = (
            "nn.NLLLoss() takes their log" if name == "cross_entropy" else "nn.BCELoss() takes them"
        )
        raise ArgumentError(
            f"compile: loss {loss!r} takes probabilities; ambos's take logits: leave the softmax "
            f"or sigmoid out of the model and use loss={name!r} ({theirs})"
        )
    return _find("loss", loss, LOSSES)


def _find(role: str, name: Any, known: dict[str, Score]) -> Score:
    if not isinstance(name, str) or name not in known:
        raise ArgumentError(f"compile: unknown {role} {name!r}; known: {', '.join(known)}"
                            f"{suggest(str(name), known)}")  # fmt: skip
    return known[name]
