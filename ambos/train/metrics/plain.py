"""Means and sums of anything, and functions as metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ambos.core.dtype import float64
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.tree import leaves
from ambos.tensor.creation import full
from ambos.tensor.handle import Tensor
from ambos.train.metrics.base import Metric, Numbers, Statistics, doubled, ratio, tensor_of
from ambos.train.metrics.faults import nans, none
from ambos.train.metrics.reading import spread


class Sum(Metric):
    """The sum of all elements that it is given: `update(values, weight=None)`.

    Errors: ShapeError where the weight does not fit.

    Example:
        >>> total = Sum()
        >>> total.update([1.0, 2.0])
        >>> total.update(4.0)
        >>> total.compute()
        7.0
    """

    added = ("sum", "weight")
    faults = ("nan", "negative")

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        if target is not None:
            raise ArgumentError(
                f"{self.name}: got a target; need values, and weight=... for weights"
            )
        values = tensor_of(output)
        weights, wrong = spread(self, weight, values.shape)
        found = {"sum": (doubled(values) * weights).sum(), "weight": weights.sum()}
        return {**found, "nan": nans(values), "negative": wrong}

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """`update` as in Keras: values, and their weights."""
        self.update(values, weight=sample_weight)

    def value(self, sums: Numbers) -> Any:
        return sums["sum"]


class Mean(Sum):
    """The mean of all elements that it is given: `update(values, weight=None)`.

    Errors: ShapeError where the weight does not fit.

    Example:
        >>> mean = Mean()
        >>> mean.update([1.0, 2.0])
        >>> mean.update([6.0])
        >>> mean.compute()
        3.0
    """

    def value(self, sums: Numbers) -> Any:
        return ratio(sums["sum"], sums["weight"])


class Averaged(Metric):
    """A function `f(output, target)` as a metric: one number for a batch, which counts as often as
    the batch has rows, or one for each row, which can be weighted.

    Errors: ArgumentError where the function gives anything else.

    Example:
        >>> off = Averaged(lambda output, target: (output - target).abs().max())
        >>> off.update([1.0, 2.0], [1.0, 3.0])
        >>> off.update([1.0], [5.0])
        >>> off.compute()
        2.0
    """

    added = ("sum", "weight")
    faults = ("nan", "negative")
    jitted = False  # the function may look at values

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__(name or getattr(function, "__name__", type(function).__name__))
        self.function = function

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        found = self.function(output, target)
        values = found if isinstance(found, Tensor) else Tensor(np.asarray(found, np.float64))
        rows = leaves(output if target is None else target)[0].shape[:1]
        if values.shape == rows:
            weights, wrong = spread(self, weight, rows)
        elif values.shape == () and weight is None:
            weights, wrong = full((), float(rows[0]), dtype=float64), none()
        else:
            need = "one number, or one for each row" if weight is None else "one for each row"
            raise ShapeError(
                f"{self.name}: the function gave {tuple(values.shape)}; need {need}, {tuple(rows)}"
            )
        sums = {"sum": (doubled(values) * weights).sum(), "weight": weights.sum()}
        return {**sums, "nan": nans(values), "negative": wrong}

    def value(self, sums: Numbers) -> Any:
        return ratio(sums["sum"], sums["weight"])
