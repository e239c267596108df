"""scikit-learn with `array_api_dispatch`: our tensors go in and come out, with NumPy's numbers."""

import json
import os
import subprocess
import sys

import pytest

NUMBERS = {
    "roc_auc_score", "accuracy_score", "balanced_accuracy_score", "f1_score", "precision_score",
    "recall_score", "zero_one_loss", "explained_variance_score", "max_error",
    "mean_absolute_error", "mean_squared_error", "median_absolute_error", "r2_score",
}  # fmt: skip
# Expectation maximisation stops where a step gains less than 1e-3; shares of counts are float32,
# the default of this namespace.
TOLERANCE = {"GaussianMixture": 1e-4, **dict.fromkeys(NUMBERS, 1e-7)}


@pytest.fixture(scope="module")
def outcomes():
    """What a process finds that has SciPy's switch on."""
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    found = subprocess.run(
        [sys.executable, "-m", "tests.interop.sklearn_dispatch"],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_estimators_keep_our_type_and_numpys_numbers(outcomes):
    assert len(outcomes) > 30
    for name, results in outcomes.items():
        for kind, distance in results:
            assert kind == ("float" if name in NUMBERS else "Tensor"), name
            assert distance <= TOLERANCE.get(name, 1e-9), (name, distance)
