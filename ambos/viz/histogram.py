"""How many values lie where: the buckets of a TensorBoard histogram."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.errors import ArgumentError


@dataclass(frozen=True)
class Histogram:
    """`counts[i]` values are above `limits[i - 1]` and at most `limits[i]`."""

    smallest: float
    largest: float
    count: int
    total: float
    squares: float
    limits: NDArray[np.float64]
    counts: NDArray[np.float64]


@cache
def _growing() -> NDArray[np.float64]:
    """TensorFlow's limits: each a tenth further from zero than the one before."""
    positive = 1e-12 * 1.1 ** np.arange(775)
    return np.concatenate([-positive[::-1], [0.0], positive])


def histogram_of(values: Any, bins: Any = "tensorflow", max_bins: int | None = None) -> Histogram:
    """The histogram of the finite ones among `values`.

    `bins` is "tensorflow", or what `numpy.histogram` takes; more than `max_bins` of them are put
    together.

    Errors: ArgumentError for bins that neither knows.
    """
    array = np.asarray(values).ravel()
    if array.dtype.kind not in "fiub":
        raise ArgumentError(f"histogram: got {array.dtype}; need real numbers")
    array = array.astype(np.float64)
    array = array[np.isfinite(array)]
    if not array.size:
        return Histogram(0.0, 0.0, 0, 0.0, 0.0, np.zeros(1), np.zeros(1))
    try:
        counts, edges = np.histogram(
            array, bins=_growing() if isinstance(bins, str) and bins == "tensorflow" else bins
        )
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"histogram: bins is {bins!r}; need 'tensorflow', a number, limits, or "
                            f"a rule of numpy.histogram ({error})") from None  # fmt: skip
    if max_bins is not None and len(counts) > max_bins:
        step = -(-len(counts) // max_bins)
        counts = np.add.reduceat(counts, np.arange(0, len(counts), step))
        edges = np.append(edges[:-1:step], edges[-1])
    filled = np.flatnonzero(counts)
    first, last = (filled[0], filled[-1]) if filled.size else (0, 0)
    # One empty bucket in front says where the first one begins.
    return Histogram(
        float(array.min()), float(array.max()), array.size, float(array.sum()),
        float(array @ array), edges[first : last + 2].astype(np.float64),
        np.concatenate([[0.0], counts[first : last + 1]]),
    )  # fmt: skip
