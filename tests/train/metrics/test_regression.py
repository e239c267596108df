"""Distances between numbers against scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from ambos import metrics
from ambos.core.errors import ArgumentError, ShapeError
from tests.train.metrics.rows import CUTS, ROWS, WEIGHT, fed

RANDOM = np.random.default_rng(3)
Y = RANDOM.normal(size=(ROWS, 3)) * (1, 5, 0.1) + 4
X = (Y + RANDOM.normal(size=(ROWS, 3))).astype(np.float32)
Y = Y.astype(np.float32)
Y64, X64 = Y.astype(np.float64), X.astype(np.float64)

SCORES = {
    metrics.MeanAbsoluteError: sk.mean_absolute_error,
    metrics.MeanSquaredError: sk.mean_squared_error,
    metrics.MeanAbsolutePercentageError: sk.mean_absolute_percentage_error,
    metrics.R2Score: sk.r2_score,
    metrics.ExplainedVariance: sk.explained_variance_score,
}


@pytest.mark.parametrize("kind", SCORES, ids=lambda kind: kind.__name__)
def test_regression_is_that_of_scikit_learn(kind):
    spread = kind in (metrics.R2Score, metrics.ExplainedVariance)
    for weight in (None, WEIGHT):
        for average in kind.averages():
            wanted = SCORES[kind](Y64, X64, sample_weight=weight, multioutput=average)
            found = fed(kind(average), X, Y, weight, CUTS[1]).compute()
            np.testing.assert_allclose(found, wanted, rtol=1e-9 if spread else 1e-13)
        wanted = SCORES[kind](Y64[:, 0], X64[:, 0], sample_weight=weight)
        found = fed(kind(), X[:, 0], Y[:, 0], weight).compute()
        np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_constant_targets_as_scikit_learn_has_them():
    for output in (np.ones(4), np.array([1.0, 2.0, 1.0, 1.0])):
        for kind in (metrics.R2Score, metrics.ExplainedVariance):
            score = kind()
            score.update(output, np.ones(4))
            assert score.compute() == SCORES[kind](np.ones(4), output)


def test_roots_correlations_and_cosines():
    found = fed(metrics.RootMeanSquaredError(), X, Y, WEIGHT).compute()
    assert found == pytest.approx(np.sqrt(sk.mean_squared_error(Y64, X64, sample_weight=WEIGHT)))
    wanted = [stats.pearsonr(X64[:, k], Y64[:, k])[0] for k in range(3)]
    found = fed(metrics.PearsonCorrCoef("raw_values"), X, Y).compute()
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    tied = np.round(X, 0)
    wanted = [stats.spearmanr(tied[:, k], Y[:, k])[0] for k in range(3)]
    found = fed(metrics.SpearmanCorrCoef("raw_values"), tied, Y).compute()
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    wanted = 1 - sk.pairwise.paired_cosine_distances(X64, Y64)
    found = fed(metrics.CosineSimilarity(), X, Y, WEIGHT).compute()
    assert found == pytest.approx(np.average(wanted, weights=WEIGHT), rel=1e-12)


def test_means_sums_and_functions():
    mean, total = metrics.Mean(), metrics.Sum()
    for low, high in ((0, 7), (7, 100), (100, ROWS)):
        mean.update(X[low:high], weight=WEIGHT[low:high])
        total.update_state(X[low:high])
    assert mean.compute() == pytest.approx(np.average(X64, weights=np.c_[WEIGHT, WEIGHT, WEIGHT]))
    assert total.compute() == pytest.approx(X64.sum(), rel=1e-13)

    def off(output, target):
        return (output - target).abs().mean()

    metric = metrics.find(off)
    assert metric.name == "off"
    found = fed(metric, X, Y, None, CUTS[1]).compute()
    assert found == pytest.approx(sk.mean_absolute_error(Y64, X64), rel=1e-6)
    with pytest.raises(ShapeError, match=r"off: the function gave \(\); need one for each row"):
        metric.update(X, Y, WEIGHT)
    rows = metrics.Averaged(lambda output, target: (output - target).abs().mean(1))
    found = fed(rows, X, Y, WEIGHT).compute()
    wanted = sk.mean_absolute_error(Y64, X64, sample_weight=WEIGHT)
    assert found == pytest.approx(wanted, rel=1e-6)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ShapeError, match=r"\(4, 1\) and the target \(4,\); need the same shape"):
        metrics.MeanSquaredError().update(np.ones((4, 1)), np.ones(4))
    score = metrics.R2Score()
    score.update(X, Y)
    with pytest.raises(ShapeError, match="has 2 numbers in a row; need 3, as before"):
        score.update(X[:, :2], Y[:, :2])
    assert score.compute() == pytest.approx(sk.r2_score(Y64, X64))
    with pytest.raises(ArgumentError, match="ranks have no weights"):
        metrics.SpearmanCorrCoef().update(X, Y, WEIGHT)
