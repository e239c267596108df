"""Resized images against PyTorch, and what their gradients must not do."""

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos.compiler.prepare import prepare
from ambos.graph import toposort
from ambos.nn.functional.resampling import table

RNG = np.random.default_rng(3)
TF = torch.nn.functional


def compare(shape, **options):
    x = RNG.normal(size=shape).astype(np.float32)
    a, b = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, ty = F.interpolate(a, **options), TF.interpolate(b, **options)
    assert y.shape == tuple(ty.shape)
    np.testing.assert_allclose(y.numpy(), ty.detach(), rtol=1e-5, atol=2e-5)
    seed = RNG.normal(size=y.shape).astype(np.float32)
    y.backward(am.tensor(seed))
    ty.backward(torch.tensor(seed))
    np.testing.assert_allclose(a.grad.numpy(), b.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(3, 5), (14, 9), (7, 30), (1, 1), (20, 2)])
@pytest.mark.parametrize("options", [
    {"mode": "nearest"}, {"mode": "nearest-exact"}, {"mode": "area"}, {"mode": "bilinear"},
    {"mode": "bilinear", "align_corners": True}, {"mode": "bicubic"},
    {"mode": "bicubic", "align_corners": True}, {"mode": "bilinear", "antialias": True},
    {"mode": "bicubic", "antialias": True},
    {"mode": "bicubic", "antialias": True, "align_corners": True},
])  # fmt: skip
def test_images(options, size):
    compare((2, 3, 7, 10), size=size, **options)


@pytest.mark.parametrize("factor", [2, 3, 0.5, 1.7, (0.6, 2.3)])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("recompute", [False, True])
def test_factors(mode, factor, recompute):
    compare((2, 2, 6, 5), scale_factor=factor, mode=mode, recompute_scale_factor=recompute)


@pytest.mark.parametrize("mode", ["linear", "trilinear", "nearest"])
def test_sequences_and_volumes(mode):
    if mode != "trilinear":
        compare((2, 3, 8), size=13, mode=mode)
    if mode != "linear":
        compare((1, 2, 4, 5, 3), size=(7, 3, 6), mode=mode)


def test_tables_and_their_transposes():
    for mode in ("nearest", "linear", "cubic"):
        for size, count in ((1, 4), (5, 5), (4, 11), (11, 3), (300, 40)):
            rows = table(mode, size, count, None, False, False, "float64")
            dense, back = np.zeros((count, size)), np.zeros((size, count))
            np.add.at(dense, (np.arange(count)[None], rows.places), rows.weights)
            np.add.at(back, (np.arange(size)[None], rows.back_places), rows.back_weights)
            np.testing.assert_allclose(dense, back.T, atol=1e-15)
            np.testing.assert_allclose(dense.sum(1), 1)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_gradients_gather(mode):
    """Nothing in the backward pass scatters."""
    x = am.tensor(RNG.normal(size=(1, 2, 5, 6)).astype(np.float32), requires_grad=True)
    y = F.interpolate(x, size=(9, 11), mode=mode)
    (grad,) = am.autograd.grad(y.sum(), [x])
    names = {node.op.name for node in toposort(prepare([grad._node]))}
    assert "take" in names
    assert not {name for name in names if name.startswith("scatter")}


def test_a_batch_has_the_bits_of_each_image():
    x = am.tensor(RNG.normal(size=(3, 2, 9, 7)).astype(np.float32))
    whole = F.interpolate(x, size=(13, 5), mode="bicubic").numpy()
    for i in range(3):
        one = F.interpolate(x[i : i + 1], size=(13, 5), mode="bicubic").numpy()
        np.testing.assert_array_equal(one[0], whole[i])


def test_halves_round_once():
    x = RNG.normal(size=(1, 1, 6, 6)).astype(np.float16)
    found = F.interpolate(am.tensor(x), size=(6, 11), mode="bilinear").numpy()
    exact = TF.interpolate(torch.tensor(x.astype(np.float32)), size=(6, 11), mode="bilinear")
    np.testing.assert_array_equal(found, exact.numpy().astype(np.float16))


@pytest.mark.parametrize(("shape", "options", "message"), [
    ((2, 3, 4), {"size": 3, "mode": "bilinear"}, "need 4 dimensions"),
    ((1, 1, 4, 4), {"size": 3, "scale_factor": 2}, "one of them only"),
    ((1, 1, 4, 4), {}, "need size or scale_factor"),
    ((1, 1, 4, 4), {"size": (3,)}, "need 2 numbers"),
    ((1, 1, 4, 4), {"size": 3, "align_corners": True}, "align_corners with mode"),
    ((1, 1, 4, 4), {"size": 0}, "positive sizes"),
    ((1, 1, 4, 4), {"size": 3, "mode": "bilinar"}, "need one of"),
])  # fmt: skip
def test_errors(shape, options, message):
    with pytest.raises(ValueError, match=message):
        F.interpolate(am.ones(*shape), **options)
