"""Functions of the elements for which a mask holds, against torch.masked."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import DTypeError, ShapeError

RNG = np.random.default_rng(11)
X = RNG.normal(size=(3, 4, 5)).astype(np.float32)
MASK = RNG.random((3, 4, 5)) < 0.6
MASK[1, 2] = False
MASKS = [None, MASK, MASK[:, :, :1], MASK[0, 1]]
REDUCTIONS = ["sum", "prod", "mean", "amax", "amin", "var", "std", "logsumexp", "norm"]
ROWS = ["softmax", "log_softmax", "softmin", "cumsum", "cumprod"]
pytestmark = pytest.mark.filterwarnings("ignore:.*prototype stage")


def torch_of(x):
    return torch.tensor(x) if isinstance(x, np.ndarray) else x


def call(m, name, x, *args, mask=None, **options):
    function = getattr(m.masked, name)
    return function(x, *args, mask=torch_of(mask) if m is torch else mask, **options)


def same(name, x, *args, rtol=3e-6, **options):
    found = call(am, name, x, *args, **options)
    expected = call(torch, name, torch_of(x), *args, **options)
    assert found.shape == tuple(expected.shape)
    np.testing.assert_allclose(found.numpy(), expected, rtol=rtol, atol=2e-6)


@pytest.mark.parametrize("mask", MASKS, ids=["none", "full", "columns", "row"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name, mask):
    args = (2.0,) if name == "norm" else ()
    for axis in (None, 0, -1, (0, 2)):
        for keep in (False, True):
            same(name, X, *args, dim=axis, keepdim=keep, mask=mask)


@pytest.mark.parametrize("mask", MASKS, ids=["none", "full", "columns", "row"])
@pytest.mark.parametrize("name", [*ROWS, "argmax", "argmin", "median"])
def test_along_an_axis(name, mask):
    for axis in (0, 1, -1):
        same(name, X, axis, mask=mask)


@pytest.mark.parametrize("order", [0, 1, 2.0, 3, np.inf, -np.inf])
def test_norms(order):
    same("norm", X, order, dim=1, mask=MASK)
    if order > 0:
        same("normalize", X, order, dim=1, mask=MASK)


@pytest.mark.parametrize("correction", [0, 1, 1.5])
def test_corrections(correction):
    same("var", X, dim=1, correction=correction, mask=MASK)
    same("std", X, dim=1, correction=correction, mask=MASK)
    same("var", X, 1, False, mask=MASK)


def test_integers():
    x = RNG.integers(-5, 5, (3, 4))
    mask = RNG.random((3, 4)) < 0.5
    for name in ("sum", "prod", "amax", "amin", "var"):
        same(name, x, dim=1, mask=mask)
    small = x.astype(np.int8)
    assert call(am, "cumsum", small, 0, mask=mask).dtype is am.int8
    assert call(am, "sum", small, mask=mask).dtype is am.int64
    assert call(am, "amax", small, 1, mask=np.zeros((3, 4), bool)).tolist() == [-128] * 3
    with pytest.raises(DTypeError, match=r"masked\.mean: got int64; need a floating dtype"):
        am.masked.mean(x)


def test_logaddexp():
    y, other = RNG.normal(size=X.shape).astype(np.float32), RNG.random(X.shape) < 0.5
    found = am.masked.logaddexp(X, y, input_mask=MASK, other_mask=other)
    expected = torch.masked.logaddexp(torch.tensor(X), torch.tensor(y),
                                      input_mask=torch.tensor(MASK),
                                      other_mask=torch.tensor(other))  # fmt: skip
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", [*REDUCTIONS, "softmax", "log_softmax", "cumsum"])
def test_gradients(name):
    args = (2.0,) if name == "norm" else ()
    mask = MASK | (np.arange(5) < 2)
    ours, theirs = am.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    found = call(am, name, ours, *args, dim=1, mask=mask)
    expected = call(torch, name, theirs, *args, dim=1, mask=mask)
    (am.where(am.isfinite(found), found, 0) ** 2).sum().backward()
    (torch.where(torch.isfinite(expected), expected, 0) ** 2).sum().backward()
    finite = torch.nan_to_num(theirs.grad)
    np.testing.assert_allclose(am.nan_to_num(ours.grad).numpy(), finite, rtol=1e-4, atol=1e-5)


def test_a_mask_has_to_broadcast():
    with pytest.raises(ShapeError, match=r"masked.sum: the mask is \(4,\) for \(3, 4, 5\)"):
        am.masked.sum(X, mask=np.ones(4, bool))
    with pytest.raises(ShapeError, match="need one that broadcasts"):
        am.masked.amax(am.zeros(3), mask=np.ones((3, 1), bool))


@pytest.mark.parametrize("name", ["mean", "std", "var", "logsumexp"])
def test_complex_numbers(name):
    """Variances are real, as those of `am.var`; torch.masked gives them a part of zeros."""
    whole = X + 1j * X[::-1]
    for axis in (0, (0, 2)):
        found = call(am, name, am.tensor(whole), axis, mask=MASK)
        expected = call(torch, name, torch.tensor(whole), axis, mask=MASK)
        assert found.dtype.is_complex == (name in ("mean", "logsumexp"))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=2e-6)


def test_gradient_of_complex_logsumexp():
    whole = X[0].astype(np.complex128) + 1j * X[1]
    x, t = am.tensor(whole, requires_grad=True), torch.tensor(whole, requires_grad=True)
    (am.logsumexp(x, 1).real ** 2).sum().backward()
    (torch.logsumexp(t, 1).real ** 2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.resolve_conj().numpy(), atol=1e-12)
