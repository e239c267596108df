"""Rows and columns as kernels: what may be computed beside a reduction."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

import ambos as am
from ambos.compiler import memory


def test_rows_beside_a_sum_over_everything() -> None:
    """The sum walks two axes as one; the quotient by a number per row cannot."""
    random = np.random.default_rng(0)
    x, y = (random.standard_normal((3, 15)) for _ in range(2))
    a, b = am.tensor(x), am.tensor(y)
    found = a / (1 + a.abs().sum(-1, keepdim=True)) - b.var()
    expected = x / (1 + np.abs(x).sum(-1, keepdims=True)) - y.var(ddof=1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_channels_beside_a_sum_over_groups_of_them() -> None:
    random = np.random.default_rng(0)
    x, w = random.standard_normal((2, 2, 3, 5)), random.standard_normal((2, 3, 1))
    a = am.tensor(x)
    found = (a - a.sum((2, 3), keepdim=True)) * am.tensor(w)
    expected = (x - x.sum((2, 3), keepdims=True)) * w
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (1, 2), (0, 2)])
def test_sums_of_rows_that_are_looked_up(axis: int | tuple[int, ...]) -> None:
    """Vectors lie along the rows, which are contiguous wherever they begin; the bits are those of
    rows that have been stored first."""
    random = np.random.default_rng(0)
    table, index = random.standard_normal((40, 33)), random.integers(0, 40, (21, 7))
    rows = am.tensor(table[index])
    found = am.take(am.tensor(table), am.tensor(index), axis=0).sum(axis)
    np.testing.assert_array_equal(found.numpy(), rows.sum(axis).numpy())


def test_looked_up_rows_are_read_as_neighbours() -> None:
    table, index = am.zeros((40, 33)).clone(), am.zeros((21, 7), dtype=am.int64).clone()
    am.evaluate(table, index)
    with mock.patch.object(memory, "_gather", wraps=memory._gather) as gathers:
        am.evaluate(am.take(table, index, axis=0).sum(1), am.take(table, index, axis=0).sum(2))
    assert not gathers.called
