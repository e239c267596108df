"""Pooling against torch: windows that hold nothing but -inf, and inputs that are too small."""

import itertools

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos.core.errors import ShapeError

RNG = np.random.default_rng(17)
TF = torch.nn.functional


def mostly_minus_infinity(*shape):
    x = RNG.standard_normal(shape).astype(np.float32)
    x[RNG.random(shape) < 0.7] = x[0, 0] = -np.inf
    return x


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("rank", "kernel", "stride", "padding", "dilation"),
    [(1, 2, 1, 1, 1), (1, 4, 3, 2, 2), (2, 3, 2, 1, 1), (2, (3, 2), (1, 2), (1, 0), (2, 1)),
     (2, 4, 1, 2, 1), (3, 3, 2, 1, 1), (3, 2, 1, 1, 2)],
)  # fmt: skip
def test_gradients_of_windows_of_minus_infinities(
    rank, kernel, stride, padding, dilation, ceil_mode
):
    """They go to the first element that is no padding."""
    x = mostly_minus_infinity(2, 2, *(7, 6, 5)[:rank])
    settings = kernel, stride, padding, dilation, ceil_mode
    mine, other = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found = getattr(F, f"max_pool{rank}d")(mine, *settings)
    wanted = getattr(TF, f"max_pool{rank}d")(other, *settings)
    np.testing.assert_array_equal(found.detach().numpy(), wanted.detach().numpy())
    weight = RNG.standard_normal(wanted.shape).astype(np.float32)
    found.backward(am.tensor(weight))
    wanted.backward(torch.tensor(weight))
    np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_gradients_of_minus_infinities_in_other_dtypes(dtype):
    x = mostly_minus_infinity(2, 3, 6, 5)
    mine = am.tensor(x).to(dtype).detach().requires_grad_()
    other = torch.tensor(x).to(getattr(torch, dtype)).requires_grad_()
    F.max_pool2d(mine, 3, 2, 1).sum().backward()
    TF.max_pool2d(other, 3, 2, 1).sum().backward()
    np.testing.assert_array_equal(mine.grad.float().numpy(), other.grad.float().numpy())


def test_tangents_and_examples_of_minus_infinities():
    """Forward mode is the transpose of reverse mode, and examples are pooled as one by one."""
    x, along = mostly_minus_infinity(2, 2, 5, 4), RNG.standard_normal((2, 2, 5, 4))
    other = torch.tensor(x, requires_grad=True)
    wanted = TF.max_pool2d(other, 3, 2, 1)
    weight = RNG.standard_normal(wanted.shape).astype(np.float32)
    wanted.backward(torch.tensor(weight))

    def pool(one):
        return F.max_pool2d(one, 3, 2, 1)

    _, tangent = am.jvp(pool, (am.tensor(x),), (am.tensor(along.astype(np.float32)),))
    expected = (other.grad.numpy() * along).sum()
    np.testing.assert_allclose((tangent.numpy() * weight).sum(), expected, rtol=1e-5)
    one_by_one = am.vmap(am.grad(lambda one, w: (pool(one) * w).sum()))
    found = one_by_one(am.tensor(x), am.tensor(weight))
    np.testing.assert_allclose(found.numpy(), other.grad.numpy(), rtol=1e-6)
    together = am.grad(lambda every: (am.vmap(pool)(every) * am.tensor(weight)).sum())
    np.testing.assert_allclose(together(am.tensor(x)).numpy(), other.grad.numpy(), rtol=1e-6)


def sizes(rank):
    """Inputs with empty axes, and images of 1 to 3 elements an axis."""
    small = list(itertools.product((1, 2, 3), repeat=rank))
    yield from ((1, 2, *space) for space in small)
    yield from ((2, *space) for space in small[:3])
    yield from ((0, 2, *small[-1]), (2, 0, *small[-1]), (0, *small[-1]), (1, 2, 0, *small[0][1:]))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["max", "avg", "lp"])
def test_inputs_that_are_too_small(kind, rank):
    """What PyTorch refuses is refused, what it takes has its shape."""
    name = f"{kind}_pool{rank}d"
    ours, theirs = getattr(F, name), getattr(TF, name)
    for shape, kernel, up in itertools.product(sizes(rank), (2, 3), (False, True)):
        for padding in () if kind == "lp" else (0, 1):
            agree_on(ours, theirs, shape, kernel, 2, padding, ceil_mode=up)
        if kind == "lp":
            agree_on(ours, theirs, shape, 2.0, kernel, 2, ceil_mode=up)


def agree_on(ours, theirs, shape, *args, **kwargs):
    try:
        wanted = theirs(torch.ones(shape), *args, **kwargs)
    except (RuntimeError, IndexError):
        with pytest.raises(ShapeError, match=r"need .*(element|window)"):
            ours(am.ones(*shape), *args, **kwargs)
    else:
        assert ours(am.ones(*shape), *args, **kwargs).shape == tuple(wanted.shape)


def test_a_volume_smaller_than_its_windows_is_told():
    wanted = "avg_pool3d: an axis of 1 is shorter than the window of 2; need a larger input"
    with pytest.raises(ShapeError, match=wanted):
        F.avg_pool3d(am.ones(1, 1, 1, 4, 4), 2, padding=1)
