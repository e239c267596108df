"""Sliding windows and their transpose against torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError


@pytest.mark.parametrize(("axis", "size", "step"), [(0, 2, 1), (1, 3, 2), (-1, 2, 3), (1, 7, 1)])
def test_windows_and_their_transpose(axis, size, step):
    x = np.random.default_rng(5).integers(-9, 10, (4, 7, 6)).astype(np.float32)
    source = torch.tensor(x, requires_grad=True)
    theirs = source.unfold(axis, size, step)
    ours = am.unfold(am.tensor(x), axis, size, step)
    np.testing.assert_array_equal(ours.numpy(), theirs.detach())
    theirs.backward(theirs.detach())
    folded = am.fold_windows(ours, axis, x.shape[axis], step)
    np.testing.assert_array_equal(folded.numpy(), source.grad)


@pytest.mark.parametrize(("size", "step"), [(40, 1), (39, 2), (50, 7), (17, 1), (5, 20), (0, 3)])
def test_many_windows_over_each_element(size, step):
    """Added up in groups, which a sum of whole numbers does not show."""
    x = np.random.default_rng(6).integers(-9, 10, (2, 50)).astype(np.float32)
    source = torch.tensor(x, requires_grad=True)
    theirs = source.unfold(1, size, step)
    theirs.backward(theirs.detach())
    ours = am.tensor(x, requires_grad=True)
    (windows,) = am.autograd.grad([am.unfold(ours, 1, size, step)], [ours],
                                  [am.tensor(theirs.detach().numpy())])  # fmt: skip
    np.testing.assert_array_equal(windows.numpy(), source.grad)


def test_windows_of_a_scalar_and_windows_that_do_not_fit():
    assert am.unfold(am.tensor(3.0), 0, 1, 1).tolist() == [3.0]
    assert am.unfold(am.tensor(3.0), 0, 0, 1).shape == (0,)
    for size, step, error in ((2, 1, ShapeError), (-1, 1, ArgumentError), (1, 0, ArgumentError)):
        with pytest.raises(error, match="unfold"):
            am.unfold(am.tensor(3.0), 0, size, step)
