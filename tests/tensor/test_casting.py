"""Casts that would lose a value: errors at the door, NumPy's values otherwise."""

import warnings

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import DTypeError

NAN, INF = float("nan"), float("inf")

LOST = [
    ([NAN], "int32"), ([INF], "int64"), ([-INF], "uint8"), ([1.5], "int32"), (1.5, "int8"),
    ([300], "int8"), (300, "uint8"), ([-1], "uint8"), ([1e10], "int32"), ([2.0**63], "int64"),
    (np.array([2**63], np.uint64), "int64"), (np.array([-1], np.int8), "uint64"),
    ([70_000.0], "float16"), ([1e300], "float32"), (np.array([0.5], np.float16), "int64"),
]  # fmt: skip


@pytest.mark.parametrize("make", [am.tensor, am.asarray, am.Tensor])
@pytest.mark.parametrize(("data", "dtype"), LOST, ids=str)
def test_data_has_to_fit_the_dtype(make, data, dtype):
    with pytest.raises(DTypeError, match=rf"tensor: .*{dtype}.*; need .*test_casting.py"):
        make(data, dtype=dtype)


KEPT = [
    ([1.0, -2.0], "int32"), ([127, -128], "int8"), ([True, False], "uint8"), ([0, 255], "uint8"),
    ([2**63 - 1, -(2**63)], "int64"), ([-(2.0**63)], "int64"), ([0.1], "float64"),
    ([NAN, INF, -INF], "float16"), ([0, 2], "bool"), ([], "int8"), ([65_504.0], "float16"),
    (0.1, "float64"), (3, "float32"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "dtype"), KEPT, ids=str)
def test_data_that_fits_is_what_torch_makes_of_it(data, dtype):
    ours = am.tensor(data, dtype=dtype)
    theirs = torch.tensor(data, dtype=getattr(torch, dtype)).numpy()
    assert ours.dtype.name == dtype
    np.testing.assert_array_equal(ours.numpy(), theirs)


def test_bfloat16_from_numbers():
    assert am.tensor([1.0, 0.1], dtype="bfloat16").tolist() == [1.0, 0.10009765625]


def test_explicit_casts_of_known_values():
    assert am.tensor([-1.5, 2.5]).int().tolist() == [-1, 2]
    assert am.tensor([127.9, -128.9]).astype("int8").tolist() == [127, -128]
    for bad in (NAN, INF, 300.0, -129.0):
        with pytest.raises(DTypeError, match=r"astype: .* as int8; need .*nan_to_num"):
            am.tensor([0.0, bad]).astype("int8")
    with pytest.raises(DTypeError):
        am.tensor([NAN]).int()
    with pytest.raises(DTypeError):
        am.tensor([NAN]).to("int64")
    assert am.tensor([NAN]).bool().tolist() == [True]


def test_casts_of_what_is_still_to_be_computed_saturate():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lazy = am.tensor([NAN, 1e10, -1e10, 2.9]) * 1.0
        assert lazy.int().tolist() == [0, 2**31 - 1, -(2**31), 2]


@pytest.mark.parametrize("call", [
    lambda: am.zeros(10**10, 10**10), lambda: am.ones((2**62,)), lambda: am.full((2**40,) * 3, 1),
    lambda: am.zeros(2**40, 1).expand(2**40, 2**40), lambda: am.arange(2**61),
    lambda: am.zeros(2**31, 1) + am.zeros(1, 2**31),
])  # fmt: skip
def test_sizes_beyond_64_bits(call):
    with pytest.raises(am.core.errors.ShapeError, match=r"too large; need .*test_casting.py"):
        call()


def test_large_shapes_may_be_described():
    assert am.zeros(10**6, 10**6).shape == (10**6, 10**6)
    assert am.zeros(0, 10**10, 10**10).shape == (0, 10**10, 10**10)
