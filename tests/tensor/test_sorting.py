"""Order along an axis, against NumPy and torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 4, 5)).astype(np.float32)
T = torch.tensor(X)


def same(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_order_matches_torch(axis, descending):
    x = np.round(X)  # with ties
    found = am.tensor(x).sort(axis, descending=descending)
    expected = torch.sort(torch.tensor(x), dim=axis, descending=descending, stable=True)
    same(found.values, expected.values)
    same(found.indices, expected.indices)
    same(am.argsort(x, axis, descending), expected.indices)
    same(am.sort(x, axis=axis, descending=descending), expected.values)


def test_functions_give_values_and_methods_pairs():
    same(am.sort(X), np.sort(X))
    same(am.sort(X, descending=True), -np.sort(-X))
    same(am.msort(X), np.sort(X, 0))
    same(am.tensor(X).sort().indices, torch.sort(T).indices)
    same(am.tensor(X).sort(axis=0), np.sort(X, 0))
    assert am.sort(am.tensor(3.0), 0).indices.item() == 0
    assert am.sort(3.0).item() == 3


@pytest.mark.parametrize("largest", [False, True])
def test_topk_matches_torch(largest):
    found, expected = am.topk(X, 3, 1, largest), torch.topk(T, 3, 1, largest)
    same(found.values, expected.values)
    same(found.indices, expected.indices)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keep", [False, True])
def test_kth_values_match_torch(axis, keep):
    for k in (1, 2, 3):
        found = am.kthvalue(X, k, axis, keep)
        expected = torch.kthvalue(T, k, axis, keep)
        same(found.values, expected.values)
        same(found.indices, expected.indices)
    with pytest.raises(ArgumentError, match="kthvalue: k is 0 on an axis of 5; need 1 <= k <= 5"):
        am.kthvalue(X, 0)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool"])
def test_modes_match_torch(dtype, axis, keep):
    x = RNG.integers(0, 4, (6, 7, 9)).astype(dtype)
    found, expected = am.mode(x, axis, keep), torch.mode(torch.tensor(x), axis, keep)
    same(found.values, expected.values)
    at = found.indices.numpy() if keep else np.expand_dims(found.indices.numpy(), axis)
    values = expected.values if keep else expected.values.unsqueeze(axis)
    np.testing.assert_array_equal(np.take_along_axis(x, at, axis), values)  # torch: any of them


def test_modes_of_nothing_and_of_scalars():
    assert am.mode(am.tensor(3.0)).values.item() == 3
    with pytest.raises(ShapeError, match=r"mode: axis 0 of .* has no elements; need one"):
        am.mode(am.zeros(0, 2), 0)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int8", "uint16"])
def test_long_rows_with_ties_and_nan(dtype, descending):
    x = (RNG.normal(size=(2, 3000)) * 20).astype(dtype)
    if x.dtype.kind == "f":
        x[:, ::97], x[:, 5::89], x[:, 7::83] = np.nan, -0.0, 0.0
    if dtype == "uint16":
        key = x.astype(np.int64)
        expected = np.argsort(-key if descending else key, 1, kind="stable")
    else:
        ordered = torch.sort(torch.tensor(x), dim=1, descending=descending, stable=True)
        expected = ordered.indices.numpy()
    found = am.tensor(x).sort(1, descending=descending)
    same(found.indices, expected)
    same(found.values, np.take_along_axis(x, expected, 1))
    few = am.topk(am.tensor(x), 70, 1, largest=descending)
    same(few.indices, expected[:, :70])
    same(few.values, np.take_along_axis(x, expected, 1)[:, :70])


@pytest.mark.parametrize("call", [
    lambda m, x: m.sort(x, 1)[0], lambda m, x: m.sort(x, 0, descending=True)[0],
    lambda m, x: m.topk(x, 2, 1)[0], lambda m, x: m.topk(x, 1, 2, False)[0],
    lambda m, x: m.kthvalue(x, 2, 1)[0], lambda m, x: m.mode(x, 0)[0],
])  # fmt: skip
def test_gradients_match_torch(call):
    ours, theirs = am.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    (call(am, ours) ** 2).sum().backward()
    (call(torch, theirs) ** 2).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad, rtol=1e-5, atol=1e-6)


def test_topk_of_nothing_and_too_many():
    assert am.topk(X, 0, 1).values.shape == (3, 0, 5)
    assert am.topk(am.tensor(2.0), 1).indices.item() == 0
    with pytest.raises(ArgumentError, match="topk: k is 5 on an axis of 4; need 0 <= k <= 4"):
        am.topk(X, 5, 1)
