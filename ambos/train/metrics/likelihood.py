"""How likely the targets were held to be."""

from __future__ import annotations

from typing import Any

import numpy as np

from ambos.core.dtype import float32
from ambos.core.errors import ArgumentError
from ambos.nn import functional as F
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where
from ambos.train.metrics.base import Numbers, Statistics, doubled, ratio
from ambos.train.metrics.reading import Read, SoftClassification

TINY = float(np.finfo(np.float64).eps)  # the least probability, as in scikit-learn


class LogLoss(SoftClassification):
    """The mean of minus the logarithm of the probability that was given to the target. A
    probability of 0 counts as 2^-52.

    Errors: see `Metric`; ArgumentError where scores are missing.

    Example:
        >>> loss = LogLoss(from_logits=False)
        >>> loss.update([[0.5, 0.5], [0.25, 0.75]], [0, 1])
        >>> round(loss.compute(), 4)
        0.4904
    """

    added = ("sum", "weight")
    better = "min"

    def measure(self, output: Any, target: Any = None, weight: Any = None) -> Statistics:
        read = self.read(output, target, weight)
        lost = where(read.weight > 0, doubled(self.lost(read)) * read.weight, 0.0)
        return {"sum": lost.sum(), "weight": read.weight.sum(), **read.faults}

    def lost(self, read: Read) -> Tensor:
        """Minus the logarithm for each answer."""
        scores = read.scores
        if scores is None:
            raise ArgumentError(f"{self.name}: got labels; need scores: logits or probabilities")
        scores = scores if scores.dtype.itemsize >= 4 else scores.to(float32)
        if self.task == "multiclass":
            if self.from_logits is False:
                scores = doubled(scores) / doubled(scores).sum(1, keepdim=True)
                return -scores.gather(1, read.target.unsqueeze(1)).squeeze(1).clamp(TINY, 1).log()
            return -scores.log_softmax(1).gather(1, read.target.unsqueeze(1)).squeeze(1)
        if self.from_logits is False:
            scores = doubled(scores)
            return -where(read.target, scores, 1 - scores).clamp(TINY, 1).log()
        return -F.logsigmoid(where(read.target, scores, -scores))

    def value(self, sums: Numbers) -> Any:
        return ratio(sums["sum"], sums["weight"])


class Perplexity(LogLoss):
    """The exponential of the mean loss of each token: between how many tokens the model wavers.

    Shapes: output (N, T, V) or (N, V, T) of scores against target (N, T) of tokens; `class_axis`
        tells them apart where T equals V.
    Errors: see `Metric`.

    Example:
        >>> perplexity = Perplexity(ignore_index=-100, from_logits=True)
        >>> perplexity.update(np.zeros((1, 3, 5)), [[1, 4, -100]])  # all five alike
        >>> round(perplexity.compute(), 4)
        5.0
    """

    def __init__(
        self,
        ignore_index: int | None = None,
        num_classes: int | None = None,
        from_logits: bool | None = None,
        class_axis: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__("multiclass", num_classes, from_logits, ignore_index, class_axis, name)

    def value(self, sums: Numbers) -> Any:
        return np.where(sums["weight"] > 0, np.exp(super().value(sums)), 0.0)
