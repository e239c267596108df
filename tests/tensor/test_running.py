"""Running results, against NumPy and torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import AmbosError

RNG = np.random.default_rng(5)
SHAPES = [((7,), 0), ((5000,), 0), ((3, 40), 1), ((40, 3), 0), ((4, 30, 17), 1), ((2, 0), 1)]
NAMES = ["cumsum", "cumprod", "cummax", "cummin"]


def theirs(name, x, axis):
    found = getattr(torch, name)(x, axis)
    return found if name in ("cumsum", "cumprod") else found.values


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_match_torch(name, shape, axis):
    x = RNG.normal(size=shape)
    if name == "cumprod":
        x = 1 + 0.1 * x
    g = RNG.normal(size=shape)
    a, b = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found, expected = getattr(am, name)(a, axis), theirs(name, b, axis)
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
    am.cummax(a, 0).sum().backward()
    torch.cummax(b, 0).values.sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "uint64", "float16", "float32"])
def test_dtypes(dtype):
    x = RNG.integers(0, 2, (3, 50)).astype(dtype)
    found = am.cumsum(am.tensor(x), 1)
    wide = {"float16": "float16", "float32": "float32", "uint64": "uint64"}.get(dtype, "int64")
    assert found.dtype.name == wide
    np.testing.assert_array_equal(found.numpy(), np.cumsum(x, 1))
    np.testing.assert_array_equal(am.cummax(am.tensor(x), 1), np.maximum.accumulate(x, 1))
    assert am.cumsum(am.tensor(x), 1, dtype=am.float32).dtype is am.float32


def test_without_an_axis_and_errors():
    np.testing.assert_array_equal(am.cumsum([[1, 2], [3, 4]]).numpy(), [1, 3, 6, 10])
    assert am.cumsum(am.tensor(3.0)).item() == 3.0
    with pytest.raises(AmbosError, match="cumsum"):
        am.cumsum(am.zeros(2, 3), 2)
