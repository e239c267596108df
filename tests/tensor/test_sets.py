"""Sets of values against NumPy and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import TracingError

RNG = np.random.default_rng(0)
VALUES = {
    "integers": RNG.integers(0, 5, (4, 5)),
    "float32": RNG.integers(0, 3, 7).astype("float32"),
    "bool": RNG.integers(0, 2, 9).astype(bool),
    "uint8": RNG.integers(0, 4, (2, 3, 2)).astype("uint8"),
    "nan and zeros": np.array([np.nan, 1, np.nan, 0.0, -0.0]),
    "infinities": np.array([np.inf, 1, -np.inf, np.inf], "float32"),
    "one": np.array([3]),
    "scalar": np.array(3),
    "nothing": np.zeros((0,), "float32"),
    "no rows": np.zeros((2, 0)),
}


@pytest.mark.parametrize("x", VALUES.values(), ids=VALUES)
def test_unique_as_numpy(x: np.ndarray) -> None:
    wanted = np.unique_all(x)
    found = am.unique_all(am.tensor(x))
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.shape == theirs.shape
        assert np.array_equal(ours.numpy(), theirs, equal_nan=True)
    assert np.array_equal(am.unique_values(x).numpy(), wanted.values, equal_nan=True)
    assert np.array_equal(am.unique_counts(x).counts.numpy(), wanted.counts)
    assert np.array_equal(am.unique_inverse(x).inverse_indices.numpy(), wanted.inverse_indices)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("name", ["unique", "unique_consecutive"])
def test_slices_as_torch(name: str, axis: int | None) -> None:
    x = RNG.integers(0, 2, (6, 3))
    asked = {"return_inverse": True, "return_counts": True}
    found = getattr(am, name)(am.tensor(x), axis=axis, **asked)
    wanted = getattr(torch, name)(torch.tensor(x), dim=axis, **asked)
    for ours, theirs in zip(found, wanted, strict=True):
        assert np.array_equal(ours.numpy(), theirs.numpy())


def test_first_places_as_numpy() -> None:
    x = RNG.integers(0, 9, 40)
    found = am.unique(am.tensor(x), return_index=True)
    for ours, theirs in zip(found, np.unique(x, return_index=True), strict=True):
        assert np.array_equal(ours.numpy(), theirs)


def test_a_size_that_depends_on_values_is_refused_while_recording() -> None:
    with pytest.raises(TracingError, match="depends on values"):
        am.jit(am.unique_values)(am.tensor([1, 2]))
