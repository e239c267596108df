"""Pieces of a tensor, against torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, IndexingError, ShapeError

X = np.random.default_rng(0).standard_normal((5, 4, 6)).astype("float32")
T = torch.tensor(X)


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())


@pytest.mark.parametrize("where", [1, 2, 3, 7, (2,), (1, 3), (3, 1), (-2, 9), ()])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_tensor_split(where, axis):
    same(am.tensor_split(am.tensor(X), where, axis), torch.tensor_split(T, where, axis))


def test_splits_by_name():
    x = am.tensor(X)
    same(am.hsplit(x, 2), torch.hsplit(T, 2))
    same(am.hsplit(x[0, 0], (1, 4)), torch.hsplit(T[0, 0], (1, 4)))
    same(am.vsplit(x, (2, 3)), torch.vsplit(T, (2, 3)))
    same(am.dsplit(x, 3), torch.dsplit(T, 3))
    same(am.split_with_sizes(x, [1, 4]), torch.split_with_sizes(T, [1, 4]))
    same(am.tensor_split(x, am.tensor([1, 2])), torch.tensor_split(T, torch.tensor([1, 2])))


def test_selecting_and_writing_back():
    x, row = am.tensor(X), am.ones(5, 6)
    same([x.select(1, -1)], [T.select(1, -1)])
    same([am.select_scatter(x, row, 1, 2)], [torch.select_scatter(T, torch.ones(5, 6), 1, 2)])
    part = np.ones((5, 4, 2), "float32")
    same([am.slice_scatter(x, am.tensor(part), 2, 1, 5, 2)],
         [torch.slice_scatter(T, torch.tensor(part), 2, 1, 5, 2)])  # fmt: skip


def test_gradients_are_those_of_torch():
    ours, theirs = am.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    row, line = am.ones(5, 6).requires_grad_(), torch.ones(5, 6, requires_grad=True)
    ((am.select_scatter(ours, row, 1, 2) ** 2)[..., ::2].sum()).backward()
    ((torch.select_scatter(theirs, line, 1, 2) ** 2)[..., ::2].sum()).backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad)
    np.testing.assert_allclose(row.grad.numpy(), line.grad)


def test_errors():
    x = am.tensor(X)
    with pytest.raises(ShapeError, match="hsplit: 3 pieces of axis 1"):
        am.hsplit(x, 3)
    with pytest.raises(ShapeError, match="dsplit: got"):
        am.dsplit(x[0], 2)
    with pytest.raises(ArgumentError, match="tensor_split: 0 pieces"):
        am.tensor_split(x, 0)
    with pytest.raises(IndexingError, match="select: position 5"):
        am.select(x, 0, 5)
    with pytest.raises(ShapeError, match="slice_scatter"):
        am.slice_scatter(x, am.ones(2), 0, 1)
