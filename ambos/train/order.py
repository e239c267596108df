"""Functions of Keras's and scikit-learn's order, (y_true, y_pred), as losses and metrics here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

TRUTHS = frozenset({"y_true", "true", "target", "targets", "label", "labels"})


class TruthFirst:
    """A function of (target, output), called as f(output, target)."""

    def __init__(self, function: Callable[..., Any]) -> None:
        update_wrapper(self, function)
        self.function = function

    def __call__(self, output: Any, target: Any, **settings: Any) -> Any:
        return self.function(target, output, **settings)


def output_first(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, or the same in PyTorch's order where the name of its first parameter says that
    the targets come first: two orders that nothing else tells apart would be wrong in silence.

    Example:
        >>> def over(y_true, y_pred):
        ...     return y_pred - y_true
        >>> output_first(over)(5, 3)
        2
    """
    try:
        names = [*inspect.signature(function).parameters]
    except (TypeError, ValueError):  # of a builtin, which has none
        return function
    return TruthFirst(function) if names and names[0] in TRUTHS else function
