"""Diagonals, against torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError

X = np.random.default_rng(0).standard_normal((3, 5, 4)).astype("float32")
T = torch.tensor(X)


def same(ours, theirs):
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("offset", [-9, -3, -1, 0, 2, 9])
@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (-1, 0), (1, 2)])
def test_read_and_written(offset, axes):
    x = am.tensor(X)
    same(am.diagonal(x, offset, *axes), torch.diagonal(T, offset, *axes))
    new = torch.ones_like(torch.diagonal(T, offset, *axes))
    same(am.diagonal_scatter(x, am.tensor(new.numpy()), offset, *axes),
         torch.diagonal_scatter(T, new, offset, *axes))  # fmt: skip


@pytest.mark.parametrize("offset", [-2, 0, 1])
def test_embedded(offset):
    x = am.tensor(X)
    same(am.diag_embed(x, offset), torch.diag_embed(T, offset))
    same(am.diag_embed(x, offset, 0, 2), torch.diag_embed(T, offset, 0, 2))
    same(am.diag(x[0, 0], offset), torch.diag(T[0, 0], offset))
    same(am.diag(x[0], offset), torch.diag(T[0], offset))
    same(am.diagflat(x, offset), torch.diagflat(T, offset))
    same(am.tril_indices(3, 4, offset), torch.tril_indices(3, 4, offset))
    same(am.triu_indices(3, 4, offset), torch.triu_indices(3, 4, offset))


def test_gradients_are_those_of_torch():
    ours, theirs = am.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    (am.diag_embed(ours, 1) ** 2).sum().backward()
    (torch.diag_embed(theirs, 1) ** 2).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad)


def test_trace():
    x = am.arange(12).reshape(3, 4)
    assert am.trace(x).item() == 15
    with pytest.raises(ShapeError, match="trace: got"):
        am.trace(x[0])


def test_errors():
    with pytest.raises(ArgumentError, match="diagonal: both axes are 1"):
        am.diagonal(am.tensor(X), 0, 1, 1)
    with pytest.raises(ShapeError, match="diag: got"):
        am.diag(am.tensor(X))
    with pytest.raises(ShapeError, match="diagonal_scatter: the diagonal is"):
        am.diagonal_scatter(am.zeros(2, 2), am.zeros(3))
    with pytest.raises(ShapeError, match="tril_indices"):
        am.tril_indices(-1, 2)
