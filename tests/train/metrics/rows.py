"""Rows that the tests of metrics share, fed in uneven batches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

ROWS, CLASSES = 203, 5
RANDOM = np.random.default_rng(7)
TARGET = RANDOM.integers(0, CLASSES - 1, ROWS)  # the last class never occurs
SCORES = RANDOM.normal(size=(ROWS, CLASSES)).astype(np.float32) + 1.5 * np.eye(CLASSES)[TARGET]
SCORES[:, 3] = -9  # and one class is never predicted
SCORES = SCORES.astype(np.float32)
PREDICTED = SCORES.argmax(1)
WEIGHT = RANDOM.uniform(0, 3, ROWS)
YES = (RANDOM.random((ROWS, 3)) < (0.5, 0.1, 0)).astype(np.int64)  # the last label never occurs
SURE = (RANDOM.normal(size=(ROWS, 3)) + YES).astype(np.float32)
CUTS = ([0, 64, 128, 192, ROWS], [0, 1, 200, ROWS])  # uneven batches


def fed(metric, output, target, weight=None, cut=CUTS[0]):
    """All rows, batch by batch: half of the batches into another part that is merged."""
    other = type(metric).__new__(type(metric))
    other.__dict__.update({**vars(metric), "_sums": {}, "_rows": {}, "_recorded": None})
    for number, (low, high) in enumerate(pairwise(cut)):
        given = [part if part is None else part[low:high] for part in (output, target, weight)]
        (metric, other)[number % 2].update(*given)
    return metric.merge(other)
