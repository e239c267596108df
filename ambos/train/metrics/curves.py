"""Metrics over all thresholds: exact, from every score, with ties in one step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.dtype import float32
from ambos.core.errors import ArgumentError
from ambos.train.metrics.base import Numbers, Statistics
from ambos.train.metrics.counts import average
from ambos.train.metrics.reading import SoftClassification, one_of

Column = NDArray[Any]


class Ranking(SoftClassification):
    """Base: collects scores, targets and weights, and ranks them when somebody looks. Of several
    classes each is compared with the rest, by its probability. Scores for yes or no are ranked as
    they are, so logits and probabilities do as well, and thresholds are in the unit of the scores.
    """

    kept = ("scores", "targets", "weights")

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        read = self.read(output, target, weight)
        if read.scores is None:
            raise ArgumentError(f"{self.name}: got labels; need scores: logits or probabilities")
        scores, faults = read.scores, read.faults
        if self.task == "multiclass" and self.from_logits is not False:
            wide = scores if scores.dtype.itemsize >= 4 else scores.to(float32)
            scores = wide.softmax(1)
        elif self.task != "multiclass":
            faults |= {"inside": faults["inside"] * 0, "outside": faults["outside"] * 0}
        return {"scores": scores, "targets": read.target, "weights": read.weight, **faults}

    def columns_of(self, sums: Numbers) -> list[tuple[Column, Column, Column]]:
        """Scores, yes or no, and weights, of each class."""
        scores, targets, weights = (sums[name] for name in self.kept)
        if self.task == "multiclass":
            return [(scores[:, k], targets == k, weights) for k in range(self.columns)]
        return [(scores[:, k], targets[:, k], weights[:, k]) for k in range(scores.shape[1])]

    def curve(self, scores: Column, yes: Column, weights: Column) -> Any:
        """What is said of one class."""
        raise NotImplementedError

    def value(self, sums: Numbers) -> Any:
        curves = [self.curve(*column) for column in self.columns_of(sums)]
        return curves[0] if self.task == "binary" else curves


def steps(scores: Column, yes: Column, weights: Column) -> tuple[Column, Column, Column]:
    """For each different score, from the highest: weights of wrong and right with at least it."""
    counted = weights > 0
    scores, yes, weights = scores[counted], yes[counted], weights[counted]
    order = np.argsort(scores, kind="stable")[::-1]
    scores, yes, weights = scores[order], yes[order], weights[order]
    ends = np.r_[np.flatnonzero(np.diff(scores)), len(scores) - 1] if len(scores) else []
    ends = np.asarray(ends, np.int64)
    right, wrong = np.cumsum(weights * yes), np.cumsum(weights * ~yes)
    return wrong[ends], right[ends], scores[ends]


class ROC(Ranking):
    """The receiver operating characteristic: false positive rates, true positive rates and the
    thresholds, from (0, 0) at infinity on; a list of them for several classes.

    Errors: see `Metric`; rates of a class that never, or always, occurs are NaN.

    Example:
        >>> roc = ROC()
        >>> roc.update([0.8, 0.4, 0.6], [1, 0, 1])
        >>> roc.compute()[1]
        array([0. , 0.5, 1. , 1. ])
    """

    def curve(self, scores: Column, yes: Column, weights: Column) -> Any:
        wrong, right, thresholds = steps(scores, yes, weights)
        wrong, right = np.r_[0.0, wrong], np.r_[0.0, right]
        return wrong / wrong[-1], right / right[-1], np.r_[np.inf, thresholds]


class PrecisionRecallCurve(Ranking):
    """Precision and recall at every threshold, from the lowest threshold on, ended by (1, 0); a
    list of them for several classes.

    Errors: see `Metric`; recall of a class that never occurs is NaN.

    Example:
        >>> curve = PrecisionRecallCurve()
        >>> curve.update([0.8, 0.4, 0.6], [1, 0, 1])
        >>> curve.compute()[2]
        array([0.4, 0.6, 0.8])
    """

    def curve(self, scores: Column, yes: Column, weights: Column) -> Any:
        wrong, right, thresholds = steps(scores, yes, weights)
        precision, recall = right / (right + wrong), right / right[-1:]
        ends = np.r_[precision[::-1], 1.0], np.r_[recall[::-1], 0.0]
        return *ends, thresholds[::-1]


class Area(Ranking):
    """Base of areas below curves, and of their averages over classes: "macro", "weighted" (by the
    targets of each class), "micro" (several labels only), "none". A class without both kinds of
    targets has no area; averages leave it out, and alone it is NaN."""

    better = "max"

    def __init__(
        self,
        task: str | None = None,
        num_classes: int | None = None,
        average: str | None = "macro",
        from_logits: bool | None = None,
        ignore_index: int | None = None,
        class_axis: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(task, num_classes, from_logits, ignore_index, class_axis, name)
        known = ("macro", "weighted", "micro", "none", None)
        one_of(f"{type(self).__name__}: average", average, known)
        self.average = average or "none"

    def value(self, sums: Numbers) -> Any:
        if self.average == "micro":
            if self.task == "multiclass":
                raise ArgumentError(
                    f"{self.name}: average='micro' is for several labels; need 'macro', "
                    "'weighted' or 'none'"
                )
            return self.curve(*(sums[name].reshape(-1) for name in self.kept))
        columns = self.columns_of(sums)
        areas = np.array([self.curve(*column) for column in columns])
        if self.task == "binary" or self.average == "none":
            return areas[0] if self.task == "binary" else areas
        asked = [(yes * weights).sum() for _, yes, weights in columns]
        same = self.average == "macro"
        return average(areas, np.ones(len(areas)) if same else np.array(asked))


class AUROC(Area):
    """The area under the ROC curve: the chance that a yes is ranked above a no.

    Exact over all scores, unlike approximations by thresholds. Settings: see `Area`.

    Example:
        >>> auroc = AUROC()
        >>> auroc.update([0.8, 0.4, 0.6, 0.6], [1, 0, 1, 0])
        >>> auroc.compute()
        0.875
    """

    def curve(self, scores: Column, yes: Column, weights: Column) -> Any:
        wrong, right, _ = steps(scores, yes, weights)
        wrong, right = np.r_[0.0, wrong], np.r_[0.0, right]
        area = (np.diff(wrong) * (right[1:] + right[:-1]) / 2).sum()
        return area / (wrong[-1] * right[-1])


class AveragePrecision(Area):
    """Precision at each threshold, weighted by the recall it adds. Settings: see `Area`.

    Example:
        >>> precision = AveragePrecision()
        >>> precision.update([0.8, 0.4, 0.6, 0.7], [1, 0, 1, 0])
        >>> round(precision.compute(), 4)
        0.8333
    """

    def curve(self, scores: Column, yes: Column, weights: Column) -> Any:
        wrong, right, _ = steps(scores, yes, weights)
        gained = np.diff(np.r_[0.0, right])
        return (gained * right / (right + wrong)).sum() / (right[-1] if len(right) else 0.0)
