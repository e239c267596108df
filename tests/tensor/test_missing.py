"""Reductions that leave NaN out, against NumPy and torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import DTypeError

RNG = np.random.default_rng(9)
X = np.where(RNG.random((3, 4, 5)) < 0.4, np.nan, RNG.normal(size=(3, 4, 5))).astype(np.float32)
X[1, 2] = np.nan
pytestmark = [
    pytest.mark.filterwarnings("ignore:All-NaN"),
    pytest.mark.filterwarnings("ignore:Mean of empty"),
    pytest.mark.filterwarnings("ignore:Degrees of freedom"),
]  # fmt: skip


def close(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", ["nansum", "nanmean", "nanprod", "nanmax", "nanmin"])
def test_over_axes(name, axis, keep):
    close(getattr(am, name)(X, axis=axis, keepdims=keep),
          getattr(np, name)(X, axis=axis, keepdims=keep))  # fmt: skip


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
@pytest.mark.parametrize("correction", [0, 1, 2])
@pytest.mark.parametrize("name", ["nanvar", "nanstd"])
def test_spread(name, axis, correction):
    close(getattr(am, name)(X, axis=axis, correction=correction),
          getattr(np, name)(X, axis=axis, ddof=correction))  # fmt: skip
    close(getattr(am, name)(X, axis=axis), getattr(np, name)(X, axis=axis))


def test_positions_and_running_results():
    filled = np.where(np.isnan(X).all(-1, keepdims=True), 0, X)
    for name in ("nanargmax", "nanargmin"):
        close(getattr(am, name)(filled, -1), getattr(np, name)(filled, -1))
    for name in ("nancumsum", "nancumprod"):
        close(getattr(am, name)(X, 1), getattr(np, name)(X, 1))


def test_integers_have_none():
    x = np.arange(6).reshape(2, 3)
    assert am.nansum(x).item() == 15
    assert am.nanmax(x).dtype is am.int64
    with pytest.raises(DTypeError, match="nanmean: got int64; need a floating dtype"):
        am.nanmean(x)


@pytest.mark.parametrize("name", ["nansum", "nanmean"])
def test_gradients_match_torch(name):
    ours, theirs = am.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    (am.nan_to_num(getattr(am, name)(ours, 1)) ** 2).sum().backward()
    (torch.nan_to_num(getattr(torch, name)(theirs, 1)) ** 2).sum().backward()
    np.testing.assert_allclose(am.nan_to_num(ours.grad).numpy(), torch.nan_to_num(theirs.grad),
                               rtol=1e-5, atol=1e-6)  # fmt: skip


def test_what_is_left_out_has_no_gradient():
    x = am.tensor([1.0, float("nan"), 4.0], requires_grad=True)
    am.nanvar(x, correction=1).backward()
    np.testing.assert_allclose(x.grad.numpy(), [-3, 0, 3])
