"""Precision and recall at evenly spaced thresholds, as TensorBoard draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.errors import ArgumentError, ShapeError
from ambos.viz.messages import floats, metadata, tensor
from ambos.viz.values import as_array
from ambos.viz.wire import integer

SMALLEST = 1e-7  # keeps 0 / 0 a number, as TensorBoard's own curves do


def pr_curve(labels: Any, scores: Any, thresholds: int, weights: Any = None) -> NDArray[np.float32]:
    """Rows: true and false positives, true and false negatives, precision, recall; a column for
    each of the thresholds 0, 1 / (n - 1), ..., 1. A score at the threshold counts as positive.

    Errors: ShapeError where lengths differ; ArgumentError for scores outside [0, 1].
    """
    truth, score = as_array(labels).ravel().astype(bool), as_array(scores).ravel()
    weight = np.ones(score.shape) if weights is None else as_array(weights).ravel()
    if not truth.shape == score.shape == weight.shape:
        raise ShapeError(f"add_pr_curve: {truth.size} labels, {score.size} predictions, "
                         f"{weight.size} weights; need as many of each")  # fmt: skip
    if score.size and not (score.min() >= 0 and score.max() <= 1):
        raise ArgumentError("add_pr_curve: predictions are not all within [0, 1]; need "
                            "probabilities: use softmax or sigmoid")  # fmt: skip
    places = np.floor(score * (thresholds - 1)).astype(np.int64)

    def reaching(chosen: Any) -> Any:
        counts = np.bincount(places[chosen], weight[chosen], thresholds)
        return np.cumsum(counts[::-1])[::-1]

    hits, alarms = reaching(truth), reaching(~truth)
    precision = hits / np.maximum(SMALLEST, hits + alarms)
    recall = hits / np.maximum(SMALLEST, hits[0])
    rows = [hits, alarms, alarms[0] - alarms, hits[0] - hits, precision, recall]
    return np.stack(rows).astype(np.float32)


def raw(*columns: Any) -> NDArray[np.float32]:
    """Rows that were counted elsewhere.

    Errors: ShapeError where lengths differ.
    """
    rows = [as_array(column) for column in columns]
    if len({row.shape for row in rows}) != 1 or rows[0].ndim != 1:
        raise ShapeError(f"add_pr_curve_raw: counts of shapes {[row.shape for row in rows]}; need "
                         "one axis each, with a number for every threshold")  # fmt: skip
    return np.stack(rows).astype(np.float32)


def summary(tag: str, rows: Any) -> bytes:
    """The curves as a value of the plugin."""
    about = metadata("pr_curves", integer(2, rows.shape[1]))
    return tensor(tag, floats(rows), about)
