"""Numbers that a metric would take for something else, counted while measuring.

A batch is measured without a look at its values, so what must not be is counted like any other
statistic, and `Metric.check` complains when somebody looks.

This is also the one place that says how a metric knows logits from probabilities, where that
matters (a threshold; scores compared across classes). Our losses take logits, and so do metrics:

- `from_logits=True`: logits, no question asked;
- `from_logits=False`: probabilities; a score outside [0, 1] is an error;
- not said: logits; that not one of all scores lay outside [0, 1] is an error, because then they
  are almost surely probabilities and every threshold would be wrong in silence. `fit` takes the
  answer from a loss that it knows.
"""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import float64
from ambos.tensor.creation import zeros
from ambos.tensor.handle import Tensor

FAULTS = ("nan", "labels", "negative", "inside", "outside")
FIXES = {
    "nan": "{count} of the outputs or targets are NaN; need numbers: look for the step that made "
    "them with am.debug()",
    "labels": "{count} labels are out of range; need classes from 0 to num_classes - 1 (0 or 1 for "
    "yes or no, rows that sum to one for one-hot classes, task='multilabel' for several at once); "
    "ignore_index=... leaves a label out",
    "negative": "{count} weights are negative or NaN; need weights of at least 0",
}


def counted(wrong: Tensor) -> Tensor:
    """How many are true."""
    return wrong.to(float64).sum()


def none() -> Tensor:
    """A count of nothing, where a fault cannot be."""
    return zeros((), dtype=float64)


def nans(*values: Tensor) -> Tensor:
    """How many numbers are NaN."""
    found = [counted(value.isnan()) for value in values if value.dtype.is_floating]
    return sum(found[1:], found[0]) if found else none()


def ranges(scores: Tensor, from_logits: bool | None) -> dict[str, Tensor]:
    """How many scores could be probabilities and how many could not, where that is a question."""
    if from_logits:
        return {"inside": none(), "outside": none()}
    inside = counted((scores >= 0) & (scores <= 1))
    outside = counted((scores < 0) | (scores > 1))
    return {"inside": inside, "outside": outside}


def spoiled(sums: dict[str, Any]) -> bool:
    """Was a number NaN?"""
    return bool(sums.get("nan", 0) > 0)


def complaint(sums: dict[str, Any], from_logits: bool | None, allow_nan: bool) -> str:
    """What is wrong with the numbers, and the fix; or ""."""
    for name, text in FIXES.items():
        count = int(sums.get(name, 0))
        if count and not (name == "nan" and allow_nan):
            return text.format(count=count)
    inside, outside = int(sums.get("inside", 0)), int(sums.get("outside", 0))
    if from_logits is False and outside:
        return (
            f"{outside} of {inside + outside} scores lie outside [0, 1]; need probabilities with "
            "from_logits=False: leave it out for logits, or apply sigmoid or softmax"
        )
    if from_logits is None and inside and not outside:
        return (
            f"all {inside} scores lie in [0, 1], so they may be probabilities, and logits are "
            "expected; need from_logits=False for probabilities, from_logits=True for logits"
        )
    return ""
