"""Euclidean distances between rows: their derivatives, beside those of PyTorch's differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import ambos as am

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
RNG = np.random.default_rng(4)
X, Y, WEIGHT = RNG.normal(size=(5, 4)), RNG.normal(size=(3, 4)), RNG.normal(size=(5, 3))


def ours(x: Any, y: Any) -> Any:
    return (am.cdist(x, y) * am.tensor(WEIGHT)) ** 3


def theirs(x: Any, y: Any) -> Any:
    away = x[..., :, None, :] - y[..., None, :, :]
    return ((away**2).sum(-1).sqrt() * torch.tensor(WEIGHT)) ** 3


def same(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found.detach().numpy(), wanted.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize("lead", [((), ()), ((2,), ()), ((2, 1), (1, 3))])
def test_gradients_of_gradients(lead: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    arrays = [RNG.normal(size=(*first, *x.shape)) for first, x in zip(lead, (X, Y), strict=True)]
    found = []
    for lib, f in ((am, ours), (torch, theirs)):
        x, y = (lib.tensor(array, requires_grad=True) for array in arrays)
        first = lib.autograd.grad(f(x, y).sum(), (x, y), create_graph=True)
        second = lib.autograd.grad(sum((g**2).sum() for g in first), (x, y))
        found.append((*first, *second))
    for mine, other in zip(*found, strict=True):
        same(mine, other)


def test_transforms() -> None:
    x, y, t = am.tensor(X), am.tensor(Y), torch.tensor(X)
    tangent = RNG.normal(size=X.shape)
    right = torch.tensor(Y)
    same(am.jvp(lambda x: ours(x, y), (x,), (am.tensor(tangent),))[1],
         torch.func.jvp(lambda x: theirs(x, right), (t,), (torch.tensor(tangent),))[1])  # fmt: skip
    same(am.hessian(lambda x: ours(x, y).sum())(x),
         torch.func.hessian(lambda x: theirs(x, right).sum())(t))  # fmt: skip
    several = RNG.normal(size=(6, *X.shape))
    for place in (0, 1):
        slope = am.vmap(am.grad(lambda x, y: ours(x, y).sum(), argnums=place), (0, None))
        known = torch.func.grad(lambda x, y: theirs(x, y).sum(), argnums=place)
        same(slope(am.tensor(several), y),
             torch.vmap(known, (0, None))(torch.tensor(several), right))  # fmt: skip


def test_gradients_far_from_zero_keep_their_digits() -> None:
    """And a row's has the bits that it has alone."""
    x, y = ((RNG.normal(size=(40, 8)) + 1000).astype(np.float32) for _ in range(2))
    exact = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    (exact[:, None] - torch.tensor(y).double()).norm(dim=-1).sum().backward()
    slope = am.grad(lambda x: am.cdist(x, am.tensor(y)).sum())
    found = slope(am.tensor(x))
    np.testing.assert_allclose(found.numpy(), exact.grad.numpy(), atol=1e-4)
    assert am.array_equal(slope(am.tensor(x[7:8])), found[7:8])


def test_equal_rows_and_no_rows() -> None:
    x = am.tensor(X, requires_grad=True)
    am.cdist(x, x).diagonal().sum().backward()
    assert not x.grad.numpy().any()
    slope = am.grad(lambda x, y: am.cdist(x, y).sum())
    assert not slope(am.tensor(X), am.zeros(0, 4, dtype=am.float64)).numpy().any()
    assert slope(am.zeros(0, 4), am.ones(3, 4)).shape == (0, 4)
