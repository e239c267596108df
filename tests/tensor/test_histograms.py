"""Counts by value, against NumPy and torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, DTypeError, IndexingError, ShapeError, TracingError

RNG = np.random.default_rng(4)
POINTS = RNG.normal(size=(50, 3)).astype(np.float32)


def close(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=2e-6, atol=1e-6)


def test_bincount():
    x = RNG.integers(0, 9, 60)
    weights = RNG.normal(size=60)
    close(am.bincount(x), np.bincount(x))
    close(am.bincount(x, weights, 20), np.bincount(x, weights, 20))
    assert am.bincount(x, x).dtype is am.float64
    assert am.bincount(am.zeros(0, dtype=am.int64), minlength=3).tolist() == [0, 0, 0]
    with pytest.raises(ArgumentError, match="bincount: found -1; need values from 0 on"):
        am.bincount([-1])
    with pytest.raises(DTypeError, match="need a vector of integers"):
        am.bincount([1.0])


@pytest.mark.parametrize("bins", [7, [-1.0, -0.5, 0.1, 2.0]], ids=["seven", "edges"])
@pytest.mark.parametrize("density", [False, True])
def test_histograms(bins, density):
    x, weight = POINTS[:, 0], np.abs(POINTS[:, 1])
    for weights in (None, weight):
        found = am.histogram(x, bins, weight=weights, density=density)
        expected = np.histogram(x, bins, weights=weights, density=density)
        close(found.hist, expected[0])
        close(found.bin_edges, expected[1])
    if bins == 7:
        found = am.histogram(x, 7, (-1.0, 1.0), density=density)
        close(found.hist, np.histogram(x, 7, (-1.0, 1.0), density=density)[0])


@pytest.mark.parametrize("density", [False, True])
def test_histograms_of_points(density):
    weight = np.abs(POINTS[:, 1])
    edges = [np.array([-1, 0, 2], np.float32), np.array([-3, -1, 0, 3], np.float32),
             np.array([-9, 9], np.float32)]  # fmt: skip
    for bins in ([2, 3, 4], [5, 5, 5], edges):
        for weights in (None, weight):
            theirs = None if weights is None else torch.tensor(weights)
            wanted = [torch.tensor(b) for b in bins] if bins is edges else bins
            found = am.histogramdd(POINTS, bins, weight=weights, density=density)
            expected = torch.histogramdd(torch.tensor(POINTS), wanted, weight=theirs,
                                         density=density)  # fmt: skip
            close(found.hist, expected.hist)
            for ours, one in zip(found.bin_edges, expected.bin_edges, strict=True):
                close(ours, one)


def test_ranges_of_points():
    bounds = [-1.0, 1.0, -2.0, 0.5, 0.0, 1.0]
    found = am.histogramdd(POINTS, 4, bounds)
    close(found.hist, torch.histogramdd(torch.tensor(POINTS), 4, range=bounds).hist)
    with pytest.raises(ArgumentError, match="histogramdd: 2 bins for 3 axes; need one each"):
        am.histogramdd(POINTS, [1, 2])
    with pytest.raises(ArgumentError, match="range has 2 numbers for 3 axes"):
        am.histogramdd(POINTS, 2, (0, 1))
    with pytest.raises(ShapeError, match=r"weights are \(3,\) for 50 points"):
        am.histogramdd(POINTS, 2, weight=am.ones(3))


def test_histc():
    x = torch.tensor(POINTS)
    close(am.histc(POINTS, 9), torch.histc(x, 9))
    close(am.histc(POINTS, 5, -1, 2), torch.histc(x, 5, -1, 2))


def test_bincount_of_examples_is_as_long_as_minlength():
    x = am.tensor([[0, 1, 1], [2, 2, 3]])
    weights = am.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert am.vmap(lambda x: am.bincount(x, minlength=4))(x).tolist() == [
        [1, 2, 0, 0],
        [0, 0, 2, 1],
    ]
    found = am.jit(am.vmap(lambda x, w: am.bincount(x, w, minlength=4)))(x, weights)
    assert found.tolist() == [[1, 5, 0, 0], [0, 0, 9, 6]]
    with pytest.raises(IndexingError, match=r"bincount: index 3 is out .* of size 3; need"):
        am.vmap(lambda x: am.bincount(x, minlength=3))(x).numpy()
    with pytest.raises(TracingError, match="need sizes that are known: minlength=n"):
        am.vmap(am.bincount)(x)
