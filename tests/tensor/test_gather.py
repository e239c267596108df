"""Reading and adding at computed positions, against NumPy and torch."""

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos.core.errors import ArgumentError, DTypeError, IndexingError, ShapeError

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 4, 5)).astype(np.float32)
T = torch.tensor(X)
I = RNG.integers(0, 3, (2, 4, 5))  # noqa: E741


def same(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours.numpy(), theirs)


def test_take_matches_numpy():
    i = np.array([[0, -1], [2, 1]])
    same(am.take(X, i, axis=0), np.take(X, i, axis=0))
    same(am.take(X, i, axis=1), np.take(X, i, axis=1))
    same(am.take(X, i), np.take(X, i))
    same(am.index_select(X, 1, am.tensor([3, 0])), torch.index_select(T, 1, torch.tensor([3, 0])))


def test_gather_matches_torch():
    same(am.gather(X, 0, I), torch.gather(T, 0, torch.tensor(I)))
    same(am.tensor(X).gather(dim=-1, index=am.tensor(I)), T.gather(-1, torch.tensor(I)))
    same(am.take_along_axis(X, np.argsort(X, 1), 1), np.take_along_axis(X, np.argsort(X, 1), 1))
    same(am.take_along_axis(X, -1 - I[:, :1], 0), np.take_along_axis(X, -1 - I[:, :1], 0))


def test_masked_fill_broadcasts_and_takes_one_number():
    mask = T[0] > 0
    for row, rows in ((X[0, 0], mask), (X, mask[0])):
        theirs = torch.tensor(row).masked_fill(rows, 2.5)
        same(am.masked_fill(row, rows.numpy(), 2.5), theirs)
    with pytest.raises(ShapeError, match=r"the value is \(1,\); need one number"):
        am.masked_fill(X, X > 0, am.zeros(1))


def test_scatter_with_a_fold_matches_torch():
    u = RNG.integers(-3, 4, I.shape).astype(np.float32)
    for reduce, their in (("add", "sum"), ("multiply", "prod")):
        theirs = T.scatter_reduce(0, torch.tensor(I), torch.tensor(u), their)
        np.testing.assert_allclose(am.scatter(X, 0, I, u, reduce=reduce), theirs, rtol=1e-6)
    with pytest.raises(ArgumentError, match="reduce is 'amax'; need one of add, multiply"):
        am.scatter(X, 0, I, u, reduce="amax")


def test_scatter_matches_torch():
    u = RNG.normal(size=I.shape).astype(np.float32)
    i, v = torch.tensor(I), torch.tensor(u)
    np.testing.assert_allclose(am.scatter_add(X, 0, I, u), T.scatter_add(0, i, v), rtol=1e-6)
    unique = np.argsort(RNG.normal(size=(3, 4, 5)), 0)[:2]
    same(am.scatter(X, 0, unique, u), T.scatter(0, torch.tensor(unique), v))
    same(am.tensor(X).scatter(0, unique, 7.0), T.scatter(0, torch.tensor(unique), 7.0))


def test_index_add_and_fill_match_torch():
    i, u = np.array([2, 0, 2]), RNG.normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(
        am.index_add(X, 0, i, u, alpha=2),
        T.index_add(0, torch.tensor(i), torch.tensor(u), alpha=2), rtol=1e-6, atol=1e-6,
    )  # fmt: skip
    same(am.index_fill(X, 1, i, 9.0), T.index_fill(1, torch.tensor(i), 9.0))


def test_masks_match_torch():
    same(am.masked_fill(X, X > 0, -1.0), T.masked_fill(T > 0, -1.0))
    same(am.masked_select(X, X > 0), torch.masked_select(T, T > 0))
    same(am.tensor(X > 0).nonzero(), torch.nonzero(T > 0))
    for ours, theirs in zip(am.nonzero(X), np.nonzero(X), strict=True):
        same(ours, theirs)


def test_one_hot_matches_torch():
    same(am.one_hot(I, 4), torch.nn.functional.one_hot(torch.tensor(I), 4))
    assert am.one_hot(am.tensor([1]), 3, dtype=am.float32).dtype is am.float32
    assert am.one_hot(am.tensor([[1, 0]]), 2, axis=0).tolist() == [[[0, 1]], [[1, 0]]]


@pytest.mark.parametrize("call", [
    lambda m, x: m.gather(x, 0, m.tensor(I)), lambda m, x: m.index_select(x, 2, m.tensor([0, 0])),
    lambda m, x: m.scatter_add(x, 0, m.tensor(I), x[:2] * 2),
    lambda m, x: m.masked_fill(x, x > 0, 0.0),
])  # fmt: skip
def test_gradients_match_torch(call):
    ours, theirs = am.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    (call(am, ours) ** 2).sum().backward()
    (call(torch, theirs) ** 2).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad, rtol=1e-5, atol=1e-6)


def test_positions_outside_are_found_when_looked_at():
    x = am.zeros(3, 4)
    for bad in (
        am.take(x, am.tensor([0, 3]), axis=0), x[am.tensor([-4])], x[[0, 3], [1, 1]],
        am.gather(x, 1, am.tensor([[4]])), am.index_select(x, 0, am.tensor([-1])),
    ):  # fmt: skip
        with pytest.raises(IndexingError, match="out of range"):
            bad.numpy()


def test_errors():
    with pytest.raises(DTypeError, match=r"indices are float32; need integers: use .long\(\)"):
        am.take(X, am.ones(2))
    with pytest.raises(ShapeError, match="need as many dimensions"):
        am.gather(X, 0, am.tensor([0]))
    with pytest.raises(ArgumentError, match="topk: k is 6 on an axis of 5"):
        am.topk(X, 6)
    with pytest.raises(DTypeError, match="the mask is float32; need bool"):
        am.masked_fill(X, X, 0)


def test_a_scalar_counts_as_a_vector_of_one():
    x, at = am.tensor(3.0, requires_grad=True), am.tensor([0])
    y = am.index_select(x, 0, at)
    y.backward()
    assert (y.shape, y.item(), x.grad.item()) == ((), 3.0, 1.0)
    with pytest.raises(ShapeError, match=r"index_select: indices are \(2,\) for a scalar"):
        am.index_select(x, 0, am.tensor([0, 0]))


def test_positions_of_no_elements_have_any_shape():
    x, none = am.ones(5), am.zeros(2, 0, dtype=am.int64)
    same(am.gather(x, 0, none), torch.ones(5).gather(0, torch.zeros(2, 0, dtype=torch.int64)))
    same(am.scatter_add(x, 0, none, am.ones(3)), np.ones(5))
    with pytest.raises(ArgumentError, match="gather: axis 1 does not exist"):
        am.gather(x, 1, none)


# --- what an error calls it -----------------------------------------------------------------------


NUMBERS, ROWS = am.arange(5.0), am.ones(5, 2)
CALLS = {
    "take": lambda i: am.take(NUMBERS, i),
    "indexing": lambda i: NUMBERS[i],
    "embedding": lambda i: F.embedding(i, ROWS),
    "take_along_axis": lambda i: am.take_along_axis(NUMBERS, i),
    "index_fill": lambda i: am.index_fill(NUMBERS, 0, i, 1.0),
    "segment_sum": lambda i: am.segment_sum(am.ones(1), i, 5),
    "assignment": lambda i: assigned(i),
}  # fmt: skip


def assigned(index):
    found = NUMBERS * 1
    found[index] = 1
    return found


@pytest.mark.parametrize("name", CALLS)
def test_an_index_out_of_range_names_what_was_called(name):
    message = rf"^{name}: index 9 is out of range for axis 0 of size 5; need (0|-5) <= index < 5"
    with pytest.raises(IndexingError, match=message):
        am.evaluate(CALLS[name](am.tensor([9])))


def test_so_it_does_inside_of_transforms_and_loops():
    call, bad = CALLS["embedding"], am.tensor([9])
    runs = {
        "jit": lambda: am.jit(call)(bad),
        "vmap": lambda: am.vmap(call)(am.tensor([[1], [9]])),
        "grad": lambda: am.grad(lambda rows: F.embedding(bad, rows).sum())(ROWS),
        "jvp": lambda: am.jvp(lambda rows: F.embedding(bad, rows), (ROWS,), (ROWS,))[1],
        "scan": lambda: am.scan(lambda c, i: (c + call(i).sum(), None), 0.0, bad)[0],
    }
    for run in runs.values():
        with pytest.raises(IndexingError, match=r"^embedding: (an )?index .* of size 5; need 0 <="):
            am.evaluate(run())


def test_a_negative_index_is_told_as_it_was_given():
    for call in (CALLS["take"], CALLS["indexing"], CALLS["take_along_axis"]):
        with pytest.raises(IndexingError, match=r"index -9 is out of range .*; need -5 <= index"):
            am.evaluate(call(am.tensor([-9])))
