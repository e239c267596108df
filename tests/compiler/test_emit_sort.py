"""SortKernels as machine code, against the interpreter and NumPy's stable argsort."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ambos.compiler.emit_sort import sort_scratch
from ambos.compiler.loops import Buffer, SortKernel
from ambos.compiler.sort_records import NETWORK, RADIX_FROM, RUN
from ambos.core import dtype as dt
from tests.compiler.harness import check, numbers

SIZES = [*range(10), 15, 16, 17, 61, 64, 65, 127, RADIX_FROM - 1, RADIX_FROM, 700]


def test_the_network_sorts() -> None:
    for bits in itertools.product((0, 1), repeat=RUN):  # the 0-1 principle
        found = list(bits)
        for low, high in NETWORK:
            found[low], found[high] = sorted((found[low], found[high]))
        assert found == sorted(bits)


def run(keys: np.ndarray, dtype: dt.DType, count: int, descending: bool) -> tuple:
    """Order and values of the first `count` of every row."""
    rows, size = keys.shape
    buffers = Buffer(0, dtype), Buffer(1, dt.int64), Buffer(2, dtype)
    kernel = SortKernel(*buffers, 3, 4, descending, 5)
    order, values = np.zeros((rows, count), np.int64), np.zeros((rows, count), keys.dtype)
    words = [keys, order, values, size, count]
    out = check(kernel, words, items=rows, scratch=sort_scratch(dtype, size))
    return out[1], out[2]


def expected(keys: np.ndarray, descending: bool) -> np.ndarray:
    if not descending:
        return np.argsort(keys, 1, kind="stable")
    return keys.shape[1] - 1 - np.argsort(keys[:, ::-1], 1, kind="stable")[:, ::-1]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", dt.ALL, ids=lambda d: d.name)
def test_stable_order_of_every_dtype(dtype: dt.DType, descending: bool) -> None:
    for size in (3, 61, 500):
        keys = np.resize(numbers(dtype, max(size // 2, 1)), (3, size)).copy()  # many ties
        order, values = run(keys, dtype, size, descending)
        if dtype is not dt.bfloat16:
            np.testing.assert_array_equal(order, expected(keys, descending))
            np.testing.assert_array_equal(values, np.take_along_axis(keys, order, 1))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [dt.float32, dt.int64], ids=lambda d: d.name)
def test_every_length(dtype: dt.DType, size: int) -> None:
    keys = np.random.default_rng(size).integers(-40, 300, (2, size)).astype(dtype.name)
    order, _ = run(keys, dtype, size, False)
    np.testing.assert_array_equal(order, expected(keys, False))


@pytest.mark.parametrize("kind", ["random", "ascending", "equal"])
@pytest.mark.parametrize(("size", "count"), [(8, 1), (100, 3), (1000, 20), (1000, 125), (70, 60)])
@pytest.mark.parametrize("descending", [False, True])
def test_the_first_few(kind: str, size: int, count: int, descending: bool) -> None:
    keys = np.random.default_rng(size).normal(size=(2, size)).astype("f4")
    keys[1, ::7] = np.nan
    if kind == "ascending":
        keys = np.sort(keys, 1)
    elif kind == "equal":
        keys[:] = keys[:, :1]
    order, values = run(keys, dt.float32, count, descending)
    np.testing.assert_array_equal(order, expected(keys, descending)[:, :count])
    np.testing.assert_array_equal(values, np.take_along_axis(keys, order, 1))
