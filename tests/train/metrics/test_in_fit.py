"""Metrics in `fit` and `evaluate`: the numbers of the whole, whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

import ambos as am
from ambos import metrics, nn

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(101, 5)).astype(np.float32)
CLASS = RANDOM.integers(0, 3, 101)
YES = (CLASS > 0).astype(np.float32)[:, None]
WEIGHT = RANDOM.random(101).astype(np.float32)


def test_numbers_over_uneven_batches_are_those_of_the_whole(tmp_path):
    model = am.Sequential([nn.Linear(5, 3)])
    model.compile(
        "sgd", "cross_entropy", metrics=["accuracy", "f1", "auroc", "log_loss"],
        weighted_metrics=["acc"],
    )  # fmt: skip
    found = model.evaluate(X, CLASS, batch_size=32, sample_weight=WEIGHT)
    scores = model.predict(X)
    likely = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    likely = likely.astype(np.float64) / likely.sum(1, keepdims=True, dtype=np.float64)
    wanted = {
        "accuracy": sk.accuracy_score(CLASS, scores.argmax(1)),
        "f1": sk.f1_score(CLASS, scores.argmax(1), average="macro"),
        "auroc": sk.roc_auc_score(CLASS, likely, multi_class="ovr"),
        "log_loss": sk.log_loss(CLASS, likely),
        "acc": sk.accuracy_score(CLASS, scores.argmax(1), sample_weight=WEIGHT),
    }
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-6)
    again = am.Model.load(model.save(tmp_path / "model"))
    assert again.evaluate(X, CLASS, batch_size=50)["f1"] == pytest.approx(wanted["f1"])


def test_a_loss_of_probabilities_says_what_the_outputs_are():
    model = am.Sequential([nn.Linear(5, 1), nn.Sigmoid()])
    given = ["binary_accuracy", metrics.AUC(), "precision"]
    model.compile("sgd", nn.BCELoss(), metrics=given)
    history = model.fit(X, YES, verbose=0, validation_data=(X, YES)).history
    likely = model.predict(X)
    wanted = {
        "val_binary_accuracy": sk.accuracy_score(YES, likely > 0.5),
        "val_auroc": sk.roc_auc_score(YES, likely),
        "val_precision": sk.precision_score(YES, likely > 0.5),
    }
    assert {name: history[name][-1] for name in wanted} == pytest.approx(wanted, rel=1e-12)
    model.compile("sgd", "mse", metrics=["binary_accuracy"])  # of which nobody knows
    with pytest.raises(ValueError, match="need from_logits=False for probabilities"):
        model.fit(X, YES, verbose=0)


def test_matrices_and_curves_are_in_the_history_and_out_of_the_way(tmp_path):
    model = am.Sequential([nn.Linear(5, 3)])
    given = [metrics.ConfusionMatrix(), metrics.ROC(), metrics.Recall(average="none")]
    model.compile("sgd", "cross_entropy", metrics=given)
    log = am.callbacks.CSVLogger(tmp_path / "log.csv")
    history = model.fit(X, CLASS, epochs=2, verbose=2, callbacks=[log])
    assert "confusion_matrix array (3, 3), roc list, recall array (3,)" in repr(history)
    assert history.history["confusion_matrix"][1].sum() == 101
    assert (tmp_path / "log.csv").read_text().startswith("epoch,confusion_matrix,loss,recall,roc")
