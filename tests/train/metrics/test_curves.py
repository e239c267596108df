"""Ranks over all scores against scikit-learn: ties, weights, several classes, one class only."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from ambos import metrics
from ambos.core.errors import ArgumentError
from tests.train.metrics.rows import SCORES, SURE, TARGET, WEIGHT, YES, fed

YES = YES[:, :2]
TIED = np.round(SURE[:, :2], 1)  # many equal scores
FOUR = np.delete(SCORES, 4, 1)  # every class occurs
LIKELY = np.exp(FOUR) / np.exp(FOUR).sum(1, keepdims=True)


def test_binary_areas_and_curves():
    scores, yes = TIED[:, 0], YES[:, 0]
    for weight in (None, WEIGHT):
        known = {"sample_weight": weight}
        area = fed(metrics.AUROC(), scores, yes, weight).compute()
        assert area == pytest.approx(sk.roc_auc_score(yes, scores, **known), rel=1e-12)
        area = fed(metrics.AveragePrecision(), scores, yes, weight).compute()
        assert area == pytest.approx(sk.average_precision_score(yes, scores, **known), rel=1e-12)
        found = fed(metrics.ROC(), scores, yes, weight).compute()
        wanted = sk.roc_curve(yes, scores, drop_intermediate=False, **known)
        found_pr = fed(metrics.PrecisionRecallCurve(), scores, yes, weight).compute()
        wanted_pr = sk.precision_recall_curve(yes, scores, **known)
        for one, other in zip((*found, *found_pr), (*wanted, *wanted_pr), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("average", ["macro", "weighted", "none", "micro"])
def test_areas_of_several(average):
    known = {"average": None if average == "none" else average, "sample_weight": WEIGHT}
    for kind, score in (
        (metrics.AUROC, sk.roc_auc_score),
        (metrics.AveragePrecision, sk.average_precision_score),
    ):
        found = fed(kind("multilabel", average=average), TIED, YES, WEIGHT).compute()
        np.testing.assert_allclose(found, score(YES, TIED, **known), rtol=1e-12)
        if average != "micro":
            asked = np.eye(4)[TARGET]
            wanted = score(asked, LIKELY, **known)
            for scores, logits in ((FOUR, True), (FOUR, None), (LIKELY, False)):
                metric = kind(average=average, from_logits=logits)
                found = fed(metric, scores, TARGET, WEIGHT).compute()
                np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_curves_of_several_are_lists():
    found = fed(metrics.ROC("multilabel"), TIED, YES).compute()
    wanted = sk.roc_curve(YES[:, 1], TIED[:, 1], drop_intermediate=False)
    assert len(found) == 2
    np.testing.assert_allclose(found[1][1], wanted[1], rtol=1e-12)


def test_one_class_only_has_no_area():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for target in (np.zeros(3, int), np.ones(3, int)):
            area = metrics.AUROC()
            area.update(TIED[:3, 0], target)
            assert np.isnan(area.compute())
        precision = metrics.AveragePrecision()
        precision.update(TIED[:3, 0], np.zeros(3, int))
        assert np.isnan(precision.compute())
        # Of several, averages are of those that have one.
        area = metrics.AUROC("multilabel")
        area.update(TIED, np.c_[YES[:, 0], np.zeros(len(YES), int)])
        assert area.compute() == pytest.approx(sk.roc_auc_score(YES[:, 0], TIED[:, 0]), rel=1e-12)


def test_ignored_labels_and_rows_without_weight_do_not_count():
    target = np.where(WEIGHT > 2, 9, YES[:, 0])
    area = fed(metrics.AUROC(ignore_index=9), TIED[:, 0], target).compute()
    kept = WEIGHT <= 2
    assert area == pytest.approx(sk.roc_auc_score(YES[kept, 0], TIED[kept, 0]), rel=1e-12)


def test_what_cannot_be_ranked_is_refused():
    area = metrics.AUROC()
    with pytest.raises(ArgumentError, match="got labels; need scores"):
        area.update(YES[:, 0], YES[:, 0])
    area = metrics.AUROC()
    area.update(LIKELY, TARGET)
    with pytest.raises(ArgumentError, match=r"auroc: all 812 scores lie in \[0, 1\].*from_logits"):
        area.compute()
    with pytest.raises(ArgumentError, match=r"average is 'makro'.*Did you mean 'macro'"):
        metrics.AUROC(average="makro")
