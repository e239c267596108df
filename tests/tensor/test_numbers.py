"""What numbers are made of, against NumPy and torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError


@pytest.mark.parametrize("decimals", [0, 1, 3, -2])
def test_floats_rounded_to_decimals(decimals):
    x = np.random.default_rng(1).normal(0, 300, 50).astype(np.float32)
    x[:4] = 0.5, -2.5, np.nan, -np.inf
    theirs = torch.round(torch.tensor(x), decimals=decimals)
    np.testing.assert_array_equal(am.round(x, decimals), theirs)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8"])
def test_integers_rounded_to_tens_are_exact(dtype):
    x = np.arange(*((0, 121) if dtype == "uint8" else (-120, 121)), dtype=dtype)
    np.testing.assert_array_equal(am.round(x, decimals=-1), np.round(x.astype(float), -1))
    assert am.round(x, 2).dtype.name == dtype
    large = 2**62 + 150
    assert am.round(am.tensor(large), decimals=-2).item() == round(large, -2)


def test_what_has_no_decimals_stays():
    large = am.tensor([1e38, float("inf")])
    assert am.round(large, decimals=20).tolist() == large.tolist()
    half = am.tensor([0.123, 2.5], dtype=am.float16)
    assert am.round(half, decimals=2).tolist() == am.tensor([0.12, 2.5], dtype=am.float16).tolist()
    with pytest.raises(ArgumentError, match="units of 1000 for int8"):
        am.round(am.tensor([1], dtype=am.int8), decimals=-3)


def test_the_next_number_moves_as_its_neighbour_does():
    x = am.tensor([1.0, -2.0, 0.0], requires_grad=True)
    y = am.tensor([2.0, 5.0, 1.0], requires_grad=True)
    found = am.autograd.grad(am.nextafter(x, y).sum(), [x, y], allow_unused=True)
    assert found[0].tolist() == [1.0, 1.0, 1.0]
    assert found[1] is None
