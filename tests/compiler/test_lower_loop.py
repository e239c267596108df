"""Rows and columns as kernels: what may be computed beside a reduction."""

from __future__ import annotations

import numpy as np

import ambos as am


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
