"""Shape and order, padding, joining and splitting, against NumPy and torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError

pytestmark = pytest.mark.usefixtures("either")
X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
T = torch.tensor(X)
A = am.tensor(X)


def same(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours.numpy(), theirs)


CALLS = [
    "x.reshape(4, 6)", "x.reshape((6, -1))", "x.view(-1)", "x.flatten(1)", "x.flatten(0, 1)",
    "x.unflatten(2, (2, -1))", "x.unsqueeze(1)", "x.unsqueeze(-1)", "x[:1].squeeze()",
    "x[:1].squeeze(0)", "x.squeeze(0)", "x.permute(2, 0, 1)", "x.permute((1, 0, 2))",
    "x.transpose(0, 2)", "x.transpose(-1, 1)", "x.swapaxes(0, 1)", "x.mT", "x[0].T", "x[0].t()",
    "x.moveaxis(0, -1)", "x.moveaxis((0, 1), (2, 0))", "x.expand(5, 2, 3, 4)",
    "x[:, :1].expand(-1, 7, -1)", "x.broadcast_to((2, 2, 3, 4))", "x.flip(0)", "x.flip((0, 2))",
    "x.flip(0, 2)", "x.roll(1, 0)", "x.roll((1, -2), (0, 2))", "x.roll(5)", "x.roll(-1, -1)",
    "x.narrow(2, 1, 2)", "x.narrow(1, -2, 2)", "x.tile((2, 1, 3))", "x.repeat(2, 1, 1, 2)",
    "x.repeat_interleave(2, 1)", "x.repeat_interleave(3)", "x.ravel()", "x.fliplr()", "x.flipud()",
    "x.view_as(x[..., None])", "x[0, 0].expand_as(x)", "x.reshape(1, 24).squeeze().view(2, 12)",
    "x.diagonal(0, 1, 2)", "x[0].diagonal(1)", "x.diagonal(-1, 0, 2)", "x.unfold(2, 2, 1)",
    "x.cumsum(1)", "x.cumprod(2)", "x.diff()", "x.diff(n=2, dim=1)", "x.tril()", "x.triu(1)",
    "x[0].tril(-1)", "x.swapaxes(0, 2).flatten()",
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_methods_match_torch(call):
    same(eval(call, {"x": A}), eval(call, {"x": T}))


FUNCTIONS = [
    "m.cat([x, x[:1]])", "m.cat((x, x), dim=2)", "m.concat([x, x], -1)", "m.stack([x, x], 1)",
    "m.stack([x, x], dim=-1)", "m.hstack([x, x])", "m.vstack([x[0], x[1]])", "m.hstack([v, v])",
    "m.vstack([v, v])", "m.split(x, 2, 2)[1]", "m.split(x, [1, 3], dim=-1)[1]",
    "m.split(x, 3, 2)[1]", "m.chunk(x, 3, 2)[1]", "m.chunk(x, 2, -1)[1]", "m.unbind(x, 1)[2]",
    "m.unbind(x)[1]", "m.meshgrid(v, v[:2], indexing='ij')[1]",
    "m.meshgrid(v, v[:2], indexing='xy')[0]", "m.broadcast_tensors(x, v)[1]",
]  # fmt: skip


@pytest.mark.parametrize("call", FUNCTIONS)
def test_functions_match_torch(call):
    same(
        eval(call, {"m": am, "x": A, "v": A[0, 0]}), eval(call, {"m": torch, "x": T, "v": T[0, 0]})
    )


@pytest.mark.parametrize(
    ("padding", "options"),
    [
        ((1, 2), {}),
        ((1, 2, 0, 1), {"value": 7.0}),
        ((-1, 2, 1, -1), {"value": 0.5}),
        ((1, 1), {"mode": "reflect"}),
        ((3, 2), {"mode": "circular"}),
        ((3, 2), {"mode": "replicate"}),
    ],
)
def test_padding_matches_torch(padding, options):
    same(am.pad(A, padding, **options), torch.nn.functional.pad(T, padding, **options))


def test_padding_takes_numpys_pairs():
    pairs = ((1, 0), (0, 2), (3, 1))
    same(am.pad(A, pairs), np.pad(X, pairs))
    same(am.pad(A, pairs, mode="edge"), np.pad(X, pairs, mode="edge"))
    same(am.pad(A, 1), np.pad(X, 1))


def test_transpose_speaks_numpy():
    same(A.transpose(), X.transpose())
    same(am.transpose(A, (1, 2, 0)), X.transpose(1, 2, 0))
    same(am.permute_dims(A, (1, 2, 0)), X.transpose(1, 2, 0))
    same(am.repeat(A, 2, axis=0), X.repeat(2, axis=0))
    same(am.tile(A, (2, 1)), np.tile(X, (2, 1)))
    same(am.concatenate([A, A], axis=None), np.concatenate([X, X], axis=None))


def test_joining_promotes():
    found = am.cat([am.tensor([1]), am.tensor([0.5])])
    assert found.dtype is am.float32
    assert found.tolist() == [1.0, 0.5]
    assert am.stack([1, 2.5]).tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ("x.reshape(5, 5)", ShapeError, r"reshape: \(2, 3, 4\) has 24 elements, \(5, 5\) has 25"),
        ("x.reshape(-1, -1)", ShapeError, "need one -1 at most"),
        ("x.reshape(5, -1)", ShapeError, "does not fit"),
        ("x.reshape(2.5)", ShapeError, "need integers"),
        ("x.permute(0, 1)", ShapeError, "need each of its 3 axes once"),
        ("x.permute(0, 1, 1)", ShapeError, "need each of its 3 axes once"),
        ("x.expand(2, 3, 5)", ShapeError, "does not broadcast"),
        ("x.unsqueeze(5)", ArgumentError, "axis 5 does not exist"),
        ("x.roll((1, 2), 0)", ArgumentError, "2 shifts and 1 axes"),
        ("x.narrow(0, 1, 2)", ShapeError, "need to stay within 2"),
        ("x.split([1, 1], 2)", ShapeError, "need a total of 4"),
        ("x.flatten(2, 1)", ArgumentError, "need start_dim <= end_dim"),
        ("x.t()", ShapeError, "at most two dimensions"),
        ("m.cat([])", ArgumentError, "got no tensors"),
        ("m.cat([x, x[0]])", ShapeError, "differ outside axis 0"),
        ("m.stack([x, x[0]])", ShapeError, "need equal shapes: use concat"),
        ("m.pad(x, (1, 1, 1))", ShapeError, "need two an axis"),
        ("m.pad(x, (4, 4), mode='reflect')", ShapeError, "need counts of at most 3"),
        ("m.pad(x, 1, mode='mirror')", ArgumentError, "mode 'mirror'"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        eval(call, {"m": am, "x": A})


@pytest.mark.parametrize("call", ["x.unfold(2, 2, 1)", "x.roll(1, 2)", "x.flip(0)", "x.mT",
                                  "x.cumsum(2)", "x.cumprod(2)", "x.diagonal(0, 1, 2)",
                                  "x.repeat_interleave(2, 1)", "x.expand(2, 2, 3, 4)"])  # fmt: skip
def test_gradients_match_torch(call):
    ours, theirs = am.tensor(X / 9, requires_grad=True), torch.tensor(X / 9, requires_grad=True)
    (eval(call, {"x": ours}) ** 2).sum().backward()
    (eval(call, {"x": theirs}) ** 2).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad, rtol=1e-5)
