"""Outputs and targets of classification in one form, whatever shapes they came in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ambos.core.arguments import positive, share
from ambos.core.dtype import bool_, float64, int64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError, suggest
from ambos.tensor.creation import ones
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where
from ambos.train.alignment import aligned
from ambos.train.metrics.base import Metric, doubled, tensor_of
from ambos.train.metrics.faults import FAULTS, counted, nans, none, ranges

TASKS = ("binary", "multiclass", "multilabel")


@dataclass
class Read:
    """M answers. Of several classes: `predicted`, `target` and `weight` (M,), `scores` (M, C). Of
    yes or no, K at once: all (M, K). Where labels were given, there are no scores."""

    predicted: Tensor
    target: Tensor
    weight: Tensor
    scores: Tensor | None
    faults: dict[str, Tensor]


class Classification(Metric):
    """What metrics of classification are told: the kind of task, classes, and how to read scores.

    `task` is "binary" (a score for yes), "multiclass" (scores (N, C, ...) against classes (N, ...)
    or one-hot (N, C, ...); also (N, ..., C) where only that fits) or "multilabel" (scores and
    yes or no (N, K, ...)); not said, shapes tell: alike with one score is binary, else multiclass.
    Outputs of integers or booleans are labels already.
    """

    faults = FAULTS
    settled = ("task", "num_classes")
    softly = False  # do scores of several classes matter, rather than the largest alone?

    def __init__(
        self,
        task: str | None = None,
        num_classes: int | None = None,
        threshold: float = 0.5,
        from_logits: bool | None = None,
        ignore_index: int | None = None,
        class_axis: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        what = type(self).__name__
        one_of(f"{what}: task", task, (None, *TASKS))
        if from_logits not in (None, True, False):
            raise ArgumentError(f"{what}: from_logits is {from_logits!r}; need True or False")
        if class_axis not in (None, 1, -1):
            raise ArgumentError(f"{what}: class_axis is {class_axis!r}; need 1 or -1")
        self.task = task
        self.num_classes = num_classes and positive(f"{what}: num_classes", num_classes)
        self.threshold = share(f"{what}: threshold", threshold)
        self.from_logits, self.ignore_index = from_logits, ignore_index
        self.class_axis = class_axis

    @property
    def takes_classes(self) -> bool:
        """Are targets one class of several, as far as is known?"""
        return self.task in (None, "multiclass")

    @property
    def columns(self) -> int:
        """How many classes are counted: one for yes or no."""
        if self.task == "binary":
            return 1
        if self.num_classes is None:
            raise ArgumentError(
                f"{self.name}: the number of classes is not known before a first batch; need "
                "num_classes=..., or task='binary'"
            )
        return self.num_classes

    @property
    def cut(self) -> float:
        """The threshold in the unit of the scores."""
        if self.from_logits is False:
            return self.threshold
        if self.threshold in (0.0, 1.0):
            return math.copysign(math.inf, self.threshold - 0.5)
        return math.log(self.threshold) - math.log1p(-self.threshold)

    def settle(self, output: Any, target: Any = None) -> None:
        output, target = tensor_of(output), tensor_of(target)
        if self.task is None:
            self.task = self._task_of(output, target)
        if self.task == "binary":
            self._alike(output, target)
            return
        labels = self.task == "multiclass" and not output.dtype.is_floating
        if labels and output.shape == target.shape:
            return
        if self.task == "multilabel":
            self._alike(output, target)
            if output.ndim < 2:
                raise ShapeError(f"{self.name}: got {tuple(output.shape)}; need (N, labels, ...)")
            found = output.shape[1]
        else:
            found = output.shape[self._axis(output, target)]
        if self.num_classes not in (None, found):
            raise ShapeError(
                f"{self.name}: the output has {found} classes {tuple(output.shape)}; need "
                f"num_classes={self.num_classes}"
            )
        self.num_classes = int(found)

    def read(self, output: Any, target: Any, weight: Any) -> Read:
        """A batch in one form.

        Errors: ShapeError where output, target and weight do not fit together; DTypeError for
            classes that are no integers.
        """
        if target is None:
            raise ArgumentError(f"{self.name}: no target; need update(output, target)")
        output, target = tensor_of(output), tensor_of(target)
        if self.takes_classes and output.ndim > 1 and output.shape[1] > 1:
            target = aligned(output, target, are_classes=True)
        self.settle(output, target)
        if self.task == "multiclass":
            return self._classes(output, target, weight)
        return self._yes_or_no(output, target, weight)

    def _task_of(self, output: Tensor, target: Tensor) -> str:
        if output.shape != target.shape:
            return "multiclass"
        if not output.dtype.is_floating:
            return "binary" if output.dtype is bool_ else "multiclass"
        one = output.ndim <= 1 or output.shape[1] == 1
        return "binary" if one else "multiclass"

    def _alike(self, output: Tensor, target: Tensor) -> None:
        if output.shape != target.shape:
            raise ShapeError(
                f"{self.name}: the output is {tuple(output.shape)} and the target "
                f"{tuple(target.shape)}; need the same shape (squeeze or unsqueeze one of them)"
            )

    def _axis(self, output: Tensor, target: Tensor) -> int:
        """Where the classes lie."""
        return class_axis(self.name, tuple(output.shape), tuple(target.shape), self.class_axis)

    def _classes(self, output: Tensor, target: Tensor, weight: Any) -> Read:
        faults = {"nan": nans(output), "inside": none(), "outside": none()}
        scores = None
        if output.shape == target.shape and not output.dtype.is_floating:
            place = target.shape
            predicted = output.to(int64).reshape(-1)
        else:
            axis = self._axis(output, target)
            if output.shape == target.shape:  # one-hot, or a probability for each class
                unlike = counted((doubled(target).sum(axis) - 1).abs() > 1e-3)
                target = target.argmax(axis)
            else:
                unlike = none()
            place = target.shape
            scores = flat_classes(output, axis)
            if self.softly:
                faults |= ranges(scores, self.from_logits)
            predicted = scores.argmax(1)
            faults["labels"] = unlike
        if target.dtype.is_floating:
            raise DTypeError(
                f"{self.name}: the target is {target.dtype.name}; need classes as integers: "
                "target.astype('int64')"
            )
        labels, (weights, wrong) = target.to(int64).reshape(-1), spread(self, weight, place)
        weights = ignoring(weights.reshape(-1), labels, self.ignore_index)
        valid, stray = in_range(labels, weights, self.num_classes)
        if scores is None:
            fine, odd = in_range(predicted, weights, self.num_classes)
            valid, stray = valid & fine, stray + odd
            predicted = self._clamped(predicted)
        faults |= {"labels": faults.get("labels", 0) + stray, "negative": wrong}
        weights = where(valid, weights, 0.0)
        return Read(predicted, self._clamped(labels), weights, scores, faults)

    def _clamped(self, labels: Tensor) -> Tensor:
        """Classes for sure, which a step need not check before it overwrites anything."""
        return labels.clamp(0, None if self.num_classes is None else self.num_classes - 1)

    def _yes_or_no(self, output: Tensor, target: Tensor, weight: Any) -> Read:
        weights, wrong = spread(self, weight, target.shape)
        arrange: Callable[[Tensor], Tensor] = (
            (lambda v: v.reshape(-1, 1))
            if self.task == "binary"
            else (lambda v: flat_classes(v, 1))
        )
        output, target, weights = arrange(output), arrange(target), arrange(weights)
        weights = ignoring(weights, target, self.ignore_index)
        stray = counted(((target < 0) | (target > 1)) & (weights > 0))
        faults = {"nan": nans(output, target), "labels": stray, "negative": wrong}
        yes = target > 0.5 if target.dtype.is_floating else target == 1
        if not output.dtype.is_floating:
            faults["labels"] = stray + counted((output < 0) | (output > 1))
            faults |= {"inside": none(), "outside": none()}
            return Read(output == 1, yes, weights, None, faults)
        faults |= ranges(output, self.from_logits)
        return Read(output > self.cut, yes, weights, output, faults)


class SoftClassification(Classification):
    """Base of metrics of the scores themselves, which no threshold cuts."""

    softly = True

    def __init__(
        self,
        task: str | None = None,
        num_classes: int | None = None,
        from_logits: bool | None = None,
        ignore_index: int | None = None,
        class_axis: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            task,
            num_classes,
            from_logits=from_logits,
            ignore_index=ignore_index,
            class_axis=class_axis,
            name=name,
        )


def class_axis(op: str, output: tuple[int, ...], target: tuple[int, ...], said: int | None) -> int:
    """The axis of the classes: 1, or the last where only that fits.

    Errors: ShapeError where neither fits, or both do.
    """
    last, axes = len(output) - 1, []
    if last >= 1:
        places = {1: 1, -1: last}
        tried = {places[said]} if said else {1} if target == output else {1, last}
        axes = [a for a in sorted(tried) if target in (output, output[:a] + output[a + 1 :])]
    if len(axes) == 2:
        raise ShapeError(
            f"{op}: in {output} against {target} the classes may lie on axis 1 or on the last; "
            "need class_axis=1 or class_axis=-1"
        )
    if axes and output[axes[0]] > 1:
        return axes[0]
    raise ShapeError(
        f"{op}: the output is {output} and the target {target}; need class indices of shape "
        "(N, ...) for scores of shape (N, C, ...), or the same shape for one score each"
    )


def flat_classes(value: Tensor, axis: int) -> Tensor:
    """(N, C, ...) as (M, C)."""
    last = value.ndim - 1
    moved = value if axis == last else value.movedim(axis, last)
    return moved.reshape(-1, value.shape[axis])


def spread(metric: Metric, weight: Any, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """A float64 weight for each element of `shape`, and how many are no weights."""
    if weight is None:
        return ones(shape, dtype=float64), none()
    given = doubled(tensor_of(weight))
    if given.shape == tuple(shape):
        whole = given
    elif given.ndim <= len(shape) and given.shape == tuple(shape)[: given.ndim]:
        rest = (1,) * (len(shape) - given.ndim)
        whole = given.reshape(*given.shape, *rest).expand(*shape)
    else:
        raise ShapeError(
            f"{metric.name}: the weight is {tuple(given.shape)}; need one a row, "
            f"{tuple(shape)[:1]}, or one a target, {tuple(shape)}"
        )
    return whole, counted(~(given >= 0))


def ignoring(weights: Tensor, labels: Tensor, index: int | None) -> Tensor:
    """No weight where the label says so."""
    return weights if index is None else where(labels == index, 0.0, weights)


def in_range(labels: Tensor, weights: Tensor, classes: int | None) -> tuple[Tensor, Tensor]:
    """Which labels are classes, and how many that count are none."""
    valid = labels >= 0 if classes is None else (labels >= 0) & (labels < classes)
    return valid, counted(~valid & (weights > 0))


def one_of(what: str, value: Any, known: tuple[Any, ...]) -> None:
    """Complain about a setting that is none of the known."""
    if value not in known:
        names = [k for k in known if k is not None]
        raise ArgumentError(
            f"{what} is {value!r}; need {', '.join(map(repr, names))}{suggest(str(value), names)}"
        )
