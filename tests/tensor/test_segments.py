"""Reductions over segments, against NumPy and torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, DTypeError, IndexingError, ShapeError

RNG = np.random.default_rng(6)
X = RNG.normal(size=(40, 3)).astype(np.float32)
IDS = RNG.integers(0, 7, 40)
IDS[IDS == 4] = 5  # a segment without rows
WAYS = {
    "sum": (np.add, 0), "max": (np.maximum, -np.inf), "min": (np.minimum, np.inf),
}  # fmt: skip


def folded(x, ids, count, ufunc, start):
    found = np.full((count, *x.shape[1:]), start, x.dtype)
    ufunc.at(found, ids, x)
    return found


@pytest.mark.parametrize("name", WAYS)
def test_segments(name):
    function = getattr(am, f"segment_{name}")
    for x in (X, X[:, 0], X.reshape(40, 3, 1)):
        expected = folded(x, IDS, 9, *WAYS[name])
        np.testing.assert_allclose(function(x, IDS, 9).numpy(), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(function(x, IDS).numpy(), expected[: IDS.max() + 1], rtol=1e-5,
                                   atol=1e-6)  # fmt: skip


@pytest.mark.parametrize("name", ["sum", "max", "min"])
def test_integers(name):
    x = RNG.integers(-3, 4, 40)
    ufunc, start = WAYS[name]
    start = {"max": np.iinfo(np.int64).min, "min": np.iinfo(np.int64).max}.get(name, start)
    found = getattr(am, f"segment_{name}")(x, IDS, 9)
    assert found.dtype is am.int64
    np.testing.assert_array_equal(found.numpy(), folded(x, IDS, 9, ufunc, start))


def test_means():
    found = am.segment_mean(X, IDS, 9)
    counts = np.maximum(np.bincount(IDS, minlength=9), 1)[:, None]
    np.testing.assert_allclose(found.numpy(), folded(X, IDS, 9, np.add, 0) / counts, rtol=1e-5,
                               atol=1e-6)  # fmt: skip
    with pytest.raises(DTypeError, match="segment_mean: got int64; need a floating dtype"):
        am.segment_mean(IDS, IDS)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_gradients(name):
    x = am.tensor(X.astype(np.float64), requires_grad=True)
    found = getattr(am, f"segment_{name}")(x, IDS, 7)
    weights = RNG.normal(size=(7, 3))
    am.where(am.isfinite(found), found * am.tensor(weights), 0).sum().backward()
    theirs = torch.tensor(X.astype(np.float64), requires_grad=True)
    reduce = {"max": "amax", "min": "amin"}.get(name, name)
    index = torch.tensor(IDS)[:, None].expand(40, 3)
    expected = torch.zeros(7, 3, dtype=torch.float64).scatter_reduce(
        0, index, theirs, reduce, include_self=False
    )
    (expected * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), theirs.grad, rtol=1e-9, atol=1e-11)


def test_errors():
    with pytest.raises(DTypeError, match="segment_sum: segment_ids are float32; need integers"):
        am.segment_sum(X, X[:, 0])
    with pytest.raises(ShapeError, match=r"segment_max: segment_ids are \(3,\) for \(40, 3\)"):
        am.segment_max(X, [0, 1, 2])
    with pytest.raises(ArgumentError, match="segment_sum: num_segments is -1; need 0 or more"):
        am.segment_sum(X, IDS, -1)
    with pytest.raises(IndexingError):
        am.segment_max(X, IDS, 2).numpy()


def test_nothing_and_not_a_number():
    assert am.segment_max(am.zeros(0, 3), am.zeros(0, dtype=am.int64), 2).shape == (2, 3)
    assert am.segment_sum(am.zeros(0, 3), am.zeros(0, dtype=am.int64)).shape == (0, 3)
    x = np.array([1, np.nan, 3, 4], np.float32)
    for function in (am.segment_max, am.segment_min):
        found = function(x, [0, 0, 1, 1]).numpy()
        assert np.isnan(found).tolist() == [True, False]
    assert am.segment_min(x > 2, [0, 0, 1, 1]).tolist() == [False, True]
