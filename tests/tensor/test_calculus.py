"""Integrals, derivatives and covariances of samples, against NumPy."""

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(0)
Y = RNG.standard_normal((4, 7))
PLACES = np.cumsum(RNG.random(7) + 0.1)


def close(ours, theirs):
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12, atol=1e-12)


def test_trapezoid():
    y = am.tensor(Y)
    close(am.trapezoid(y), np.trapezoid(Y))
    close(am.trapezoid(y, dx=0.5, axis=0), np.trapezoid(Y, dx=0.5, axis=0))
    close(am.trapezoid(y, am.tensor(PLACES)), np.trapezoid(Y, PLACES))
    steps = (Y[:, 1:] + Y[:, :-1]) / 2 * np.diff(PLACES)
    close(am.cumulative_trapezoid(y, am.tensor(PLACES)), np.cumsum(steps, -1))


@pytest.mark.parametrize("edge", [1, 2])
def test_gradient(edge):
    for spacing in (1.0, 0.25, PLACES):
        ours = am.gradient(am.tensor(Y), spacing=[0.5, spacing], edge_order=edge)
        theirs = np.gradient(Y, 0.5, spacing, edge_order=edge)
        for x, y in zip(ours, theirs, strict=True):
            close(x, y)
    for x, y in zip(am.gradient(am.tensor(Y), 0.5), np.gradient(Y, 0.5), strict=True):
        close(x, y)
    (only,) = am.gradient(am.tensor(Y), PLACES, axis=1, edge_order=edge)
    close(only, np.gradient(Y, PLACES, axis=1, edge_order=edge))
    (only,) = am.gradient(am.tensor(Y), axis=1, edge_order=edge)
    close(only, np.gradient(Y, axis=1, edge_order=edge))


def test_covariance():
    y, times = am.tensor(Y), RNG.integers(1, 4, 7)
    close(am.cov(y), np.cov(Y))
    close(am.cov(y, correction=0), np.cov(Y, ddof=0))
    close(am.cov(y, fweights=am.tensor(times)), np.cov(Y, fweights=times))
    close(am.cov(y, aweights=am.tensor(PLACES)), np.cov(Y, aweights=PLACES))
    close(am.cov(y[0]), np.cov(Y[0]))
    weighted = am.jit(lambda y, times: am.cov(y, fweights=times))
    close(weighted(y, am.tensor(times)), np.cov(Y, fweights=times))
    with pytest.raises(ArgumentError, match="need none below 0"):
        weighted(y, am.tensor(-times))
    close(am.corrcoef(y), np.corrcoef(Y))
    turned = Y + 1j * Y[::-1]
    close(am.cov(am.tensor(turned)), np.cov(turned))
    weights = {"fweights": times, "aweights": PLACES}
    found = am.cov(am.tensor(turned), **{name: am.tensor(w) for name, w in weights.items()})
    close(found, np.cov(turned, **weights))
    close(am.corrcoef(am.tensor(turned)), np.corrcoef(turned))


def test_errors():
    with pytest.raises(ShapeError, match="gradient: axis 0"):
        am.gradient(am.ones(2), edge_order=2)
    with pytest.raises(ArgumentError, match="gradient: 1 spacings for 2 axes"):
        am.gradient(am.ones(3, 3), spacing=[0.5])
    with pytest.raises(ArgumentError, match="both x and dx"):
        am.trapezoid(am.ones(3), am.ones(3), dx=1)
    with pytest.raises(ShapeError, match="cov: fweights"):
        am.cov(am.ones(2, 3), fweights=am.tensor([1, 2]))
