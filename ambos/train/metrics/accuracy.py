"""Shares of right answers."""

from __future__ import annotations

from typing import Any

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError
from ambos.tensor.creation import arange
from ambos.tensor.pointwise import where
from ambos.train.metrics.base import Numbers, Statistics, ratio
from ambos.train.metrics.reading import Classification, Read


class Accuracy(Classification):
    """The share of right answers. The shapes of output and target tell the kind of task, or `task`
    does: "binary" (a score for yes, against `threshold`), "multiclass", "multilabel" (yes or no
    for each label).

    Shapes: output (N, C, ...) of scores against target (N, ...) of classes or (N, C, ...) one-hot;
        or alike, with one score for yes or no.
    Errors: ShapeError for other shapes, DTypeError for classes that are no integers.

    Example:
        >>> accuracy = Accuracy()
        >>> accuracy.update([[2.0, 1.0], [0.0, 3.0]], [0, 0])
        >>> accuracy.compute()
        0.5
    """

    added = ("right", "total")
    better = "max"

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        read = self.read(output, target, weight)
        right = where(self.right(read), read.weight, 0.0).sum()
        return {"right": right, "total": read.weight.sum(), **read.faults}

    def right(self, read: Read) -> Any:
        """Which answers are right."""
        return read.predicted == read.target

    def value(self, sums: Numbers) -> Any:
        return ratio(sums["right"], sums["total"])


class BinaryAccuracy(Accuracy):
    """`Accuracy` of yes or no, under Keras's name.

    Errors: ShapeError where output and target differ in shape.

    Example:
        >>> accuracy = BinaryAccuracy(threshold=0.7, from_logits=False)
        >>> accuracy.update([0.6, 0.8], [0, 1])
        >>> accuracy.compute()
        1.0
    """

    def __init__(self, threshold: float = 0.5, **settings: Any) -> None:
        super().__init__("binary", threshold=threshold, **settings)


class CategoricalAccuracy(Accuracy):
    """`Accuracy` of one class of several, as indices or one-hot, under Keras's name.

    Errors: ShapeError where output and target do not fit together.

    Example:
        >>> accuracy = CategoricalAccuracy()
        >>> accuracy.update([[2.0, 1.0], [0.0, 3.0]], [[1, 0], [1, 0]])
        >>> accuracy.compute()
        0.5
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__("multiclass", **settings)


class TopKAccuracy(Accuracy):
    """The share of targets among the `k` classes with the highest scores. Of equal scores the lower
    class comes first, as in `argmax`, so that a constant output earns nothing.

    Errors: ArgumentError where scores are missing or `k` is not positive.

    Example:
        >>> accuracy = TopKAccuracy(k=2)
        >>> accuracy.update([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]], [1, 2])
        >>> accuracy.compute()
        0.5
    """

    def __init__(
        self,
        k: int = 5,
        num_classes: int | None = None,
        ignore_index: int | None = None,
        class_axis: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            "multiclass", num_classes, ignore_index=ignore_index, class_axis=class_axis, name=name
        )
        self.k = positive(f"{type(self).__name__}: k", k)

    def right(self, read: Read) -> Any:
        if read.scores is None:
            raise ArgumentError(f"{self.name}: got labels; need a score for each class")
        own = read.scores.gather(1, read.target.unsqueeze(1))
        earlier = arange(self.columns).unsqueeze(0) < read.target.unsqueeze(1)
        before = (read.scores > own) | ((read.scores == own) & earlier)
        return before.sum(1) < self.k
