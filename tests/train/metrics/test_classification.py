"""Counts of classes against scikit-learn: uneven batches, merged parts, weights, edge cases."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

import ambos as am
from ambos import metrics
from tests.train.metrics.rows import (
    CLASSES,
    CUTS,
    PREDICTED,
    SCORES,
    SURE,
    TARGET,
    WEIGHT,
    YES,
    fed,
)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn, on classes that do not occur
        yield


RATES = {
    metrics.Precision: sk.precision_score,
    metrics.Recall: sk.recall_score,
    metrics.F1Score: sk.f1_score,
    metrics.IoU: sk.jaccard_score,
    metrics.Dice: sk.f1_score,
}


@pytest.mark.parametrize("kind", RATES, ids=lambda kind: kind.__name__)
def test_rates_are_those_of_scikit_learn(kind):
    score, zero = RATES[kind], {} if kind is metrics.IoU else {"zero_division": 0.0}
    for weight in (None, WEIGHT):
        for average in ("micro", "macro", "weighted", "none"):
            known = {"average": None if average == "none" else average, "sample_weight": weight}
            several = fed(kind(num_classes=CLASSES, average=average), SCORES, TARGET, weight)
            labels = range(CLASSES) if average == "none" else None
            wanted = score(TARGET, PREDICTED, labels=labels, **known, **zero)
            np.testing.assert_allclose(several.compute(), wanted, rtol=1e-13)
            labelled = fed(kind("multilabel", average=average), SURE, YES, weight, CUTS[1])
            wanted = score(YES, SURE > 0, **known, **zero)
            np.testing.assert_allclose(labelled.compute(), wanted, rtol=1e-13)
        one = fed(kind("binary"), SURE[:, 0], YES[:, 0], weight)
        wanted = score(YES[:, 0], SURE[:, 0] > 0, sample_weight=weight, **zero)
        np.testing.assert_allclose(one.compute(), wanted, rtol=1e-13)


@pytest.mark.parametrize("zero", [0.0, 1.0, np.nan])
def test_a_share_of_nothing_is_zero_division(zero):
    for average in ("macro", "weighted", "none"):
        score = metrics.FBetaScore(2.0, "multilabel", average=average, zero_division=zero)
        score.update(np.where(YES == 1, SURE, -1).astype(np.float32), YES)
        predicted = (SURE > 0) & (YES == 1)
        known = None if average == "none" else average
        wanted = sk.fbeta_score(YES, predicted, beta=2, average=known, zero_division=zero)
        np.testing.assert_allclose(score.compute(), wanted, rtol=1e-13)


def test_specificity_is_recall_of_the_others():
    found = fed(metrics.Specificity(average="none"), SCORES, TARGET, WEIGHT).compute()
    wanted = [
        sk.recall_score(k != TARGET, k != PREDICTED, sample_weight=WEIGHT) for k in range(CLASSES)
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


def test_accuracies():
    for weight in (None, WEIGHT):
        known = {"sample_weight": weight}
        found = fed(metrics.Accuracy(), SCORES, TARGET, weight).compute()
        assert found == pytest.approx(sk.accuracy_score(TARGET, PREDICTED, **known), rel=1e-13)
        found = fed(metrics.Accuracy(), SCORES, np.eye(CLASSES)[TARGET], weight).compute()
        assert found == pytest.approx(sk.accuracy_score(TARGET, PREDICTED, **known), rel=1e-13)
        found = fed(metrics.TopKAccuracy(k=3), SCORES, TARGET, weight).compute()
        wanted = sk.top_k_accuracy_score(TARGET, SCORES, k=3, labels=range(CLASSES), **known)
        assert found == pytest.approx(wanted, rel=1e-13)
    share = 1 / (1 + np.exp(-SURE[:, :1]))
    accuracy = fed(metrics.Accuracy(threshold=0.7, from_logits=False), share, YES[:, :1])
    assert accuracy.compute() == sk.accuracy_score(YES[:, 0], share[:, 0] > 0.7)
    accuracy = fed(metrics.Accuracy(threshold=0.7, from_logits=True), SURE[:, :1], YES[:, :1])
    assert accuracy.compute() == sk.accuracy_score(YES[:, 0], share[:, 0] > 0.7)
    found = fed(metrics.Accuracy("multilabel"), SURE, YES).compute()
    assert found == pytest.approx(((SURE > 0) == YES).mean(), rel=1e-13)


def test_top_1_of_ties_is_accuracy_and_a_constant_output_earns_nothing():
    scores = np.zeros((40, 4), np.float32)
    target = np.arange(40) % 4
    for kind in (metrics.Accuracy(), metrics.TopKAccuracy(k=1)):
        kind.update(scores, target)
        assert kind.compute() == 0.25


def test_confusion_matthews_and_kappa():
    for weight in (None, WEIGHT):
        known = {"sample_weight": weight}
        for normalize in (None, "true", "pred", "all"):
            found = fed(metrics.ConfusionMatrix(normalize=normalize), SCORES, TARGET, weight)
            wanted = sk.confusion_matrix(
                TARGET, PREDICTED, labels=range(CLASSES), normalize=normalize, **known
            )
            np.testing.assert_allclose(found.compute(), wanted, rtol=1e-12)
        found = fed(metrics.ConfusionMatrix("multilabel"), SURE, YES, weight).compute()
        wanted = sk.multilabel_confusion_matrix(YES, SURE > 0, **known)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
        found = fed(metrics.MatthewsCorrCoef(), SCORES, TARGET, weight).compute()
        assert found == pytest.approx(sk.matthews_corrcoef(TARGET, PREDICTED, **known), rel=1e-12)
        found = fed(metrics.MatthewsCorrCoef("binary"), SURE[:, 0], YES[:, 0], weight).compute()
        wanted = sk.matthews_corrcoef(YES[:, 0], SURE[:, 0] > 0, **known)
        assert found == pytest.approx(wanted, rel=1e-12)
        for weights in (None, "linear", "quadratic"):
            found = fed(metrics.CohenKappa(weights=weights), SCORES, TARGET, weight).compute()
            wanted = sk.cohen_kappa_score(
                TARGET, PREDICTED, labels=range(CLASSES), weights=weights, **known
            )
            assert found == pytest.approx(wanted, rel=1e-12)


def test_log_loss_and_perplexity():
    likely = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
    wanted = sk.log_loss(TARGET, likely.astype(np.float64), labels=range(CLASSES))
    assert fed(metrics.LogLoss(), SCORES, TARGET).compute() == pytest.approx(wanted, rel=1e-6)
    found = fed(metrics.LogLoss(from_logits=False), likely, TARGET).compute()
    assert found == pytest.approx(wanted, rel=1e-6)
    chance = 1 / (1 + np.exp(-SURE[:, 0].astype(np.float64)))
    wanted = sk.log_loss(YES[:, 0], chance, sample_weight=WEIGHT)
    found = fed(metrics.LogLoss("binary"), SURE[:, 0], YES[:, 0], WEIGHT).compute()
    assert found == pytest.approx(wanted, rel=1e-6)
    found = fed(metrics.LogLoss("binary", from_logits=False), chance, YES[:, 0], WEIGHT).compute()
    assert found == pytest.approx(wanted, rel=1e-12)
    # Tokens: (N, T, V) as models give them and (N, V, T) as cross_entropy takes them.
    tokens, target = SCORES[:200].reshape(10, 20, 5), TARGET[:200].reshape(10, 20).copy()
    target[:, 15:] = -100
    kept = target.reshape(-1) >= 0
    wanted = np.exp(sk.log_loss(TARGET[:200][kept], likely[:200][kept], labels=range(CLASSES)))
    perplexity = metrics.Perplexity(ignore_index=-100)
    perplexity.update(tokens, target)
    assert perplexity.compute() == pytest.approx(wanted, rel=1e-6)
    perplexity = metrics.Perplexity(ignore_index=-100)
    perplexity.update(tokens.transpose(0, 2, 1), target)
    assert perplexity.compute() == pytest.approx(wanted, rel=1e-6)
    with pytest.raises(am.errors.ShapeError, match=r"axis 1 or on the last; need class_axis=1 or"):
        perplexity.update(np.zeros((2, 5, 5)), np.zeros((2, 5), int))


def test_images_and_ignored_pixels():
    pixels = SCORES[:196].reshape(4, 7, 7, 5).transpose(0, 3, 1, 2)
    target = TARGET[:196].reshape(4, 7, 7).copy()
    target[0, :3] = 255
    iou = metrics.MeanIoU(ignore_index=255)
    iou.update(pixels, target)
    kept = target.reshape(-1) != 255
    wanted = sk.jaccard_score(TARGET[:196][kept], PREDICTED[:196][kept], average="macro")
    assert iou.compute() == pytest.approx(wanted, rel=1e-13)
    weights = np.repeat([1.0, 2.0, 3.0, 4.0], 49)[kept]
    accuracy = metrics.Accuracy(ignore_index=255)
    accuracy.update(pixels, target, np.array([1.0, 2.0, 3.0, 4.0]))  # one for each image
    right = (TARGET == PREDICTED)[:196][kept]
    assert accuracy.compute() == pytest.approx(np.average(right, weights=weights), rel=1e-13)


def test_counts_stay_exact_beyond_what_float32_can_count():
    accuracy = metrics.Accuracy()
    accuracy.update(np.eye(2, dtype=np.float32), np.array([0, 1]))
    accuracy.load_state_dict(
        {
            "settings": accuracy.settings(),
            "statistics": accuracy.state_dict()["statistics"]
            | {"right": np.array(2.0**24), "total": np.array(2.0**25)},
        }
    )
    for _ in range(3):
        accuracy.update(np.eye(2, dtype=np.float32)[:1], np.array([0]))
    assert accuracy.statistics()["right"] == 2**24 + 3
    assert accuracy.compute() == (2**24 + 3) / (2**25 + 3)
    # And inside a step: sums of float64.
    measured = am.jit(
        lambda sums, x, y: {k: sums.get(k, 0) + v for k, v in accuracy.measure(x, y).items()}
    )
    sums = accuracy.zero() | {
        name: am.tensor(2.0**24, dtype=am.float64) for name in ("right", "total")
    }
    sums = measured(sums, am.eye(2), am.tensor([0, 1]))
    assert accuracy.result(sums) == 1.0
    assert sums["total"].item() == 2**24 + 2
