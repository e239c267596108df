"""Reductions against torch and NumPy."""

import math

import numpy as np
import pytest
import torch

import ambos as am
import ambos.nn.functional as F
from ambos.core.errors import ArgumentError, DTypeError, ShapeError

X = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
T = torch.tensor(X)


def close(ours, theirs):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype.name == theirs.dtype.name
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=3e-6, atol=1e-6)


def function_of(name):
    """Whose meaning `am.<name>` has: of a spread the Array API's, which NumPy keeps to."""
    if name not in ("var", "std"):
        return getattr(torch, name)
    return lambda x, dim=None, keepdim=False: getattr(np, name)(x.numpy(), dim, keepdims=keepdim)


@pytest.mark.parametrize("axis", [0, -1, (0, 2)])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "logsumexp", "var", "std"])
def test_over_axes(name, axis, keep):
    close(getattr(am, name)(X, axis=axis, keepdims=keep),
          function_of(name)(T, dim=axis, keepdim=keep))  # fmt: skip
    close(getattr(am.tensor(X), name)(dim=axis, keepdim=keep),
          getattr(T, name)(dim=axis, keepdim=keep))  # fmt: skip


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("name", ["prod", "argmax", "argmin", "any", "all", "count_nonzero"])
def test_over_one_axis(name, axis):
    close(getattr(am, name)(X, axis), getattr(torch, name)(T, axis))


@pytest.mark.parametrize(
    "name",
    ["sum", "mean", "prod", "var", "std", "argmax", "argmin", "any", "all", "amax", "max", "min"],
)
def test_over_everything(name):
    close(getattr(am, name)(X), function_of(name)(T))


def test_integers_sum_to_64_bits():
    for kind in (np.int8, np.int32, np.uint8, np.uint64, bool):
        x = np.array([1, 0, 1], kind)
        close(am.sum(x), x.sum())
        close(am.prod(x), x.prod())
    assert am.sum(np.array([200, 200], np.uint8)).item() == 400
    assert am.sum(X > 0, dtype=bool).item() is True
    assert am.prod(X > 0, dtype=bool).item() is False
    assert am.sum(np.array([1, 2], np.uint8), dtype=am.uint8).dtype is am.uint8


def test_means_need_floats():
    with pytest.raises(
        DTypeError, match=r"mean: got int64; need a floating dtype: use x.float\(\)"
    ):
        am.tensor([1, 2]).mean()
    assert am.mean(am.tensor([1, 2]), dtype=am.float32).item() == 1.5


@pytest.mark.parametrize("correction", [0, 1, 2, 1.3, -5])
def test_corrections(correction):
    close(am.var(X, 1, correction=correction), torch.var(T, 1, correction=correction))
    for name in ("var_mean", "std_mean"):
        found = getattr(am, name)(X, dim=(0, 2), correction=correction, keepdim=True)
        expected = getattr(torch, name)(T, dim=(0, 2), correction=correction, keepdim=True)
        for ours, theirs in zip(found, expected, strict=True):
            close(ours, theirs)
    close(am.std(X, axis=1, ddof=correction), X.std(axis=1, ddof=correction))
    for name in ("var", "std"):
        ours, theirs = getattr(am, name), getattr(torch, name)
        close(ours(X), getattr(np, name)(X))  # the method is PyTorch's, the function NumPy's
        close(getattr(am.tensor(X), name)(), theirs(T))
        close(getattr(am.tensor(X), name)(dim=1, keepdim=True), theirs(T, dim=1, keepdim=True))
        close(ours(am.tensor(X), unbiased=False), theirs(T, unbiased=False))
        close(ours(X, False), theirs(T, False))
        close(ours(X, 1, True, True), theirs(T, 1, True, True))
        method = getattr(am.tensor(X), name)
        close(method(dim=None, correction=None), theirs(T, dim=None, correction=None))
    with pytest.raises(ArgumentError, match="var: got correction 2 and unbiased True; need one"):
        am.var(X, 1, correction=2, unbiased=True)


def test_max_speaks_numpy_and_torch():
    x = am.tensor(X)
    close(x.max(axis=1), X.max(axis=1))
    values, indices = x.max(1)
    expected = T.max(1)
    close(values, expected.values)
    close(indices, expected.indices)
    close(am.min(x, dim=-1, keepdim=True).indices, T.min(-1, keepdim=True).indices)
    close(x.max(am.zeros(4)), torch.maximum(T, torch.zeros(4)))
    with pytest.raises(ArgumentError, match="need one axis"):
        x.max(dim=(0, 1))


@pytest.mark.parametrize("name", ["var", "std", "prod", "amax", "norm", "mean"])
def test_gradients_of_scalars(name):
    ours, theirs = am.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    getattr(ours, name)().backward()
    getattr(theirs, name)().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad, rtol=2e-5, atol=1e-7)


def test_empty_axes_and_scalars():
    close(am.sum(np.float32(3)), np.float32(3))
    close(am.sum(X, axis=()), X.sum(axis=()))
    close(am.sum(np.zeros((0, 3), np.float32), 0), np.zeros(3, np.float32))
    with pytest.raises(ShapeError, match=r"max: axis .* has no elements"):
        am.amax(np.zeros((0, 3), np.float32), 0)
    with pytest.raises(ArgumentError, match="names one axis twice"):
        am.sum(X, axis=(0, 0))


def test_paired_results():
    for ours, theirs in zip(am.var_mean(X, 1), torch.var_mean(T, 1), strict=True):
        close(ours, theirs)
    for ours, theirs in zip(am.std_mean(X, 1), torch.std_mean(T, 1), strict=True):
        close(ours, theirs)
    for ours, theirs in zip(am.aminmax(X, 1), torch.aminmax(T, dim=1), strict=True):
        close(ours, theirs)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precisions_round_once(kind):
    x = torch.tensor(X * 3000).to(getattr(torch, kind))
    ours = am.tensor(X * 3000).to(kind)
    for name, options in (("mean", {}), ("std", {}), ("norm", {}), ("softmax", {"dim": -1}),
                          ("logsumexp", {"dim": 1}), ("mean", {"dim": 2})):  # fmt: skip
        found, expected = getattr(ours, name)(**options), getattr(x, name)(**options)
        assert found.dtype.name == kind
        ulp = 2**-7 if kind == "bfloat16" else 2**-10
        np.testing.assert_allclose(found.numpy(), expected.float(), rtol=ulp)
    big = am.full((100,), 60000.0, dtype=am.float16)
    assert big.mean().item() == 60000


@pytest.mark.parametrize("name", ["norm", "std"])
def test_the_norm_of_zeros_has_a_gradient(name):
    x = am.zeros(3, requires_grad=True)
    getattr(x, name)().backward()
    assert x.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "amax", "argmin", "any", "logsumexp"])
def test_scalars_have_an_axis_for_torch(name):
    for axis in (0, -1):
        close(
            getattr(am, name)(am.tensor(3.0), axis), getattr(torch, name)(torch.tensor(3.0), axis)
        )
    with pytest.raises(ArgumentError, match="axis 1 does not exist"):
        getattr(am, name)(am.tensor(3.0), 1)


def test_smallest_and_largest_have_names():
    found, expected = am.aminmax(X, dim=1), torch.aminmax(T, dim=1)
    close(found.min, expected.min)
    close(found.max, expected.max)
    close(am.aminmax(X, axis=(0, 2)).max, X.max((0, 2)))


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 3, 1), (3, 4), (1,), ()])
def test_sums_to_a_size(shape):
    if len(shape) > 1:
        close(am.sum_to_size(X, *shape), T.sum_to_size(*shape))
    close(am.tensor(X[0, 0]).sum_to_size((1,)), T[0, 0].sum_to_size((1,)))
    with pytest.raises(ShapeError, match=r"sum_to_size: got \(2, 3, 4\) for \(2, 2\)"):
        am.sum_to_size(X, 2, 2)


def test_products_with_zeros_have_gradients():
    for zeros in ((), (1,), (0, 2)):
        x = X[0].astype(np.float64)
        x[zeros, 1] = 0
        ours, theirs = am.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        (ours.prod(0).sum() + ours.prod()).backward()
        (theirs.prod(0).sum() + theirs.prod()).backward()
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad, rtol=1e-12, atol=1e-14)


def test_variances_of_numbers_far_from_zero():
    """The mean of float32 is off by some units in the last place, which its square must not add."""
    for offset, count in ((1e6, 1000), (1e6, 10_000), (1e5, 1_000_000)):
        x = (np.arange(count) % 2 + offset).astype(np.float32)
        expected = x.astype(np.float64).var()
        np.testing.assert_allclose(am.var(am.tensor(x)).item(), expected, rtol=1e-5)
    assert am.std(am.full((1001,), 0.1)).item() < 1e-7
    assert math.isnan(am.var(am.tensor([1.0, float("inf")])).item())


@pytest.mark.parametrize("call", [
    lambda f, x: x.max(), lambda f, x: x.min(), lambda f, x: f.amax(x, 1),
    lambda f, x: f.amin(x, (0, 1)), lambda f, x: f.aminmax(x).max + f.aminmax(x).min,
    lambda f, x: x.max(1).values, lambda f, x: x.min(0).values,
    lambda f, x: f.linalg.vector_norm(x, float("inf")),
], ids=["max", "min", "amax", "amin", "aminmax", "max-dim", "min-dim", "norm"])  # fmt: skip
def test_gradients_of_equal_extremes(call):
    values = np.array([[0.0, 2, 2], [0, 0, 1], [2, 2, 2]], np.float32)
    x, t = am.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    call(am, x).sum().backward()
    call(torch, t).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extremes_of_windows_have_the_bits_of_those_of_rows(dtype: str) -> None:
    """Four elements of two axes are compared in a chain, those of one axis by a fold."""
    values = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, -1.0, 2.0]
    chosen = np.random.default_rng(0).integers(0, len(values), (11, 6, 2, 5, 2))
    x = am.tensor(np.array(values, dtype)[chosen])
    rows = x.permute(0, 1, 3, 2, 4).reshape(11, 6, 5, 4)
    for windows, row in ((x.amax((2, 4)), rows.amax(3)), (x.amin((2, 4)), rows.amin(3))):
        assert windows.numpy().tobytes() == row.numpy().tobytes()
    x, rows = (t.detach().requires_grad_() for t in (x, rows))
    pooled = F.max_pool2d(x.reshape(11, 1, 12, 10), 2)
    (slope,) = am.autograd.grad(pooled.sum(), [x])
    (other,) = am.autograd.grad(rows.max(3).values.sum(), [rows])
    moved = slope.permute(0, 1, 3, 2, 4).reshape(11, 6, 5, 4)
    assert moved.numpy().tobytes() == other.numpy().tobytes()
    assert pooled.numpy().tobytes() == rows.max(3).values.numpy().tobytes()
