"""scikit-learn's estimators on tensors and on NumPy arrays, side by side; a table on the output.

A process of its own, because SciPy reads SCIPY_ARRAY_API once, when it is imported:

SCIPY_ARRAY_API=1 python -m tests.interop.sklearn_dispatch

An entry says the kind of each result on tensors, and how far it is from NumPy's at most, relative
to the largest number there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import config_context, metrics
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import (
    Binarizer,
    LabelEncoder,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    StandardScaler,
)

import ambos as am

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 5))
Y = X @ RNG.standard_normal(5) + 0.1 * RNG.standard_normal(60)
LABELS = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
Case = Callable[[Any, Any, Any], Any]


def _fitted(estimator: Any, *attributes: str, call: str = "transform") -> Case:
    """What a supervised or unsupervised estimator says of its data, and what it has learnt."""

    def run(x: Any, y: Any, labels: Any) -> Any:
        target = labels if hasattr(estimator, "predict_proba") or "Class" in str(estimator) else y
        estimator.fit(x, target)
        return [getattr(estimator, call)(x), *(getattr(estimator, name) for name in attributes)]

    return run


def _components(solver: str, **options: Any) -> Case:
    """Up to signs, which no definition fixes."""

    def run(x: Any, y: Any, labels: Any) -> Any:
        found = PCA(3, svd_solver=solver, **options).fit(x)
        return [abs(found.transform(x)), abs(found.components_), found.explained_variance_]

    return run


def _scored(metric: Any) -> Case:
    return lambda x, y, labels: metric(y, x[:, 0])


def _classified(metric: Any) -> Case:
    return lambda x, y, labels: metric(labels, labels[::-1])


def _compared(kernel: Any) -> Case:
    return lambda x, y, labels: kernel(x, x)


def _ranked(x: Any, y: Any, labels: Any) -> Any:
    return metrics.roc_auc_score(labels, x[:, 2])


def _restored(x: Any, y: Any, labels: Any) -> Any:
    scaler = StandardScaler().fit(x)
    return scaler.inverse_transform(scaler.transform(x))


CASES: dict[str, Case] = {
    "StandardScaler": _fitted(StandardScaler(), "mean_", "var_", "scale_"),
    "StandardScaler.inverse_transform": _restored,
    "MinMaxScaler": _fitted(MinMaxScaler(), "data_range_"),
    "MaxAbsScaler": _fitted(MaxAbsScaler(), "scale_"),
    "Normalizer": _fitted(Normalizer()),
    "Binarizer": _fitted(Binarizer()),
    "PolynomialFeatures": _fitted(PolynomialFeatures()),
    "LabelEncoder": lambda x, y, labels: LabelEncoder().fit_transform(labels),
    "train_test_split": lambda x, y, labels: train_test_split(x, y, random_state=0),
    "PCA full": _components("full"),
    "PCA covariance_eigh": _components("covariance_eigh"),
    "PCA randomized": _components("randomized", power_iteration_normalizer="QR", random_state=0),
    "Ridge": _fitted(Ridge(solver="svd"), "coef_", "intercept_", call="predict"),
    "RidgeClassifier": _fitted(RidgeClassifier(solver="svd"), "coef_", call="predict"),
    "LogisticRegression": _fitted(LogisticRegression(), "coef_", call="predict_proba"),
    "LinearDiscriminantAnalysis": _fitted(
        LinearDiscriminantAnalysis(), "means_", call="predict_proba"
    ),
    "GaussianNB": _fitted(GaussianNB(), "var_", call="predict_proba"),
    "GaussianMixture": _fitted(
        GaussianMixture(2, random_state=0, init_params="random"), "means_", call="predict_proba"
    ),
    "roc_auc_score": _ranked,
    **{
        name: _classified(getattr(metrics, name))
        for name in ("accuracy_score", "balanced_accuracy_score", "confusion_matrix", "f1_score",
                     "precision_score", "recall_score", "zero_one_loss")
    },
    **{
        name: _scored(getattr(metrics, name))
        for name in ("explained_variance_score", "max_error", "mean_absolute_error",
                     "mean_squared_error", "median_absolute_error", "r2_score")
    },
    **{
        name: _compared(getattr(metrics.pairwise, name))
        for name in ("cosine_similarity", "euclidean_distances", "linear_kernel",
                     "manhattan_distances", "polynomial_kernel", "rbf_kernel")
    },
}  # fmt: skip


def outcome(case: Case) -> list[tuple[str, float]]:
    """Kinds of the results on tensors, and distances from those on arrays."""
    with config_context(array_api_dispatch=True):
        found = case(am.tensor(X), am.tensor(Y), am.tensor(LABELS))
    expected = case(X, Y, LABELS)
    pairs = zip(found, expected, strict=True) if isinstance(found, list) else [(found, expected)]
    return [(type(ours).__name__, _distance(ours, theirs)) for ours, theirs in pairs]


def _distance(ours: Any, theirs: Any) -> float:
    one, other = np.asarray(ours), np.asarray(theirs)
    if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
        return float("inf")
    return float(np.max(np.abs(one - other)) / max(1.0, np.max(np.abs(other))))


def main() -> None:
    print(json.dumps({name: outcome(case) for name, case in CASES.items()}))


if __name__ == "__main__":
    main()
