"""Composite elementwise functions at the edges of their domains."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import torch

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


@pytest.mark.parametrize("weight", [0.25, 0.9, 0.3 + 0.2j, 2j])
def test_lerp_of_complex_numbers(weight):
    x, y = np.array([1 + 2j, 0.5j]), np.array([-1 + 1j, 3 + 0j])
    theirs = torch.lerp(torch.tensor(x), torch.tensor(y), weight)
    np.testing.assert_allclose(am.lerp(x, y, weight).numpy(), theirs)


def test_angles_have_gradients_at_and_near_the_origin():
    """1 / r near it, whose square would be no float32; 0 at it, as in PyTorch."""
    y, x = am.tensor([0.0, 1e-30, -3e20], requires_grad=True), am.tensor([0.0, 1e-30, 4e20])
    am.atan2(y, x).sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), [0, 5e29, 1.6e-21], rtol=1e-6)
    for values in ([0.0, 1e-30, -2.0], [0j, 2j]):
        x = am.tensor(values, requires_grad=True)
        am.angle(x).sum().backward()
        assert x.grad.tolist() == ([0, 0, 0] if len(values) == 3 else [0, -0.5])


def test_small_values_of_sigmoid_keep_their_digits():
    x = np.array([-80.0, -30.0, -17.5, -8.5, 0.0, 8.5, 90.0], np.float32)
    mine = am.tensor(x, requires_grad=True)
    found = am.sigmoid(mine)
    exact = scipy.special.expit(x.astype(np.float64))
    np.testing.assert_allclose(found.detach().numpy(), exact, rtol=2e-7)
    found.sum().backward()
    np.testing.assert_allclose(mine.grad.numpy()[:5], (exact * (1 - exact))[:5], rtol=1e-6)
    half = am.sigmoid(am.tensor(x[3:5]).to("bfloat16"))
    np.testing.assert_allclose(half.float().numpy(), exact[3:5], rtol=2**-8)


def test_fmod_has_a_slope_at_zero():
    values = np.array([0.0, -0.0, 0.3, -0.3, 1.5, -1.5], np.float32)
    x, t = am.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    found, expected = am.fmod(x, 0.7), torch.fmod(t, 0.7)
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), rtol=1e-6)
    found.sum().backward()
    expected.sum().backward()
    assert x.grad.tolist() == t.grad.tolist()
