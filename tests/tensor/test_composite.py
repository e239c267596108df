"""Composite elementwise functions at the edges of their domains."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentError


@pytest.mark.parametrize("name", ["asinh", "acosh"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inverse_hyperbolics_of_huge_numbers(name, dtype):
    x = np.array([1.0, 1.5, 1e5, 1e10, 1e30, 3e38, np.inf], dtype)
    x = np.concatenate([x, -x, np.zeros(1, dtype)]) if name == "asinh" else x
    found = getattr(am, name)(am.tensor(x)).numpy()
    np.testing.assert_allclose(found, getattr(np, "arc" + name[1:])(x.astype(np.float64)), 1e-6)


def test_gradients_at_bounds_and_zero():
    x = am.tensor([0.0, 0.5, 1.0, 2.0], requires_grad=True)
    x.clip(0, 1).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0, 0.0]
    y = am.tensor([0.0, 1e30], requires_grad=True)
    am.asinh(y).sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), [1.0, 1e-30], 1e-6)


def test_softmax_of_nothing_is_nothing():
    assert am.softmax(am.zeros(3, 0), -1).shape == (3, 0)
    assert am.log_softmax(am.zeros(3, 0), -1).shape == (3, 0)


@pytest.mark.parametrize("name", ["rtol", "atol"])
def test_tolerances_are_not_negative(name):
    for value in (-0.4, float("nan")):
        with pytest.raises(ArgumentError, match=f"isclose: {name} is .*; need a number >= 0"):
            am.isclose(am.ones(2), am.ones(2), **{name: value})
