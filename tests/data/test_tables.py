"""Tables inside the package, beside scikit-learn's."""

import importlib

import numpy as np
import pytest
from sklearn import datasets

from ambos import data
from ambos.core.errors import ArgumentError, FormatError


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
def test_the_values_are_those_of_scikit_learn(name):
    facts = {"scaled": False} if name == "diabetes" else {}
    theirs = getattr(datasets, f"load_{name}")(**facts)
    x, y = getattr(data, name)()
    np.testing.assert_array_equal(x, theirs.data.astype(np.float32))
    np.testing.assert_array_equal(y, theirs.target)
    assert y.dtype == (np.float32 if name == "diabetes" else np.int64)
    assert len(data.feature_names(name)) == x.shape[1]
    (x_train, y_train), (x_test, _) = getattr(data, name)(test_fraction=0.2, seed=3)
    assert len(x_train) == len(y_train) == len(x) - round(0.2 * len(x))
    rows = np.concatenate([x_train, x_test])
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(x, axis=0))


def test_mistakes_are_named(tmp_path, monkeypatch):
    with pytest.raises(ArgumentError, match="wine: test_fraction is 2"):
        data.wine(test_fraction=2)
    with pytest.raises(ArgumentError, match="Did you mean 'iris'"):
        data.feature_names("irs")
    tables = importlib.import_module("ambos.data.tables")
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    with pytest.raises(FormatError, match="cannot read"):
        data.iris()
    (tmp_path / "iris.csv.gz").write_bytes(b"other")
    with pytest.raises(FormatError, match="damaged"):
        data.iris()
