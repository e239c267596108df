"""The softmax family against torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError

X = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)


def close(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype.name == str(theirs.dtype)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_rows(name, axis):
    big = X * 100
    theirs = getattr(torch.nn.functional, name)
    close(getattr(am, name)(big, axis), theirs(torch.tensor(big), axis))
    whole = (X * 3).astype(np.int64)
    close(getattr(am, name)(whole, dim=axis, dtype=am.float64),
          theirs(torch.tensor(whole), axis, dtype=torch.float64))  # fmt: skip


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_scalars_and_nothing(name):
    close(getattr(am, name)(3.0, 0), getattr(torch.nn.functional, name)(torch.tensor(3.0), 0))
    assert getattr(am, name)(am.zeros(5, 0, 0), -1).shape == (5, 0, 0)


def test_an_axis_is_needed():
    with pytest.raises(ArgumentError, match="softmax: no axis was given"):
        am.softmax(X)
    with pytest.raises(ArgumentError, match="axis 3 does not exist in 3 dimensions"):
        am.softmax(X, 3)


@pytest.mark.parametrize("axis", [0, -1, (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("keep", [False, True])
def test_logsumexp(axis, keep):
    big = X * 200
    close(am.logsumexp(big, axis, keep), torch.logsumexp(torch.tensor(big), axis, keep))


def test_logsumexp_of_infinities_and_of_nothing():
    x = np.array([[-np.inf, -np.inf], [np.inf, 0], [1, 2]], np.float32)
    close(am.logsumexp(x, 1), torch.logsumexp(torch.tensor(x), 1))
    close(am.logsumexp(am.zeros(3, 0), 1), torch.logsumexp(torch.zeros(3, 0), 1))
    close(am.logsumexp(am.tensor(2.0), 0), torch.logsumexp(torch.tensor(2.0), 0))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin", "logsumexp"])
def test_gradients(name):
    ours, theirs = am.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    (getattr(am, name)(ours, 1) ** 2).sum().backward()
    their = torch.logsumexp if name == "logsumexp" else getattr(torch.nn.functional, name)
    (their(theirs, 1) ** 2).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad, rtol=1e-4, atol=1e-6)


def test_logaddexp():
    x = np.array([1, 2, -np.inf, np.inf, -np.inf, 500, np.nan, 3], np.float32)
    y = np.array([3, -900, -np.inf, np.inf, 4, 500, 1, np.nan], np.float32)
    close(am.logaddexp(x, y), torch.logaddexp(torch.tensor(x), torch.tensor(y)))
    a, b = (np.random.default_rng(n).normal(size=50) * 300 for n in (1, 2))
    ours = [am.tensor(v, requires_grad=True) for v in (a, b)]
    theirs = [torch.tensor(v, requires_grad=True) for v in (a, b)]
    am.logaddexp(*ours).sum().backward()
    torch.logaddexp(*theirs).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.grad.numpy(), other.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.logsumexp(x, 1), lambda m, x: m.logsumexp(x, (0, 1)),
        lambda m, x: m.logcumsumexp(x, 1), lambda m, x: m.logaddexp(x, x.mT @ x),
    ],
)  # fmt: skip
def test_logarithms_of_sums_of_complex_powers(call):
    random = np.random.default_rng(0)
    values = random.standard_normal((4, 4)) + 1j * random.standard_normal((4, 4))

    def run(m):
        x = m.tensor(values, requires_grad=True)
        found = call(m, x)
        (found.abs() ** 2).sum().backward()
        return found.detach().tolist(), x.grad.tolist()

    for ours, theirs in zip(run(am), run(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11)


def test_large_complex_powers_do_not_overflow():
    x = np.array([-np.inf, 2000 + 1j, 2000 + 2j, 0j])
    total = 2000 + np.log(np.exp(1j) + np.exp(2j))
    np.testing.assert_allclose(am.logsumexp(x).numpy(), total)
    np.testing.assert_allclose(am.logaddexp(x[1], x[2]).numpy(), total)
    found = am.logcumsumexp(x, 0).numpy()
    assert found[0].real == -np.inf
    np.testing.assert_allclose(found[1:], [2000 + 1j, total, total])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_logaddexp_keep_their_digits(dtype):
    """Also where the last digit of the result is 1e-3, for equal infinities, and once more."""
    gap = np.array([0.0, 0.25, -3, 8, -150])
    x = am.tensor((1e4 + gap).astype(dtype), requires_grad=True)
    y = am.full_like(x, 1e4)
    (first,) = am.autograd.grad([am.logaddexp(x, y).sum()], [x], create_graph=True)
    (second,) = am.autograd.grad([first.sum()], [x])
    share = 1 / (1 + np.exp(-gap))
    rtol = 1e-6 if dtype == "float32" else 1e-14
    tiny = float(np.finfo(dtype).tiny)
    np.testing.assert_allclose(first.detach().numpy(), share, rtol=rtol, atol=tiny)
    np.testing.assert_allclose(second.numpy(), share / (1 + np.exp(gap)), rtol=rtol, atol=tiny)
    low = am.full((1,), -np.inf, dtype=dtype, requires_grad=True)
    am.logaddexp(low, am.full_like(low, -np.inf)).sum().backward()
    assert low.grad.tolist() == [0.5]
