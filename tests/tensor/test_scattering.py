"""Writing at computed positions, against torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, DTypeError, IndexingError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 30)).astype("float32")
U = RNG.standard_normal((9, 30)).astype("float32")
I = RNG.integers(0, 4, (9, 30))  # noqa: E741
T = torch.tensor(X)
FOLDS = ["sum", "prod", "mean", "amax", "amin"]


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("fold", FOLDS)
def test_scatter_reduce(fold, include):
    def run(m, tensor):
        x, u = (tensor(v, requires_grad=True) for v in (X, U))
        found = m.scatter_reduce(x, 0, tensor(I), u, fold, include_self=include)
        (found**2).sum().backward()
        return [v.detach().numpy() for v in (found, x.grad, u.grad)]

    for ours, theirs in zip(run(am, am.tensor), run(torch, torch.tensor), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:index_reduce")  # torch: may change
@pytest.mark.parametrize("fold", FOLDS[1:])
def test_index_reduce(fold):
    i, u = np.array([2, 0, 2]), U[:3]
    ours = am.index_reduce(am.tensor(X), 0, am.tensor(i), am.tensor(u), fold)
    theirs = torch.index_reduce(T, 0, torch.tensor(i), torch.tensor(u), fold)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5)


def test_products_with_zeros_have_gradients():
    x, u = np.array([0.0, 2.0, 0.0]), np.array([3.0, 0.0, 0.0, 5.0])
    at = np.array([0, 1, 2, 0])
    ours = [am.tensor(v, requires_grad=True) for v in (x, u)]
    am.scatter_reduce(ours[0], 0, am.tensor(at), ours[1], "prod").sum().backward()
    np.testing.assert_array_equal(ours[0].grad.numpy(), [15, 0, 0])
    np.testing.assert_array_equal(ours[1].grad.numpy(), [0, 2, 0, 0])


def test_nan_wins():
    new = am.tensor([float("nan"), 1.0])
    for fold in ("amax", "amin"):
        found = am.scatter_reduce(am.zeros(2), 0, am.tensor([0, 0]), new, fold)
        assert np.isnan(found.numpy()[0])


def test_index_copy_and_put():
    i, u = torch.tensor([3, 0]), torch.tensor(U[:2])
    ours = am.index_copy(am.tensor(X), 0, am.tensor([3, 0]), am.tensor(U[:2]))
    np.testing.assert_array_equal(ours.numpy(), torch.index_copy(T, 0, i, u))
    for accumulate in (False, True):
        at = np.array([5, 7, -1])
        mine = am.put(am.tensor(X), am.tensor(at), am.tensor(U[0, :3]), accumulate)
        other = torch.put(T, torch.tensor(at), torch.tensor(U[0, :3]), accumulate)
        np.testing.assert_array_equal(mine.numpy(), other)
        pair = np.array([0, 2, 0]), np.array([1, 1, 1])
        new = U[0, :3] if accumulate else np.full(3, 4, "float32")
        mine = am.index_put(am.tensor(X), tuple(map(am.tensor, pair)), am.tensor(new), accumulate)
        other = torch.index_put(T, tuple(map(torch.tensor, pair)), torch.tensor(new), accumulate)
        np.testing.assert_allclose(mine.numpy(), other, rtol=1e-6)


def test_masked_scatter():
    mask = X > 0.3
    ours = am.masked_scatter(am.tensor(X), am.tensor(mask), am.tensor(U))
    theirs = torch.masked_scatter(T, torch.tensor(mask), torch.tensor(U))
    np.testing.assert_array_equal(ours.numpy(), theirs)
    with pytest.raises(IndexingError):
        am.masked_scatter(am.zeros(3), am.ones(3).bool(), am.ones(2)).numpy()


def test_errors():
    x = am.zeros(3)
    with pytest.raises(ArgumentError, match="scatter_reduce: reduce is 'max'"):
        am.scatter_reduce(x, 0, am.tensor([0]), am.ones(1), "max")
    with pytest.raises(DTypeError, match="index_copy: updates are int64 for float32"):
        am.index_copy(x, 0, am.tensor([0]), am.tensor([1]))
    with pytest.raises(ShapeError, match="put: 1 updates for 2 positions"):
        am.put(x, am.tensor([0, 1]), am.ones(1))
    with pytest.raises(DTypeError, match="the mask is float32"):
        am.masked_scatter(x, x, x)


@pytest.mark.parametrize("alpha", [1, -2, 0])
def test_index_add_to_a_scalar(alpha):
    def run(m, tensor):
        x, u = tensor(3.0, requires_grad=True), tensor(5.0, requires_grad=True)
        found = m.index_add(x, 0, tensor([0]), u, alpha=alpha)
        found.backward()
        return [v.item() for v in (found, x.grad, u.grad)]

    assert run(am, am.tensor) == run(torch, torch.tensor)


def test_index_add_of_bools_is_or():
    x, u, at = [True, False, False], [False, True], [0, 2]
    ours = am.index_add(am.tensor(x), 0, am.tensor(at), am.tensor(u))
    theirs = torch.index_add(torch.tensor(x), 0, torch.tensor(at), torch.tensor(u))
    assert ours.tolist() == theirs.tolist()
    with pytest.raises(ShapeError, match=r"index_add: updates are \(2,\) for 1 positions"):
        am.index_add(am.tensor([3.0]), 0, am.tensor([0]), am.tensor([1.0, 2.0]))
