"""Lengths of vectors, against torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError

RNG = np.random.default_rng(2)
X = RNG.normal(size=(3, 4, 5)).astype(np.float32)
T = torch.tensor(X)
ORDERS = [0, 0.5, 1, 2, 3, 3.5, -0.5, -1, -2, float("inf"), -float("inf")]


def close(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype.name == str(theirs.dtype)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=5e-6, atol=1e-6)


@pytest.mark.parametrize("p", ORDERS)
def test_orders(p):
    close(am.norm(X, p), torch.norm(T, p))
    for axis, keep in ((1, False), ((0, 2), True), (-1, True)):
        close(am.norm(X, p, axis, keep), torch.linalg.vector_norm(T, p, axis, keep))


def test_frobenius_and_dtypes():
    close(am.norm(X), torch.norm(T))
    close(am.norm(X, "fro", dim=(0, 1)), torch.norm(T, "fro", dim=(0, 1)))
    close(am.norm(X, dtype=am.float64), torch.norm(T, dtype=torch.float64))
    assert am.norm(am.tensor(-3.0), 1, 0).item() == 3
    with pytest.raises(ArgumentError, match="norm: order 'max'; need a number, 'fro' or 'nuc'"):
        am.norm(X, "max")


@pytest.mark.parametrize("p", ORDERS)
def test_gradients(p):
    x = X.astype(np.float64)
    ours, theirs = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    am.norm(ours, p, 1).sum().backward()
    torch.linalg.vector_norm(theirs, p, 1).sum().backward()
    expected = np.zeros_like(x) if theirs.grad is None else theirs.grad
    np.testing.assert_allclose(ours.grad.numpy(), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("p", [0.5, 1, 2, 3])
def test_gradients_at_zero(p):
    x = np.array([[0.0, 0.0], [0.0, 4.0]])
    ours, theirs = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    am.norm(ours, p, 1).sum().backward()
    torch.linalg.vector_norm(theirs, p, 1).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad)


@pytest.mark.parametrize("p", [0, 1, 2, 4, float("inf")])
def test_distances(p):
    y = RNG.normal(size=(4, 1)).astype(np.float32)
    close(am.dist(X, y, p), torch.dist(T, torch.tensor(y), p))


@pytest.mark.parametrize("p", [0.5, 1, 2, float("inf")])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_renorm(p, axis):
    for limit in (0.0, 0.5, 2.0, 100.0):
        close(am.renorm(X, p, axis, limit), torch.renorm(T, p, axis, limit))
    x = X.astype(np.float64)
    ours, theirs = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    (am.renorm(ours, p, axis, 1.0) ** 2).sum().backward()
    (torch.renorm(theirs, p, axis, 1.0) ** 2).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, -1.0, 0.0])
def test_normalize(p):
    for axis in (0, 1, -1):
        close(am.normalize(X, p, axis), torch.nn.functional.normalize(T, p, axis))
    close(am.normalize(X, p, 1, eps=3.0), torch.nn.functional.normalize(T, p, 1, eps=3.0))


def test_errors():
    with pytest.raises(ArgumentError, match="renorm: p is 0 and maxnorm 1; need p > 0"):
        am.renorm(X, 0, 0, 1)
