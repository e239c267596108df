"""Products added to something and products by name, against torch."""

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import DTypeError, ShapeError

RNG = np.random.default_rng(0)


def pair(*shape):
    x = RNG.standard_normal(shape).astype("float32")
    return am.tensor(x), torch.tensor(x)


CALLS = {
    "addmm": ((4, 5), (4, 3), (3, 5)), "addmv": ((4,), (4, 3), (3,)), "addr": ((4, 5), (4,), (5,)),
    "baddbmm": ((2, 4, 5), (2, 4, 3), (2, 3, 5)), "addbmm": ((4, 5), (2, 4, 3), (2, 3, 5)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("beta", [1, 0.5, 0])
def test_added(name, beta):
    ours, theirs = zip(*(pair(*shape) for shape in CALLS[name]), strict=True)
    mine = getattr(am, name)(*ours, beta=beta, alpha=2.0)
    other = getattr(torch, name)(*theirs, beta=beta, alpha=2.0)
    np.testing.assert_allclose(mine.numpy(), other, rtol=1e-5, atol=1e-5)


def test_complex_factors():
    x = [RNG.standard_normal(s) + 1j * RNG.standard_normal(s) for s in CALLS["addmm"]]
    found = am.addmm(*map(am.tensor, x), beta=0.5, alpha=1 - 2j)
    np.testing.assert_allclose(found.numpy(), 0.5 * x[0] + (1 - 2j) * (x[1] @ x[2]), atol=1e-12)
    with pytest.raises(DTypeError, match="need an integer"):
        am.addmm(am.ones(2, 2, dtype=am.int64), am.eye(2).long(), am.eye(2).long(), beta=0.5)


def test_beta_zero_forgets():
    found = am.addmm(am.full((2, 2), float("nan")), am.eye(2), am.eye(2), beta=0)
    assert found.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_by_name():
    (x, s), (y, t) = pair(2, 3), pair(4, 5, 3)
    np.testing.assert_allclose(am.inner(x, y).numpy(), torch.inner(s, t), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(am.kron(x, y).numpy(), torch.kron(s, t))
    cross, wanted = am.cross(x[:, None], y[0], axis=-1), torch.cross(s[:, None], t[:1], dim=-1)
    np.testing.assert_allclose(cross.numpy(), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(am.vander(x[0]).numpy(), torch.vander(s[0]), rtol=1e-6)
    np.testing.assert_allclose(
        am.vander(x[0], 5, True).numpy(), torch.vander(s[0], 5, True), rtol=1e-6
    )


def test_errors():
    with pytest.raises(ShapeError, match="inner: the last axes"):
        am.inner(am.ones(2), am.ones(3))
    with pytest.raises(ShapeError, match="cross: axis 0"):
        am.cross(am.ones(2), am.ones(2), 0)
    with pytest.raises(ShapeError, match="addr: got"):
        am.addr(am.ones(2), am.ones(2, 2), am.ones(2))
