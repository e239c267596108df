"""Running results, against NumPy and torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import AmbosError

RNG = np.random.default_rng(5)
SHAPES = [((7,), 0), ((5000,), 0), ((3, 40), 1), ((40, 3), 0), ((4, 30, 17), 1), ((2, 0), 1)]
NAMES = ["cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"]
PAIRS = ["cummax", "cummin"]


def values(m, name, x, axis):
    found = getattr(m, name)(x, axis)
    return found.values if name in PAIRS else found


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_match_torch(name, shape, axis):
    x = RNG.normal(size=shape)
    if name == "cumprod":
        x = 1 + 0.1 * x
    g = RNG.normal(size=shape)
    a, b = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found, expected = values(am, name, a, axis), values(torch, name, b, axis)
    np.testing.assert_allclose(found.numpy(), expected.detach(), rtol=1e-11, atol=1e-12)
    (found * am.tensor(g)).sum().backward()
    (expected * torch.tensor(g)).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad, rtol=1e-9, atol=1e-10)


def test_products_with_zeros_have_finite_gradients():
    x = np.array([2.0, 0.0, 3.0, 0.0, 5.0])
    a, b = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    am.cumprod(a, 0).sum().backward()
    torch.cumprod(b, 0).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad)


def test_extremes_send_the_gradient_to_the_last_of_equals():
    x = np.array([1.0, 3.0, 3.0, 2.0])
    a, b = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    am.cummax(a, axis=0).sum().backward()
    torch.cummax(b, 0).values.sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("axis", [0, 1])
def test_extremes_say_where_they_are(name, axis):
    x = RNG.integers(0, 9, (40, 30)).astype(np.float32)
    x[7, 3] = x[20, 3] = x[9, 9] = np.nan
    for given in (x, np.nan_to_num(x).astype(np.int32), x > 4):
        found = getattr(am, name)(given, axis)
        expected = getattr(torch, name)(torch.tensor(given), axis)
        assert found.values.dtype.name == str(given.dtype)
        assert found.indices.dtype is am.int64
        np.testing.assert_array_equal(found.values.numpy(), expected.values)
        np.testing.assert_array_equal(found.indices.numpy(), expected.indices)
    ufunc = np.maximum if name == "cummax" else np.minimum
    np.testing.assert_array_equal(getattr(am, name)(x, axis=axis).numpy(),
                                  ufunc.accumulate(x, axis))  # fmt: skip


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "uint64", "float16", "float32"])
def test_dtypes(dtype):
    x = RNG.integers(0, 2, (3, 50)).astype(dtype)
    found = am.cumsum(am.tensor(x), 1)
    assert found.dtype.name == (dtype if "float" in dtype else str(np.cumsum(x, 1).dtype))
    np.testing.assert_array_equal(found.numpy(), np.cumsum(x, 1))
    np.testing.assert_array_equal(am.cummax(am.tensor(x), axis=1), np.maximum.accumulate(x, 1))
    assert am.cumsum(am.tensor(x), 1, dtype=am.float32).dtype is am.float32


def test_logarithms_of_running_sums_do_not_overflow():
    x = np.array([-np.inf, -np.inf, 1000, 1000, -1000, np.inf, np.inf, 3], np.float32)
    expected = torch.logcumsumexp(torch.tensor(x), 0)
    np.testing.assert_allclose(am.logcumsumexp(x, 0).numpy(), expected, rtol=1e-6)
    rows = RNG.normal(size=(3, 9000)).astype(np.float32) * 20
    exact = np.logaddexp.accumulate(rows.astype(np.float64), 1)
    np.testing.assert_allclose(am.logcumsumexp(rows, 1).numpy(), exact, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(am.logcumsumexp(rows.T.copy(), 0).numpy().T, exact, rtol=2e-6,
                               atol=2e-6)  # fmt: skip


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_logarithms_of_running_sums_have_finite_gradients(scale):
    x, g = RNG.normal(size=(4, 50)) * scale, RNG.normal(size=(4, 50))
    a, b = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    (am.logcumsumexp(a, 1) * am.tensor(g)).sum().backward()
    (torch.logcumsumexp(b, 1) * torch.tensor(g)).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad, rtol=1e-9, atol=1e-10)


def test_differences_with_more_at_the_ends():
    x = RNG.normal(size=(3, 5))
    np.testing.assert_allclose(am.diff(x, prepend=0, append=am.tensor(x[:, :1])).numpy(),
                               np.diff(x, prepend=0, append=x[:, :1]))  # fmt: skip
    with pytest.raises(AmbosError, match="diff: n is -1; need an integer"):
        am.diff(x, -1)


@pytest.mark.parametrize("n", [3, 4, 9])
def test_more_differences_than_elements_leave_none(n):
    x = np.ones((2, 3))
    assert am.diff(x, n).shape == np.diff(x, n).shape == (2, 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_logarithms_of_running_sums_keep_their_digits(dtype):
    """Near 1e4 neighbours are 1e-3 apart in float32; the gradients are as good as elsewhere."""
    random = np.random.default_rng(0)
    x, weight = random.integers(-4, 5, (50,)), random.standard_normal(50)
    small = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(torch.logcumsumexp(small, 0), small, torch.tensor(weight))
    ours = am.tensor((x + 1e4).astype(dtype), requires_grad=True)
    am.logcumsumexp(ours, 0).backward(am.tensor(weight.astype(dtype)))
    bound = 5e-6 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(ours.grad.numpy(), wanted, rtol=bound, atol=bound / 10)


@pytest.mark.parametrize("reverse", [False, True])
def test_second_derivatives_of_logarithms_of_running_sums(reverse):
    values = np.random.default_rng(0).standard_normal((3, 6))

    def run(m, flip):
        x = m.tensor(values, requires_grad=True)
        turned = flip(x) if reverse else x
        (first,) = m.autograd.grad([(m.logcumsumexp(turned, 1) ** 2).sum()], [x], create_graph=True)
        return m.autograd.grad([(first**2).sum()], [x])[0]

    theirs = run(torch, lambda x: torch.flip(x, (1,)))
    np.testing.assert_allclose(run(am, lambda x: am.flip(x, 1)).numpy(), theirs, rtol=1e-10)


def test_infinities_have_gradients_in_logarithms_of_running_sums():
    """By the definition: of equal infinities each has its share."""
    low, high = -np.inf, np.inf
    for values, wanted in (
        ([low, 0.0], [1, 1]),
        ([low, low], [1.5, 0.5]),
        ([1, high, 2], [1, 2, 0]),
    ):
        x = am.tensor(values, dtype=am.float64, requires_grad=True)
        am.logcumsumexp(x, 0).sum().backward()
        assert x.grad.tolist() == wanted


def test_without_an_axis_and_errors():
    np.testing.assert_array_equal(am.cumsum([[1, 2], [3, 4]]).numpy(), [1, 3, 6, 10])
    assert am.cumsum(am.tensor(3.0)).item() == 3.0
    assert am.cummax(3.0, 0).indices.item() == 0
    for name in NAMES:
        with pytest.raises(AmbosError, match=f"{name}: axis 2 does not exist in 2 dimensions"):
            getattr(am, name)(am.zeros(2, 3), 2)
        with pytest.raises(AmbosError, match=f"{name}: axis 1 does not exist"):
            getattr(am, name)(am.tensor(3.0), 1)
