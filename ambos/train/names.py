"""Losses and metrics by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ambos.core.dtype import float64
from ambos.core.errors import ArgumentError, ShapeError, suggest
from ambos.nn import functional as F
from ambos.tensor.creation import ones
from ambos.tensor.handle import Tensor

Score = Callable[[Any, Any], Tensor]


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """The share of right answers.

    Shapes: output (N, C, ...) of scores against target (N, ...) of class indices or (N, C, ...) of
        probabilities; or alike with one score (a logit) for yes or no.
    Errors: ShapeError for other shapes.

    Example:
        >>> import ambos as am
        >>> accuracy(am.tensor([[2.0, 1.0], [0.0, 3.0]]), am.tensor([0, 0])).item()
        0.5
    """
    if output.shape == target.shape:
        if output.ndim == 1 or output.shape[1] == 1:
            right = (output > 0) == (target > 0.5)
        else:
            right = output.argmax(1) == target.argmax(1)
    elif output.ndim >= 2 and target.shape == (output.shape[0], *output.shape[2:]):
        right = output.argmax(1) == target
    else:
        raise ShapeError(
            f"accuracy: the output is {tuple(output.shape)} and the target {tuple(target.shape)}; "
            "need class indices of shape (N, ...) for scores of shape (N, C, ...)"
        )
    return right.float().mean()


def mae(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error.

    Errors: ShapeError where the shapes differ.
    """
    return F.l1_loss(output, target)


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
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
}
METRICS: dict[str, Score] = {
    "accuracy": accuracy,
    "acc": accuracy,
    "mae": mae,
    "mean_absolute_error": mae,
    "mse": F.mse_loss,
    "mean_squared_error": F.mse_loss,
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


class MeanOf:
    """A function of output and target as a metric: its mean, weighted by rows."""

    kept: tuple[str, ...] = ()

    def __init__(self, name: str, function: Score) -> None:
        self.name, self.function = name, function

    def measure(self, output: Any, target: Any, weight: Any = None) -> dict[str, Tensor]:
        """Its sum over the rows of a batch."""
        value, rows = self.function(output, target), float(target.shape[0])
        return {"total": value.to(float64) * rows, "rows": ones((), dtype=float64) * rows}

    def result(self, statistics: Any) -> float:
        """The mean over all rows."""
        return float(statistics["total"] / max(1.0, statistics["rows"]))


def find_metric(metric: Any) -> Any:
    """The metric itself, or the one of that name.

    Errors: ArgumentError for an unknown name.
    """
    if hasattr(metric, "measure"):
        return metric
    if callable(metric):
        return MeanOf(getattr(metric, "__name__", type(metric).__name__), metric)
    return MeanOf(metric, _find("metric", metric, METRICS))


def _find(role: str, name: Any, known: dict[str, Score]) -> Score:
    if not isinstance(name, str) or name not in known:
        raise ArgumentError(f"compile: unknown {role} {name!r}; known: {', '.join(known)}"
                            f"{suggest(str(name), known)}")  # fmt: skip
    return known[name]
