"""`repeat` against NumPy and PyTorch, with counts that are looked at and counts that are not."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, DTypeError, IndexingError, ShapeError

X = np.arange(12).reshape(3, 4)


@pytest.mark.parametrize(
    ("counts", "axis"),
    [(2, None), (0, 1), (3, -1), ([2], 0), ([1, 0, 3], 0), ([0, 0, 0, 0], 1), ([1] * 12, None)],
)
def test_as_numpy(counts, axis):
    expected = np.repeat(X, counts, axis)
    given = [counts] if isinstance(counts, int) else [counts, np.array(counts), am.tensor(counts)]
    for one in given:
        found = am.repeat(am.tensor(X), one, axis=axis)
        assert found.shape == expected.shape
        assert np.array_equal(found.numpy(), expected)


def test_as_pytorch():
    counts = torch.tensor([1, 0, 3])
    theirs = torch.repeat_interleave(counts)
    assert am.repeat_interleave(am.tensor([1, 0, 3])).tolist() == theirs.tolist()
    x = torch.arange(3.0, requires_grad=True)
    torch.repeat_interleave(x, counts, output_size=4).cumsum(0).sum().backward()
    ours = am.arange(3.0).requires_grad_()
    am.repeat_interleave(ours, am.tensor([1, 0, 3]), output_size=4).cumsum(0).sum().backward()
    assert ours.grad.tolist() == x.grad.tolist()


def test_a_size_that_is_said_is_not_looked_at():
    repeat = am.jit(lambda x, counts: am.repeat(x, counts, output_size=4))
    x = am.tensor([5, 6])
    assert repeat(x, am.tensor([1, 3])).tolist() == [5, 6, 6, 6]
    assert repeat(x, am.tensor([4, 0])).tolist() == [5, 5, 5, 5]
    for wrong in ([1, 2], [3, 2]):
        with pytest.raises(IndexingError):
            repeat(x, am.tensor(wrong)).numpy()


def test_errors():
    x = am.zeros(3)
    with pytest.raises(ArgumentError, match="-1 times"):
        am.repeat(x, -1)
    with pytest.raises(ArgumentError, match="a count is -2"):
        am.repeat(x, [1, -2, 1])
    with pytest.raises(ArgumentError, match="add up to 3"):
        am.repeat(x, [1, 1, 1], output_size=4)
    with pytest.raises(ShapeError, match="need one number or 3"):
        am.repeat(x, [1, 2])
    with pytest.raises(DTypeError, match=r"use .long\(\)"):
        am.repeat(x, am.tensor([1.0, 2.0, 3.0]))
