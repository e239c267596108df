"""Metrics of counts for each class: precision, recall, F, specificity, overlap, Matthews."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import number
from ambos.core.dtype import float64
from ambos.core.errors import ArgumentError
from ambos.tensor.creation import zeros
from ambos.tensor.pointwise import where
from ambos.train.metrics.base import Numbers, Statistics
from ambos.train.metrics.reading import Classification, one_of

AVERAGES = ("micro", "macro", "weighted", "none", None)
Column = NDArray[Any]


class Counts(Classification):
    """Base of what can be said from four counts for each class: answers that were right (`hits`),
    that were given (`predicted`), that were asked for (`actual`), and all (`total`)."""

    added = ("hits", "predicted", "actual", "total")

    def shape(self, name: str) -> tuple[int, ...]:
        return (self.columns,) if name in self.added else ()

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        read = self.read(output, target, weight)
        if self.task == "multiclass":
            blank = zeros(self.columns, dtype=float64)
            right = where(read.predicted == read.target, read.weight, 0.0)
            found = {
                "hits": blank.index_add(0, read.target, right),
                "predicted": blank.index_add(0, read.predicted, read.weight),
                "actual": blank.index_add(0, read.target, read.weight),
                "total": read.weight.sum().expand(self.columns),
            }
        else:
            yes, asked, weights = read.predicted, read.target, read.weight
            found = {
                "hits": where(yes & asked, weights, 0.0).sum(0),
                "predicted": where(yes, weights, 0.0).sum(0),
                "actual": where(asked, weights, 0.0).sum(0),
                "total": weights.sum(0),
            }
        return found | read.faults


class Rate(Counts):
    """Base of shares for each class, and of their averages: "micro" (of all counts together),
    "macro" (the mean of the classes), "weighted" (by the targets of each class), "none" (one for
    each class). Classes of a multiclass task that are neither asked for nor answered do not count
    in averages. A share of nothing is `zero_division`: 0, 1, or NaN, which averages leave out."""

    better = "max"

    def __init__(
        self,
        task: str | None = None,
        num_classes: int | None = None,
        average: str | None = "macro",
        zero_division: float = 0.0,
        threshold: float = 0.5,
        from_logits: bool | None = None,
        ignore_index: int | None = None,
        class_axis: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(task, num_classes, threshold, from_logits, ignore_index, class_axis, name)
        one_of(f"{type(self).__name__}: average", average, AVERAGES)
        if zero_division not in (0, 1) and not np.isnan(zero_division):
            raise ArgumentError(
                f"{type(self).__name__}: zero_division is {zero_division!r}; need 0, 1 or NaN"
            )
        self.average, self.zero_division = average or "none", float(zero_division)

    def parts(self, sums: Numbers) -> tuple[Column, Column]:
        """Numerator and denominator for each class."""
        raise NotImplementedError

    def value(self, sums: Numbers) -> Any:
        over, under = self.parts(sums)
        if self.task == "binary" or self.average == "micro":
            return self._share(over.sum(keepdims=True), under.sum(keepdims=True))[0]
        shares = self._share(over, under)
        if self.average == "none":
            return shares
        weights = np.ones_like(shares) if self.average == "macro" else sums["actual"]
        if self.task == "multiclass":
            weights = weights * (sums["predicted"] + sums["actual"] > 0)
        return average(shares, weights, self.zero_division)

    def _share(self, over: Column, under: Column) -> Column:
        return np.where(under > 0, over / np.where(under > 0, under, 1.0), self.zero_division)


def average(values: Column, weights: Column, otherwise: float = np.nan) -> float:
    """The weighted mean of the values that are numbers."""
    weights = np.where(np.isnan(values), 0.0, weights)
    total = weights.sum()
    return float((np.nan_to_num(values) * weights).sum() / total) if total else otherwise


class Number(Counts):
    """Base of plain counts, of all classes together: one of yes or no, with `threshold`."""

    def value(self, sums: Numbers) -> Any:
        return float(self.count(sums).sum())

    def count(self, sums: Numbers) -> Column:
        """For each class."""
        raise NotImplementedError


class TruePositives(Number):
    """How many answers are yes, rightly.

    Example:
        >>> found = TruePositives(task="binary")
        >>> found.update([2.0, -1.0, 0.5], [1, 1, 0])  # logits
        >>> found.compute()
        1.0
    """

    better = "max"

    def count(self, sums: Numbers) -> Column:
        return sums["hits"]


class FalsePositives(Number):
    """How many answers are yes where no is right: false alarms.

    Example:
        >>> alarms = FalsePositives(task="binary")
        >>> alarms.update([2.0, -1.0, 0.5], [1, 1, 0])
        >>> alarms.compute()
        1.0
    """

    better = "min"

    def count(self, sums: Numbers) -> Column:
        return sums["predicted"] - sums["hits"]


class FalseNegatives(Number):
    """How many answers are no where yes is right: what is missed.

    Example:
        >>> missed = FalseNegatives(task="binary", from_logits=False)
        >>> missed.update([0.9, 0.2, 0.6], [1, 1, 0])
        >>> missed.compute()
        1.0
    """

    better = "min"

    def count(self, sums: Numbers) -> Column:
        return sums["actual"] - sums["hits"]


class TrueNegatives(Number):
    """How many answers are no, rightly.

    Example:
        >>> right = TrueNegatives(task="binary")
        >>> right.update([2.0, -1.0, -0.5], [1, 1, 0])
        >>> right.compute()
        1.0
    """

    better = "max"

    def count(self, sums: Numbers) -> Column:
        return sums["total"] - sums["predicted"] - sums["actual"] + sums["hits"]


class Precision(Rate):
    """Of the answers that were given, the share that is right. Settings: see `Rate`.

    Example:
        >>> precision = Precision(task="binary")
        >>> precision.update([2.0, -1.0, 0.5], [1, 1, 0])  # logits
        >>> precision.compute()
        0.5
    """

    def parts(self, sums: Numbers) -> tuple[Column, Column]:
        return sums["hits"], sums["predicted"]


class Recall(Rate):
    """Of the answers that were asked for, the share that was found; its macro average is balanced
    accuracy. Settings: see `Rate`.

    Example:
        >>> recall = Recall(task="binary", from_logits=False)
        >>> recall.update([0.9, 0.2, 0.6], [1, 1, 0])
        >>> recall.compute()
        0.5
    """

    def parts(self, sums: Numbers) -> tuple[Column, Column]:
        return sums["hits"], sums["actual"]


class Specificity(Rate):
    """Of what is not of a class, the share that was not taken for it. Settings: see `Rate`.

    Example:
        >>> specificity = Specificity(task="binary")
        >>> specificity.update([2.0, -1.0, 0.5], [1, 0, 0])
        >>> specificity.compute()
        0.5
    """

    def parts(self, sums: Numbers) -> tuple[Column, Column]:
        others = sums["total"] - sums["actual"]
        return others - (sums["predicted"] - sums["hits"]), others


class FMeasure(Rate):
    """A harmonic mean of precision and recall, recall counting `beta` times."""

    beta = 1.0

    def parts(self, sums: Numbers) -> tuple[Column, Column]:
        square = self.beta**2
        return (1 + square) * sums["hits"], square * sums["actual"] + sums["predicted"]


class FBetaScore(FMeasure):
    """The harmonic mean of precision and recall, recall counting `beta` times. For the other
    settings see `Rate`.

    Errors: ArgumentError where `beta` is not positive.

    Example:
        >>> score = FBetaScore(beta=2.0, task="binary")
        >>> score.update([2.0, -1.0, 0.5, 1.0], [1, 1, 0, 0])
        >>> round(score.compute(), 4)
        0.4545
    """

    def __init__(self, beta: float = 1.0, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.beta = number(f"{type(self).__name__}: beta", beta)
        if not self.beta > 0:
            raise ArgumentError(f"{type(self).__name__}: beta is {beta!r}; need a positive number")


class F1Score(FMeasure):
    """The harmonic mean of precision and recall. Settings: see `Rate`.

    Example:
        >>> score = F1Score()
        >>> score.update([[2.0, 1.0], [0.0, 3.0], [4.0, 0.0]], [0, 1, 1])
        >>> round(score.compute(), 4)
        0.6667
    """


class Dice(F1Score):
    """Dice's coefficient of overlap, which is F1 under the name it has in segmentation.

    Example:
        >>> dice = Dice(task="binary")
        >>> dice.update([[[2.0, -1.0]]], [[[1, 1]]])
        >>> round(dice.compute(), 4)
        0.6667
    """


class IoU(Rate):
    """Intersection over union (Jaccard's index) of what is found and what is asked for; the macro
    average, which is the default, is the mean IoU. Settings: see `Rate`.

    Example:
        >>> iou = IoU(task="binary")
        >>> iou.update([[[2.0, -1.0, 1.0]]], [[[1, 1, 1]]])
        >>> round(iou.compute(), 4)
        0.6667
    """

    def parts(self, sums: Numbers) -> tuple[Column, Column]:
        return sums["hits"], sums["actual"] + sums["predicted"] - sums["hits"]


class MeanIoU(IoU):
    """`IoU` with the macro average, under the name it has in segmentation.

    Example:
        >>> iou = MeanIoU(num_classes=2)
        >>> iou.update([0, 1, 1, 1], [0, 0, 1, 1])
        >>> round(iou.compute(), 4)
        0.5833
    """


class MatthewsCorrCoef(Counts):
    """Matthews' correlation of answers and targets: 1 all right, 0 no better than chance.

    Source: Matthews 1975; for several classes Gorodkin 2004.

    Example:
        >>> matthews = MatthewsCorrCoef(task="binary")
        >>> matthews.update([2.0, -1.0, 1.0, -3.0], [1, 0, 0, 0])
        >>> round(matthews.compute(), 4)
        0.5774
    """

    better = "max"

    def value(self, sums: Numbers) -> Any:
        if self.task == "multilabel":
            each = [_matthews(*_both(sums, k)) for k in range(self.columns)]
            return float(np.mean(each))
        if self.task == "binary":
            return _matthews(*_both(sums, 0))
        return _matthews(sums["hits"], sums["predicted"], sums["actual"])


def _both(sums: Numbers, column: int) -> tuple[Column, Column, Column]:
    """The counts of no and of yes."""
    hits, given, asked, total = (sums[name][column] for name in Counts.added)
    right = total - given - asked + hits
    pairs = ((right, hits), (total - given, given), (total - asked, asked))
    return tuple(np.array(pair) for pair in pairs)  # type: ignore[return-value]  # of three


def _matthews(hits: Column, predicted: Column, actual: Column) -> float:
    right, total = hits.sum(), actual.sum()
    cross = right * total - (predicted * actual).sum()
    spreads = (total**2 - (predicted**2).sum()) * (total**2 - (actual**2).sum())
    return float(cross / np.sqrt(spreads)) if spreads > 0 else 0.0
