"""Rows that are copied natively, against NumPy."""

import numpy as np
import pytest
import torch

from ambos.runtime.rows import Taking, in_pieces, is_finite

STREAM = np.random.RandomState(0)
DTYPES = ["bool", "int8", "uint16", "int32", "int64", "float16", "float32", "float64"]
FLOATS = DTYPES[-3:]
ORDER = STREAM.permutation(9).astype(np.int64)
WIDTHS = [(), (1,), (3,), (7,), (8,), (13,), (33, 2), (0,)]


def rows_of(dtype, shape, count=9):
    return STREAM.randint(0, 2 if dtype == "bool" else 100, (count, *shape)).astype(dtype)


def taken(columns, first, count, order=None):
    found = [np.empty((count, *column.shape[1:]), column.dtype) for column in columns]
    take = Taking(columns, [each.ctypes.data for each in found])
    return take(first, count, None if order is None else order.ctypes.data), found


@pytest.mark.parametrize("shape", WIDTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_those_of_numpy(dtype, shape):
    columns = [rows_of(dtype, shape), rows_of("int64", ()), rows_of("float32", (5,))]
    for order, where in ((None, slice(2, 8)), (ORDER, ORDER[2:8])):
        spoiled, found = taken(columns, 2, 6, order)
        assert not spoiled
        for column, each in zip(columns, found, strict=True):
            np.testing.assert_array_equal(each, column[where])


def test_rows_that_lie_apart_or_backwards_or_in_one_place():
    table = rows_of("float32", (8,))
    views = [table[:, 2:5], table[::-1], table[::2], np.broadcast_to(table[0], (9, 8))]
    for view in views:
        assert in_pieces(view) is view
        for order, where in ((None, slice(1, 4)), (ORDER % len(view), ORDER[1:4] % len(view))):
            _, (found,) = taken([view], 1, 3, order)
            np.testing.assert_array_equal(found, view[where])
    columns = in_pieces(np.asfortranarray(table))
    assert columns.flags.c_contiguous
    np.testing.assert_array_equal(columns, table)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 16, 31, 40])
@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_not_finite_is_found_wherever_it_is(dtype, width):
    good, rows = rows_of("int64", ()), rows_of(dtype, (width,))
    for place in range(width):
        for wrong in (np.nan, np.inf, -np.inf):
            spoilt = rows.copy()
            spoilt[ORDER[4], place] = wrong
            assert not is_finite(spoilt)
            assert not is_finite(spoilt[ORDER[4]])
            assert taken([good, spoilt], ORDER[4], 1)[0] == 2
            assert taken([good, spoilt, spoilt], 3, 3, ORDER)[0] == 2
            assert taken([good, spoilt], 5, 4, ORDER)[0] == 0
            assert Taking([spoilt], [spoilt.copy().ctypes.data], takes_nan=True)(0, 0) == 0


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_largest_and_the_smallest_are_finite(dtype):
    facts = np.finfo(dtype)
    found = np.array([facts.max, facts.min, facts.tiny, facts.smallest_subnormal, -0.0] * 7, dtype)
    assert is_finite(found)
    assert taken([found[:, None]], 0, 35)[0] == 0


def test_what_a_float_of_another_size_or_an_integer_holds():
    assert is_finite(np.array([-1, 1 << 62]))
    assert is_finite(np.zeros(0, np.float32))
    assert not is_finite(np.array([1.0, np.nan], np.longdouble))


@pytest.mark.parametrize("within", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_what_another_dtype_rounds_to_infinity_is_found(dtype, within):
    facts, bits = torch.finfo(getattr(torch, within)), np.dtype(f"i{np.dtype(dtype).itemsize}")
    # IEEE 754, 4.3.1: from half a last place beyond the largest number on.
    half = facts.max + facts.max / (2 - facts.eps) * facts.eps / 2
    near = np.minimum([facts.max, half, 1.0], float(np.finfo(dtype).max)).astype(dtype)
    around = (near.view(bits)[:, None] + np.arange(-9, 10)).astype(bits).view(dtype)
    for value in around[np.isfinite(around)]:
        for sign in (value, -value):
            take = Taking([np.array([[sign]])], [np.zeros(1, dtype).ctypes.data], within=within)
            assert (take(0, 1) == 0) == (float(value) < half)
