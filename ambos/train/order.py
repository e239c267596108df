"""Functions of Keras's and scikit-learn's order, (y_true, y_pred), as losses and metrics here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

# Names of parameters, in small letters and without underscores.
TRUTHS = {
    "ytrue", "true", "truth", "groundtruth", "gt", "actual", "target", "targets", "label", "labels",
}  # fmt: skip
PREDICTIONS = {
    "ypred", "yhat", "yscore", "pred", "preds", "prediction", "predictions", "predicted", "output",
    "outputs", "logit", "logits", "score", "scores",
}  # fmt: skip


class TruthFirst:
    """A function, or a loss, of (target, output), called as f(output, target)."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, output: Any, target: Any, **settings: Any) -> Any:
        return self.function(target, output, **settings)


def output_first(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, or the same in PyTorch's order where the name of its first or second parameter
    says that the targets come first: nothing else tells the two orders apart, and the wrong one
    would be wrong in silence.

    Example:
        >>> def over(y_true, y_pred):
        ...     return y_pred - y_true
        >>> output_first(over)(5, 3)
        2
    """
    try:
        parameters = inspect.signature(getattr(function, "forward", function)).parameters
    except (TypeError, ValueError):  # of a builtin, which has none
        return function
    first, second = ([name.replace("_", "").lower() for name in parameters] + ["", ""])[:2]
    return TruthFirst(function) if first in TRUTHS or second in PREDICTIONS else function
