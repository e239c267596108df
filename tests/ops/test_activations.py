"""GELU, its derivatives and theirs, against mpmath."""

import numpy as np
import pytest
from mpmath import mp, mpf

import ambos as am
import ambos.nn.functional as F
from ambos.core.errors import ArgumentError

X = np.linspace(-14, 14, 141)


def approximation(x):
    return x / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mpf("0.044715") * x**3)))


EXACT = {
    "none": [
        lambda x: x * mp.ncdf(x),
        lambda x: mp.ncdf(x) + x * mp.npdf(x),
        lambda x: (2 - x * x) * mp.npdf(x),
    ],
    "tanh": [
        approximation, lambda x: mp.diff(approximation, x), lambda x: mp.diff(approximation, x, 2)
    ],
}  # fmt: skip
# Errors in epsilons of the result, or of 1 where that is larger. PyTorch's are 5.9, 1.6, 0.7 and
# 1.2, 8.3, 3.1 in float32, 1.0, 1.0, 0.5 and 1.6, 20, 5.7 in float64.
LIMITS = {"none": (1.1, 1.1, 1.1), "tanh": (1.1, 12, 2)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["none", "tanh"])
def test_digits(kind, dtype):
    values = X.astype(dtype)
    x = am.tensor(values, requires_grad=True)
    y = F.gelu(x, kind)
    (slope,) = am.autograd.grad(y.sum(), [x], create_graph=True)
    (bend,) = am.autograd.grad(slope.sum(), [x])
    for found, function, limit in zip((y, slope, bend), EXACT[kind], LIMITS[kind], strict=True):
        with mp.workdps(40):
            exact = np.array([float(function(mpf(float(v)))) for v in values])
        unit = np.finfo(dtype).eps * np.maximum(np.abs(exact), 1)
        assert (np.abs(found.detach().numpy() - exact) / unit).max() < limit


@pytest.mark.parametrize("kind", ["none", "tanh"])
def test_numbers_that_overflow_inside(kind):
    """Far from zero the slopes are 0 and 1, whatever x^3 is."""
    x = am.tensor([-1e30, -1e13, 1e13, 1e30], requires_grad=True)
    (slope,) = am.autograd.grad(F.gelu(x, kind).sum(), [x])
    np.testing.assert_array_equal(slope.numpy(), [0, 0, 1, 1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", ["none", "tanh"])
def test_derivatives_of_the_tails(kind, dtype):
    """Finite wherever factors overflow, and those of mpmath where they are not 0 yet."""
    near, far = [3, 5.75, 6, 8, 11.75], [13.25, 14, 33, 36, 41, 100, 300, 6e4, 1e10, 1e20, 1e30]
    with np.errstate(over="ignore"):
        values = np.array([*near, *far, np.inf], dtype)
    x = am.tensor(np.concatenate([values, -values]), requires_grad=True)
    grown = F.gelu(x, kind)
    (grown,) = am.autograd.grad(grown.sum(), [x], create_graph=True)
    for order in (2, 3):
        (grown,) = am.autograd.grad(grown.sum(), [x], create_graph=True)
        found = grown.detach().numpy()
        with mp.workdps(60):
            exact = [
                float(mp.diff(EXACT[kind][0], mpf(s * v), order)) for s in (1, -1) for v in near
            ]
        halves = np.concatenate([found[: len(near)], found[len(values) :][: len(near)]])
        np.testing.assert_allclose(halves, exact, atol=4 * np.finfo(dtype).eps)
        rest = np.concatenate([found[len(near) : len(values)], found[len(values) + len(near) :]])
        np.testing.assert_allclose(rest, 0, atol=1e-30)


@pytest.mark.parametrize("kind", ["none", "tanh"])
def test_derivatives_of_no_number(kind):
    x = am.tensor(np.nan, requires_grad=True)
    slope = am.grad(lambda v: F.gelu(v, kind))
    assert np.isnan([slope(x).item(), am.grad(slope)(x).item()]).all()


@pytest.mark.parametrize("kind", ["none", "tanh"])
def test_half_precision_is_rounded_once(kind):
    x = am.tensor(X.astype(np.float16))
    wanted = F.gelu(x.float(), kind).numpy().astype(np.float16)
    np.testing.assert_array_equal(F.gelu(x, kind).numpy(), wanted)


def test_another_approximation_is_refused():
    with pytest.raises(ArgumentError, match="need 'none' or 'tanh'"):
        F.gelu(am.ones(2), "cubic")
