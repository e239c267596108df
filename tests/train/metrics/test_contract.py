"""What every metric keeps to: zero, measure, result, merging, states; and wrong use."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import ambos as am
from ambos import metrics
from ambos.core.errors import ArgumentError, ShapeError, UnknownNameError
from ambos.train.metrics.names import CLASSES, NAMES

RANDOM = np.random.default_rng(5)
SCORES = RANDOM.normal(size=(12, 3)).astype(np.float32)
CLASS = RANDOM.integers(0, 3, 12)
REAL = SCORES[:, 0] + 1
NUMBERS = {"Sum", "Mean"}


def example(name):
    """A batch for the metric of this name."""
    if CLASSES[name].__module__.endswith("regression"):
        return (SCORES, SCORES[::-1].copy()) if name == "CosineSimilarity" else (SCORES[:, 0], REAL)
    if name == "BinaryAccuracy":
        return SCORES[:, 0], CLASS % 2
    return (SCORES, None) if name in NUMBERS else (SCORES, CLASS)


def same(one, other):
    leaves = [am.tree.leaves(value) for value in (one, other)]
    for a, b in zip(*leaves, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("name", CLASSES)
def test_zero_measure_and_result_inside_a_step_are_update_and_compute(name):
    metric, batch = CLASSES[name](), example(name)
    alone = CLASSES[name]()
    zero = metric.zero(*batch)
    assert set(zero) == {*metric.added, *metric.faults}
    measured = metric.measure(*batch)
    assert {n: v.shape for n, v in measured.items() if n in zero} == {
        n: v.shape for n, v in zero.items()
    }
    assert all(v.dtype is am.float64 for n, v in measured.items() if n in zero)
    statistics = {n: v if n in metric.kept else zero[n] + v for n, v in measured.items()}
    first = alone(*batch)
    same(metric.result(statistics), first)
    same(alone.compute(), first)
    same(alone.result(), first)
    again = pickle.loads(pickle.dumps(alone))
    same(again.compute(), first)
    fresh = CLASSES[name]()
    fresh.load_state_dict(alone.state_dict())
    same(fresh.compute(), first)
    fresh.update(*batch)
    alone.reset()
    with pytest.raises(ArgumentError, match="nothing was measured"):
        alone.compute()
    same(again.merge(CLASSES[name]()).compute(), first)


@pytest.mark.parametrize("name", [
    "Accuracy", "BinaryAccuracy", "TopKAccuracy", "MeanAbsoluteError", "MeanSquaredError",
    "RootMeanSquaredError", "MeanAbsolutePercentageError", "CosineSimilarity", "LogLoss",
    "Perplexity", "Mean", "Precision", "Recall", "F1Score",
])  # fmt: skip
def test_of_rows_that_all_weigh_nothing_a_mean_is_zero(name):  # as with Keras 3
    metric, batch = CLASSES[name](), example(name)
    assert metric(*batch, np.zeros(12)) == metric.compute() == 0.0
    metric.update(*batch)
    assert metric.compute() == CLASSES[name]()(*batch)


@pytest.mark.parametrize("name", ["Accuracy", "AUROC", "LogLoss", "R2Score", "Mean"])
def test_nan_is_refused_with_the_fix_and_shown_as_nan_in_logs(name):
    metric, (output, target) = CLASSES[name](), example(name)
    output = output.copy()
    output[2] = np.nan
    metric.update(output, target)
    with pytest.raises(ArgumentError, match="of the outputs or targets are NaN; need numbers"):
        metric.compute()
    assert np.isnan(metric.result(metric.statistics()))


def test_logits_and_probabilities_are_not_taken_for_each_other():
    share, yes = np.array([0.2, 0.9, 0.4]), np.array([0, 1, 1])
    accuracy = metrics.by_name("binary_accuracy")
    accuracy.update(share, yes)
    with pytest.raises(ArgumentError, match=r"all 3 scores lie in \[0, 1\].*from_logits=False for"):
        accuracy.compute()
    accuracy = metrics.Accuracy("binary", from_logits=False)
    accuracy.update(share, yes)
    assert accuracy.compute() == pytest.approx(2 / 3)
    accuracy.update(share * 5, yes)
    with pytest.raises(ArgumentError, match=r"2 of 6 scores lie outside \[0, 1\]; need probab"):
        accuracy.compute()
    accuracy = metrics.Accuracy("binary", from_logits=True)
    accuracy.update(share, yes)
    assert accuracy.compute() == pytest.approx(2 / 3)


def test_labels_and_weights_that_cannot_be():
    for target in ([0, 3, 1], [0, -1, 1]):
        accuracy = metrics.Precision()
        accuracy.update(SCORES[:3], np.array(target))
        with pytest.raises(ArgumentError, match="1 labels are out of range; need classes from 0"):
            accuracy.compute()
    accuracy = metrics.Accuracy("binary")
    accuracy.update(SCORES[:3, 0], np.array([-1, 1, 1]))
    with pytest.raises(ArgumentError, match="0 or 1 for yes or no"):
        accuracy.compute()
    several = metrics.Accuracy()  # alike with three columns: taken for one-hot classes
    several.update(SCORES[:2], np.array([[1, 1, 0], [0, 1, 0]]))
    with pytest.raises(ArgumentError, match="task='multilabel' for several at once"):
        several.compute()
    mean = metrics.MeanAbsoluteError()
    mean.update(SCORES[:2, 0], REAL[:2], np.array([1.0, -1.0]))
    with pytest.raises(ArgumentError, match="1 weights are negative or NaN"):
        mean.compute()


WRONG = {
    "shapes": (lambda: metrics.Accuracy().update(SCORES, CLASS[:5]), ShapeError, "need class ind"),
    "one column": (lambda: metrics.Accuracy().update(SCORES[:, :1], CLASS), ShapeError, r"\(12, 1"),
    "binary": (
        lambda: metrics.Accuracy("binary").update(SCORES, CLASS), ShapeError, "need the same shape"
    ),
    "floats": (lambda: metrics.Accuracy().update(SCORES, REAL), ArgumentError, "a whole one"),
    "weight": (
        lambda: metrics.Accuracy().update(SCORES, CLASS, np.ones(4)), ShapeError, r"need one a row"
    ),
    "target": (lambda: metrics.Recall().update(SCORES), ArgumentError, "no target"),
    "classes": (
        lambda: metrics.Recall(num_classes=4).update(SCORES, CLASS), ShapeError, "has 3 classes"
    ),
    "unknown size": (lambda: metrics.Recall().zero(), ArgumentError, "need num_classes=..."),
    "labels": (lambda: metrics.Recall().update(CLASS, CLASS), ArgumentError, "need num_classes="),
    "task": (lambda: metrics.Recall("multi"), ArgumentError, "task is 'multi'; need 'binary'"),
    "keyword": (lambda: metrics.Recall(averag="micro"), UnknownNameError, "mean 'average'"),
    "name": (lambda: metrics.by_name("acuracy"), ArgumentError, "Did you mean 'accuracy'"),
    "kind": (lambda: metrics.find(3), ArgumentError, "unknown metric 3"),
    "beta": (lambda: metrics.FBetaScore(0), ArgumentError, "beta is 0; need a positive"),
    "merge": (
        lambda: metrics.Recall("binary").merge(metrics.Recall("binary", threshold=0.3)),
        ArgumentError, "merge: got threshold=0.3",
    ),
    "state": (
        lambda: metrics.Recall().load_state_dict({"settings": {}, "statistics": {"a": 1}}),
        ArgumentError, r"got \['a'\] for recall; need",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_answered(name):
    function, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        function()


def test_a_batch_that_is_refused_changes_nothing():
    recall = metrics.Recall()
    recall.update(SCORES, CLASS)
    before = recall.compute()
    with pytest.raises(ShapeError):
        recall.update(SCORES[:, :2], CLASS)
    assert recall.compute() == before


def test_names_make_metrics_that_bear_them():
    for name in NAMES:
        assert metrics.by_name(name).name == name
    assert type(metrics.by_name("SparseCategoricalAccuracy")) is metrics.CategoricalAccuracy
    assert type(metrics.by_name("AUC")) is metrics.AUROC is metrics.AUC
    assert metrics.by_name("top5_accuracy").k == 5
    recall = metrics.Recall("binary")
    recall.update_state(y_true=[1, 0], y_pred=[1.0, 2.0])  # Keras's order
    assert recall.compute() == 1.0
