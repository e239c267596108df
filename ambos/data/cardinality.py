"""How many elements a dataset has: known beforehand, without end, or known only afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

INFINITE_CARDINALITY, UNKNOWN_CARDINALITY = -1, -2  # tf.data's numbers


def cardinality_of(source: Any) -> int:
    """The number of elements, or INFINITE_CARDINALITY, or UNKNOWN_CARDINALITY.

    Example:
        >>> cardinality_of("abc"), cardinality_of(iter("abc"))
        (3, -2)
    """
    if hasattr(source, "cardinality"):
        return int(source.cardinality())
    try:
        return len(source)
    except TypeError:
        return UNKNOWN_CARDINALITY


def total(counts: Iterable[int]) -> int:
    """The cardinality of datasets one after the other.

    Example:
        >>> total([2, 3]), total([2, UNKNOWN_CARDINALITY])
        (5, -2)
    """
    found = list(counts)
    for odd in (INFINITE_CARDINALITY, UNKNOWN_CARDINALITY):
        if odd in found:
            return odd
    return sum(found)


def without_length(dataset: Any) -> str:
    """Why a dataset has no length, and what to do, for an error."""
    which = dataset.cardinality()
    cause = dataset
    while parts := [part for part in cause.sources if cardinality_of(part) == which]:
        cause = parts[0]
        if not hasattr(cause, "sources"):
            break
    name = getattr(cause, "operation", type(cause).__name__)
    if which == INFINITE_CARDINALITY:
        return (f"has no length: {name} goes on without end; need {name}(n), take(n) after it, or "
                "steps_per_epoch=n in fit")  # fmt: skip
    advice = ("give from_generator its length=" if name == "from_generator"
              else "count them by sum(1 for _ in dataset), which reads them all")  # fmt: skip
    return (f"has no length: only reading tells how many elements {name} gives; {advice}, or give "
            "fit steps_per_epoch")  # fmt: skip
