"""Medians and quantiles against torch and NumPy."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4, 7)).astype(np.float32)
HOLES = np.where(RNG.random(X.shape) < 0.3, np.nan, X).astype(np.float32)
HOLES[1, 2] = np.nan
METHODS = [
    "linear", "lower", "higher", "nearest", "midpoint", "inverted_cdf", "averaged_inverted_cdf",
    "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull", "median_unbiased",
    "normal_unbiased",
]  # fmt: skip


def close(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("values", [X, HOLES], ids=["numbers", "holes"])
@pytest.mark.parametrize("name", ["median", "nanmedian"])
@pytest.mark.parametrize("keep", [False, True])
def test_medians_of_torch(name, values, keep):
    x = torch.tensor(values)
    for axis in (0, 1, -1):
        ours = getattr(am, name)(values, dim=axis, keepdim=keep)
        theirs = getattr(torch, name)(x, dim=axis, keepdim=keep)
        close(ours.values, theirs.values)
        missing = torch.isnan(theirs.values)  # of several NaN torch takes any
        known = np.where(missing, 0, theirs.indices)
        np.testing.assert_array_equal(np.where(missing, 0, ours.indices.numpy()), known)
    close(getattr(am, name)(values), getattr(torch, name)(x))


@pytest.mark.parametrize("name", ["median", "nanmedian"])
@pytest.mark.parametrize("axis", [0, -1, (0, 2), None])
@pytest.mark.filterwarnings("ignore:All-NaN")
def test_medians_of_numpy(name, axis):
    for values in (X, HOLES):
        close(getattr(am, name)(values, axis=axis), getattr(np, name)(values, axis=axis))
        close(getattr(am, name)(values, axis=axis, keepdims=True),
              getattr(np, name)(values, axis=axis, keepdims=True))  # fmt: skip


def test_medians_of_integers():
    x = RNG.integers(-9, 9, (5, 6))
    found, expected = am.median(x, 1), torch.median(torch.tensor(x), 1)
    np.testing.assert_array_equal(found.values.numpy(), expected.values)
    np.testing.assert_array_equal(np.take_along_axis(x, found.indices.numpy()[:, None], 1)[:, 0],
                                  expected.values)  # fmt: skip
    close(am.median(x, axis=1), np.median(x, axis=1).astype(np.float32))


def test_medians_of_scalars_and_of_nothing():
    assert am.median(3.0).item() == 3
    assert am.median(3.0, 0).indices.item() == 0
    with pytest.raises(ShapeError, match=r"median: axis .* has no elements"):
        am.median(am.zeros(2, 0), 1)


@pytest.mark.parametrize("method", METHODS)
def test_every_interpolation(method):
    shares = np.array([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.61, 0.75, 0.999, 1.0])
    for size in (1, 2, 5, 8):
        x = RNG.normal(size=(3, size)).astype(np.float64)
        close(am.quantile(x, shares.tolist(), 1, interpolation=method),
              np.quantile(x, shares, 1, method=method))  # fmt: skip
        close(am.quantile(x, 0.4, method=method), np.quantile(x, 0.4, method=method))


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "nearest", "midpoint"])
@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
def test_quantiles_of_torch(name, method):
    shares = torch.tensor([0.0, 0.3, 0.5, 1.0])
    for values in (X, HOLES):
        for axis, keep in ((None, False), (1, True), (-1, False)):
            ours = getattr(am, name)(values, shares.tolist(), dim=axis, keepdim=keep,
                                     interpolation=method)  # fmt: skip
            theirs = getattr(torch, name)(torch.tensor(values), shares, dim=axis, keepdim=keep,
                                          interpolation=method)  # fmt: skip
            close(ours, theirs)


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_shapes_and_spellings_of_numpy():
    shares = np.array([[0.2, 0.5], [0.7, 1.0]], np.float32)
    close(am.quantile(X, shares, axis=(0, 2)), np.quantile(X, shares, axis=(0, 2)))
    close(am.quantile(am.tensor(X), am.tensor(shares), axis=0, keepdims=True),
          np.quantile(X, shares, axis=0, keepdims=True))  # fmt: skip
    close(am.percentile(X, 35, axis=1), np.percentile(X, 35, axis=1))
    close(am.nanpercentile(HOLES, [20, 80], axis=1), np.nanpercentile(HOLES, [20, 80], axis=1))


def test_infinities_stay():
    x = np.array([-np.inf, -np.inf, 0, np.inf, np.inf], np.float32)
    assert am.quantile(x, [0.1, 0.5, 0.9]).tolist() == [-np.inf, 0, np.inf]


@pytest.mark.parametrize("call", [
    lambda m, x: m.median(x, dim=1).values, lambda m, x: m.nanmedian(x, dim=0).values,
    lambda m, x: m.quantile(x, 0.3, dim=1), lambda m, x: m.nanquantile(x, 0.77, dim=-1),
    lambda m, x: m.quantile(x, 0.5, interpolation="midpoint"), lambda m, x: m.median(x),
])  # fmt: skip
def test_gradients(call):
    for values in (X.astype(np.float64), HOLES.astype(np.float64)):
        ours = am.tensor(values, requires_grad=True)
        theirs = torch.tensor(values, requires_grad=True)
        a, b = call(am, ours), call(torch, theirs)
        (am.nan_to_num(a) ** 2).sum().backward()
        (torch.nan_to_num(b) ** 2).sum().backward()
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad, rtol=1e-10, atol=1e-10)


def test_errors():
    with pytest.raises(ArgumentError, match=r"quantile: q is 1.5; need 0 <= q <= 1"):
        am.quantile(X, 1.5)
    with pytest.raises(ArgumentError, match=r"percentile: q is -1; need 0 <= q <= 100"):
        am.percentile(X, -1)
    with pytest.raises(ArgumentError, match="quantile: interpolation 'cubic'; need one of linear"):
        am.quantile(X, 0.5, interpolation="cubic")
    with pytest.raises(ShapeError, match=r"quantile: axis .* has no elements; need one"):
        am.quantile(am.zeros(0, 3), 0.5, 0)


@pytest.mark.parametrize("q", [0.3, [0.1, 0.9], np.array([0.5])], ids=str)
def test_shares_that_are_numbers_under_jit(q):
    x = am.tensor(X)
    assert am.jit(lambda x: am.quantile(x, q, 1))(x).tolist() == am.quantile(x, q, 1).tolist()
