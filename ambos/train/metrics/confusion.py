"""Which class is taken for which: the confusion matrix, and Cohen's kappa of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ambos.core.dtype import float64, int64
from ambos.tensor.creation import arange, zeros
from ambos.train.metrics.base import Numbers, Statistics
from ambos.train.metrics.reading import Classification, one_of


class ConfusionMatrix(Classification):
    """How often each class (row) was taken for each (column): (C, C), for yes or no (2, 2), for
    several labels (labels, 2, 2). `normalize` divides by the "true" rows, the "pred" columns or by
    "all".

    Errors: ArgumentError for another `normalize`.

    Example:
        >>> matrix = ConfusionMatrix(num_classes=2)
        >>> matrix.update([0, 1, 1], [0, 0, 1])
        >>> matrix.compute()
        array([[1., 1.],
               [0., 1.]])
    """

    added = ("matrix",)

    def __init__(
        self,
        task: str | None = None,
        num_classes: int | None = None,
        normalize: str | None = None,
        threshold: float = 0.5,
        from_logits: bool | None = None,
        ignore_index: int | None = None,
        class_axis: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(task, num_classes, threshold, from_logits, ignore_index, class_axis, name)
        one_of(f"{type(self).__name__}: normalize", normalize, (None, "true", "pred", "all"))
        self.normalize = normalize

    def shape(self, name: str) -> tuple[int, ...]:
        if name in self.faults:
            return ()
        classes = self.columns
        return (classes, classes) if self.task == "multiclass" else (classes, 2, 2)

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        read = self.read(output, target, weight)
        shape = self.shape("matrix")
        cell = read.target.to(int64) * shape[-1] + read.predicted.to(int64)
        if self.task != "multiclass":
            cell = cell + 4 * arange(self.columns)  # of each label's own matrix
        cells = zeros(int(np.prod(shape)), dtype=float64)
        counted = cells.index_add(0, cell.reshape(-1), read.weight.reshape(-1))
        return {"matrix": counted.reshape(*shape), **read.faults}

    def matrix(self, sums: Numbers) -> Any:
        """The counts."""
        return sums["matrix"][0] if self.task == "binary" else sums["matrix"]

    def value(self, sums: Numbers) -> Any:
        matrix = self.matrix(sums)
        if self.normalize is None:
            return matrix
        axis = {"true": -1, "pred": -2, "all": (-2, -1)}[self.normalize]
        return np.nan_to_num(matrix / matrix.sum(axis, keepdims=True))


class CohenKappa(ConfusionMatrix):
    """Cohen's kappa: agreement of answers and targets beyond chance. `weights` "linear" or
    "quadratic" counts a near miss as less than a far one.

    Errors: ArgumentError for other `weights`.
    Source: Cohen 1960, 1968.

    Example:
        >>> kappa = CohenKappa(num_classes=2)
        >>> kappa.update([0, 1, 1, 1], [0, 0, 1, 1])
        >>> kappa.compute()
        0.5
    """

    better = "max"

    def __init__(self, *args: Any, weights: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        one_of(f"{type(self).__name__}: weights", weights, (None, "linear", "quadratic"))
        self.weights = weights

    def value(self, sums: Numbers) -> Any:
        matrix = self.matrix(sums)
        chance = matrix.sum(-1)[..., :, None] * matrix.sum(-2)[..., None, :]
        chance = chance / matrix.sum((-2, -1))[..., None, None]
        places = np.arange(matrix.shape[-1])
        apart = np.abs(places[:, None] - places)
        if self.weights is None:
            apart = apart > 0
        elif self.weights == "quadratic":
            apart = apart**2
        kappa = 1 - (apart * matrix).sum((-2, -1)) / (apart * chance).sum((-2, -1))
        return np.mean(kappa)  # of several labels
