"""Searching, counting and positions against NumPy and PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import AmbosError, ArgumentError, DTypeError, ShapeError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 64, 100])
def test_searchsorted_as_numpy(length: int, side: str) -> None:
    edges = np.sort(RNG.standard_normal(length)).astype("float32")
    own = edges[:3]
    values = np.concatenate([RNG.standard_normal(9), own, [np.nan, np.inf, -np.inf]])
    values = values.astype("float32")
    found = am.searchsorted(am.tensor(edges), am.tensor(values), side=side)
    assert np.array_equal(found.numpy(), np.searchsorted(edges, values, side))


@pytest.mark.parametrize("right", [False, True])
def test_rows_as_torch(right: bool) -> None:
    rows = np.sort(RNG.integers(0, 9, (3, 4, 10)), -1)
    values = RNG.integers(-1, 11, (3, 4, 6))
    found = am.searchsorted(am.tensor(rows), am.tensor(values), right=right, out_int32=True)
    wanted = torch.searchsorted(
        torch.tensor(rows), torch.tensor(values), right=right, out_int32=True
    )
    assert found.dtype is am.int32
    assert np.array_equal(found.numpy(), wanted.numpy())
    edges = np.array([1, 3, 5])
    ours = am.bucketize(am.tensor(values), am.tensor(edges), right=right)
    theirs = torch.bucketize(torch.tensor(values), torch.tensor(edges), right=right)
    assert np.array_equal(ours.numpy(), theirs.numpy())


def test_an_unsorted_row_with_its_order() -> None:
    row, order = np.array([3.0, 1.0, 2.0]), np.array([1, 2, 0])
    found = am.searchsorted(am.tensor(row), am.tensor([2.5]), sorter=am.tensor(order))
    assert found.tolist() == np.searchsorted(row, [2.5], sorter=order).tolist()


def test_bincount_as_numpy() -> None:
    x, weights = RNG.integers(0, 9, 50), RNG.standard_normal(50)
    for arguments in ({}, {"minlength": 12}, {"weights": weights}):
        theirs = np.bincount(x, **arguments)
        ours = am.bincount(am.tensor(x), **arguments)
        assert np.allclose(ours.numpy(), theirs, rtol=1e-12)
        assert ours.numpy().dtype == theirs.dtype
    assert am.bincount(am.zeros(0, dtype=am.int64), minlength=2).tolist() == [0, 0]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bins", [10, [-1.0, 0.0, 0.5, 2.0]], ids=["equal", "edges"])
@pytest.mark.parametrize("density", [False, True])
def test_histogram_as_torch(bins: object, weighted: bool, density: bool) -> None:
    x = RNG.standard_normal(1000).astype("float32")
    weight = RNG.random(1000).astype("float32") if weighted else None
    found = am.histogram(am.tensor(x), bins, weight=weight, density=density)
    wanted = torch.histogram(
        torch.tensor(x), torch.tensor(bins) if isinstance(bins, list) else bins,
        weight=None if weight is None else torch.tensor(weight), density=density,
    )  # fmt: skip
    for ours, theirs in zip(found, wanted, strict=True):
        assert np.allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)
    assert am.histc(am.tensor(x), 10).tolist() == torch.histc(torch.tensor(x), 10).tolist()


@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 4), (2, 0, 3), (2, 3, 4)])
def test_nonzero_as_torch(shape: tuple[int, ...]) -> None:
    x = RNG.integers(0, 2, shape)
    ours, theirs = am.nonzero(am.tensor(x), as_tuple=False), torch.nonzero(torch.tensor(x))
    assert ours.shape == tuple(theirs.shape)
    assert np.array_equal(ours.numpy(), theirs.numpy())
    if shape:
        for one, other in zip(am.where(am.tensor(x)), np.nonzero(x), strict=True):
            assert np.array_equal(one.numpy(), other)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: am.searchsorted(am.zeros(3), am.zeros(2), side="middle"), ArgumentError, "left"),
        (lambda: am.searchsorted(am.zeros(2, 3), am.zeros(3, 3)), ShapeError, "leading axes"),
        (lambda: am.bucketize(am.zeros(2), am.zeros(2, 2)), ShapeError, "sorted vector"),
        (lambda: am.bincount(am.tensor([0.5])), DTypeError, "vector of integers"),
        (lambda: am.bincount(am.tensor([-1])), ArgumentError, "found -1"),
        (lambda: am.histogram(am.tensor([1.0]), 0), ArgumentError, "at least 1"),
        (lambda: am.histogram(am.tensor([np.nan, 1.0]), 3), ArgumentError, "finite"),
    ],
)
def test_errors_carry_their_fix(call: object, error: type[AmbosError], words: str) -> None:
    with pytest.raises(error, match=words):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(
    "shape",
    [(7,), (3, 5), (1, 1, 4), (97, 1), (2, 3, 4, 5), (2**16, 2**15), (3, 2**30 + 1),
     (2**20 + 7, 2**12 - 1, 3), (2**26 - 5, 2**26 + 3), (2**40, 2**20)],
)  # fmt: skip
def test_positions_of_any_size_are_taken_apart_exactly(shape):
    size, step = math.prod(shape), math.prod(shape[1:])
    turns = np.random.default_rng(0).integers(1, shape[0] + 1, 500)
    places = np.unique([0, size - 1, *(turns * step - 1), *(turns % shape[0] * step)])
    found = am.unravel_index(am.tensor(places), shape)
    for ours, wanted in zip(found, np.unravel_index(places, shape), strict=True):
        np.testing.assert_array_equal(ours.numpy(), wanted)
