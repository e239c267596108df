"""Fractions and powers of two, bit by bit against NumPy."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import DTypeError

NUMBERS = {
    "float32": [0.0, -0.0, 1.0, -3.5, 2.0**-126, 2.0**-149, 3e38, 0.1, np.inf, -np.inf, np.nan],
    "float64": [0.0, 1.0, -7.25, 2.0**-1022, 5e-324, 1.7e308, 0.3, np.inf, np.nan],
}


@pytest.mark.parametrize("dtype", NUMBERS)
def test_frexp(dtype):
    powers = np.ldexp(1.0, np.arange(-100, 100))
    x = np.concatenate([NUMBERS[dtype], powers, np.nextafter(powers, 0)]).astype(dtype)
    found, (mantissa, exponent) = am.frexp(am.tensor(x)), np.frexp(x)
    np.testing.assert_array_equal(found.mantissa.numpy(), mantissa)
    finite = np.isfinite(x)
    np.testing.assert_array_equal(found.exponent.numpy()[finite], exponent[finite])


@pytest.mark.parametrize("dtype", NUMBERS)
def test_ldexp(dtype):
    x = np.array(NUMBERS[dtype], dtype)[:, None]
    n = np.array([-2000, -140, -3, 0, 1, 100, 2000])
    with np.errstate(all="ignore"):
        wanted = np.ldexp(x, n)
    found = am.ldexp(am.tensor(x), am.tensor(n)).numpy()
    normal = ~(np.abs(wanted) < np.finfo(dtype).tiny) | (wanted == 0)
    np.testing.assert_array_equal(found[normal], wanted[normal])


def test_precision_and_order():
    assert am.float_power(am.tensor([2, 3]), 0.5).dtype is am.float64
    np.testing.assert_allclose(am.float_power(am.tensor([2, 3]), 0.5).numpy(), [2**0.5, 3**0.5])
    assert am.rsub(am.tensor([1, 2]), 10, alpha=3).tolist() == [7, 4]
    assert am.positive(am.tensor([-1])).tolist() == [-1]
    with pytest.raises(DTypeError, match="positive: got bool"):
        am.positive(am.tensor([True]))
    with pytest.raises(DTypeError, match="frexp: got int64"):
        am.frexp(am.tensor([1]))


@pytest.mark.parametrize("name", ["float_power", "ldexp"])
def test_complex_numbers(name):
    x = np.array([1 + 2j, -0.5 + 1j, 3 - 1j], np.complex64)
    for y in (np.array([2, 0, 3]), np.array([0.5, -1, 2j], np.complex64)):
        ours = getattr(am, name)(x, y)
        theirs = getattr(torch, name)(torch.tensor(x), torch.tensor(y))
        assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-6)
