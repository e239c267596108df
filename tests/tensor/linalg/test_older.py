"""PyTorch's older names of linear algebra, reflections and indefinite factors, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, DTypeError, LinAlgError, ShapeError

pytestmark = pytest.mark.filterwarnings("ignore:torch")  # these names are deprecated there
RNG = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def complex_(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


def flat(found: Any) -> list[Any]:
    return list(found) if isinstance(found, tuple) else [found]


def check(ours: Any, theirs: Any, *arrays: np.ndarray, gradient: bool = True) -> None:
    """Equal results, and gradients of a weighted sum of their squared magnitudes."""
    xs = [am.tensor(x, requires_grad=gradient) for x in arrays]
    ts = [torch.tensor(x, requires_grad=gradient) for x in arrays]
    found, wanted = flat(ours(*xs)), flat(theirs(*ts))
    assert [x.shape for x in found] == [tuple(t.shape) for t in wanted]
    for x, t in zip(found, wanted, strict=True):
        assert x.dtype.name == str(t.dtype).removeprefix("torch.")
        np.testing.assert_allclose(x.detach().numpy(), t.detach().resolve_conj().numpy(),
                                   atol=1e-9)  # fmt: skip
    if not gradient:
        return
    total: Any = 0.0
    goal: Any = 0.0
    for x, t in zip(found, wanted, strict=True):
        if t.requires_grad:
            weight = RNG.normal(size=tuple(t.shape))
            total = total + (abs(x) ** 2 * am.tensor(weight)).sum()
            goal = goal + (t.abs() ** 2 * torch.tensor(weight)).sum()
    total.backward()
    goal.backward()
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.resolve_conj().numpy(), rtol=1e-7,
                                   atol=1e-8)  # fmt: skip


@pytest.mark.parametrize("make", [real, complex_])
def test_reflections(make: Any) -> None:
    tall = make(4, 2)
    for matrix in (tall, make(2, 3, 5)):
        check(am.geqrf, torch.geqrf, matrix, gradient=False)
    packed, tau = (x.numpy() for x in torch.geqrf(torch.tensor(tall)))
    check(am.orgqr, torch.orgqr, packed, tau)
    for left, transpose in ((True, False), (False, False)):
        other = make(4, 2) if left else make(2, 4)
        options = {"left": left, "transpose": transpose}
        check(lambda *x, o=options: am.ormqr(*x, **o),
              lambda *x, o=options: torch.ormqr(*x, **o), packed, tau, other)  # fmt: skip


def test_many_reflections() -> None:
    a = complex_(60, 40)
    packed, tau = am.geqrf(am.tensor(a))
    q = am.orgqr(packed, tau)
    np.testing.assert_allclose((q.mH @ q).numpy(), np.eye(40), atol=1e-12)
    np.testing.assert_allclose((q @ packed.triu()[:40]).numpy(), a, atol=1e-12)
    turned = am.ormqr(packed, tau, am.tensor(a), transpose=True)
    np.testing.assert_allclose(turned.numpy(), np.triu(packed.numpy()), atol=1e-12)


def test_reflections_that_do_not_fit() -> None:
    x, tau = am.zeros(2, 5, 3), am.zeros(2, 3)
    with pytest.raises(ShapeError, match="equal leading axes"):
        am.orgqr(x, am.zeros(3))
    with pytest.raises(ShapeError, match="k up to m and n"):
        am.orgqr(x, am.zeros(2, 4))
    with pytest.raises(ShapeError, match="m >= n"):
        am.orgqr(x.mT, tau)
    with pytest.raises(ShapeError, match="equal numbers of rows"):
        am.ormqr(x, tau, am.zeros(2, 3, 5))


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("make", [real, complex_])
@pytest.mark.parametrize("hollow", [False, True])  # no 1 x 1 pivot to begin with
def test_indefinite_factors(make: Any, hermitian: bool, hollow: bool) -> None:
    a = make(3, 7, 7)
    a = a + (np.swapaxes(a, -1, -2).conj() if hermitian else np.swapaxes(a, -1, -2))
    a = a * (1 - np.eye(7)) if hollow else a
    lower = np.tril(a) + np.triu(np.full_like(a, np.nan), 1)  # all that may be read
    factors = am.linalg.ldl_factor(am.tensor(lower), hermitian=hermitian)
    wanted = torch.linalg.ldl_factor(torch.tensor(a), hermitian=hermitian)
    np.testing.assert_array_equal(factors.pivots.numpy(), wanted.pivots.numpy())
    np.testing.assert_allclose(factors.LD.numpy(), wanted.LD.numpy(), atol=1e-10)
    b = make(7, 2)
    found = am.linalg.ldl_solve(*factors, am.tensor(b), hermitian=hermitian)
    np.testing.assert_allclose(a @ found.numpy(), np.broadcast_to(b, (3, 7, 2)), atol=1e-9)


def test_singular_indefinite_matrices() -> None:
    a = am.stack([am.eye(3), am.zeros(3, 3)])
    assert am.linalg.ldl_factor_ex(a).info.tolist() == [0, 1]
    with pytest.raises(LinAlgError, match=r"ldl_factor: matrix 1 of the batch has a zero in D"):
        am.linalg.ldl_factor(a).LD.numpy()
    with pytest.raises(LinAlgError, match=r"ldl_solve: matrix 1 of the batch"):
        am.linalg.ldl_solve(*am.linalg.ldl_factor_ex(a)[:2], am.ones(2, 3, 1)).numpy()
    for pivots in ([7, 1], [0, 1], [1, -2]):
        with pytest.raises(LinAlgError, match="need those of ldl_factor"):
            am.linalg.ldl_solve(am.eye(2), am.tensor(pivots), am.ones(2, 1)).numpy()
    with pytest.raises(DTypeError, match="need integers"):
        am.linalg.ldl_solve(am.eye(2), am.ones(2), am.ones(2, 1))
    with pytest.raises(ShapeError, match="here n = 2"):
        am.linalg.ldl_solve(am.eye(2), am.tensor([1, 2]), am.ones(3, 1))


@pytest.mark.parametrize("make", [real, complex_])
def test_lu(make: Any) -> None:
    square, right = make(2, 3, 3), make(2, 3, 2)
    check(lambda x: am.lu(x, get_infos=True), lambda x: torch.lu(x, get_infos=True), square)
    check(lambda x, y: am.lu_solve(y, *am.lu(x)), lambda x, y: torch.lu_solve(y, *torch.lu(x)),
          square, right)  # fmt: skip
    for matrix in (make(4, 2), make(2, 4)):
        check(lambda x: am.lu_unpack(*am.lu(x)), lambda x: torch.lu_unpack(*torch.lu(x)), matrix)
    packed, pivots = am.lu(am.tensor(square))
    assert am.lu_unpack(packed, pivots, unpack_data=False).L.shape == (0,)
    assert am.lu_unpack(packed, pivots, unpack_pivots=False).P.shape == (0,)
    with pytest.raises(ShapeError, match="as lu_factor returns"):
        am.lu_unpack(packed, pivots[:, :2])


@pytest.mark.parametrize("make", [real, complex_])
@pytest.mark.parametrize("shape", [(2, 4, 4), (5, 3), (3, 5), (30, 30)])
def test_lu_without_exchanges(make: Any, shape: tuple[int, ...]) -> None:
    a = make(*shape) + 8 * np.eye(*shape[-2:])
    moved, low, up = am.linalg.lu(am.tensor(a), pivot=False)
    assert moved.shape == (0,)
    np.testing.assert_allclose((low @ up).numpy(), a, atol=1e-10)
    np.testing.assert_array_equal(np.triu(low.numpy(), 1), 0)
    pivots = am.linalg.lu_factor(am.tensor(a), pivot=False).pivots
    assert (pivots == am.arange(1, min(shape[-2:]) + 1)).all()
    if a.shape[-1] == a.shape[-2] and a.dtype.kind == "f":
        x = am.tensor(a, requires_grad=True)
        am.linalg.lu(x, pivot=False).U.diagonal(0, -2, -1).log().sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), np.swapaxes(np.linalg.inv(a), -1, -2),
                                   atol=1e-10)  # fmt: skip


@pytest.mark.parametrize("make", [real, complex_])
def test_triangular_solve(make: Any) -> None:
    a, b = make(3, 3) + 4 * np.eye(3), make(2, 3, 2)
    for upper in (True, False):
        for transpose in (True, False):
            for unit in (True, False):
                arguments = upper, transpose, unit
                check(lambda y, x, o=arguments: am.triangular_solve(y, x, *o),
                      lambda y, x, o=arguments: torch.triangular_solve(y, x, *o), b, a)  # fmt: skip
    with pytest.raises(ShapeError, match="triangular_solve: got"):
        am.triangular_solve(am.ones(3), am.eye(3))


@pytest.mark.parametrize("upper", [False, True])
def test_half_of_a_cholesky_factor(upper: bool) -> None:
    """The other triangle is not read, and has no slope."""
    low = np.tril(real(3, 3)) + 4 * np.eye(3)
    other = np.triu(np.full((3, 3), np.nan), 1)
    factor = (low + other).T if upper else low + other
    b = am.tensor(real(3, 2))
    for function in (am.cholesky_inverse, lambda x, upper: am.cholesky_solve(b, x, upper)):
        x = am.tensor(factor, requires_grad=True)
        found = function(x, upper=upper)
        right = np.eye(3) if found.shape == (3, 3) else b.numpy()
        np.testing.assert_allclose(low @ low.T @ found.detach().numpy(), right, atol=1e-12)
        found.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy()[np.isnan(factor)], 0)


def test_chains_of_products() -> None:
    check(am.chain_matmul, torch.chain_matmul, real(2, 3), real(3, 5), real(5, 1))
    check(am.chain_matmul, torch.chain_matmul, real(2, 3))
    check(am.ger, torch.ger, real(3), real(2))
    found = am.linalg.multi_dot([am.tensor([[1, 2]]), am.tensor([[3], [4]])])
    assert found.dtype is am.int64
    for arrays in ((), 3):
        with pytest.raises(ArgumentError, match="need at least two, in a list"):
            am.linalg.multi_dot(arrays)
    assert found.tolist() == [[11]]


@pytest.mark.parametrize("make", [real, complex_])
@pytest.mark.parametrize("shape", [(6, 4), (2, 4, 6)])
def test_low_rank(make: Any, shape: tuple[int, ...]) -> None:
    a = make(*shape[:-1], 2) @ make(*shape[:-2], 2, shape[-1])
    exact = np.linalg.svd(a, compute_uv=False)
    for q in (2, 100):
        u, s, v = am.svd_lowrank(am.tensor(a), q)
        count = min(q, *shape[-2:])
        assert s.shape == (*shape[:-2], count)
        np.testing.assert_allclose(s.numpy(), exact[..., :count], atol=1e-9)
        np.testing.assert_allclose(((u * s[..., None, :]) @ am.conj(v).mT).numpy(), a, atol=1e-9)
    shift = make(*shape[-2:])
    found = am.svd_lowrank(am.tensor(a + shift), 2, M=am.tensor(shift)).S
    np.testing.assert_allclose(found.numpy(), exact[..., :2], atol=1e-9)


def test_principal_components() -> None:
    a = real(20, 2) @ real(2, 6) + 3.0
    u, s, v = am.pca_lowrank(am.tensor(a), 3)
    centred = a - a.mean(0)
    np.testing.assert_allclose(((u * s) @ v.mT).numpy(), centred, atol=1e-9)
    np.testing.assert_allclose(s.numpy(), np.linalg.svd(centred, compute_uv=False)[:3], atol=1e-9)
    assert am.pca_lowrank(am.tensor(a)).S.shape == (6,)
    s = am.pca_lowrank(am.tensor(a), 3, center=False).S
    np.testing.assert_allclose(s.numpy(), np.linalg.svd(a, compute_uv=False)[:3], atol=1e-9)
    with pytest.raises(ArgumentError, match="need 0 to 6"):
        am.pca_lowrank(am.tensor(a), 7)
    with pytest.raises(ArgumentError, match="niter is -1"):
        am.svd_lowrank(am.tensor(a), 2, -1)


def test_nuclear_norms() -> None:
    a = real(3, 4, 5)
    for axis in ((0, 1), (0, 2), (1, 2)):
        for keep in (False, True):
            check(lambda x, a=axis, k=keep: am.norm(x, "nuc", a, k),
                  lambda x, a=axis, k=keep: torch.norm(x, "nuc", a, k), a)  # fmt: skip
    check(lambda x: x.norm("nuc"), lambda x: x.norm("nuc"), a[0])
    with pytest.raises(ArgumentError, match="need two"):
        am.norm(am.tensor(a), "nuc")
    with pytest.raises(ArgumentError, match="at most two"):
        am.norm(am.tensor(a), "fro", (0, 1, 2))


def test_gradients_of_eigenvectors_are_hermitian() -> None:
    """Whichever triangle is read: the gradient is that of a matrix that stays Hermitian."""
    a = real(4, 4)
    for triangle in "LU":
        check(lambda x, t=triangle: abs(am.linalg.eigh(x, UPLO=t).eigenvectors),
              lambda x, t=triangle: torch.linalg.eigh(x, UPLO=t).eigenvectors.abs(), a)  # fmt: skip


def test_drivers_of_least_squares() -> None:
    a, b = real(2, 4, 3), real(2, 4, 2)
    for driver in ("gels", "gelsy", "gelsd", "gelss"):
        found = am.linalg.lstsq(am.tensor(a), am.tensor(b), driver=driver)
        wanted = torch.linalg.lstsq(torch.tensor(a), torch.tensor(b), driver=driver)
        for x, t in zip(found, wanted, strict=True):
            assert x.shape == tuple(t.shape), driver
            np.testing.assert_allclose(x.numpy(), t.numpy(), atol=1e-10)
    with pytest.raises(ArgumentError, match="driver is 'qr'"):
        am.linalg.lstsq(am.tensor(a), am.tensor(b), driver="qr")


def test_axes_of_tensorsolve() -> None:
    a, b = real(3, 4, 4, 3), real(3, 4)
    check(lambda x, y: am.linalg.tensorsolve(x, y, dims=(0, 2)),
          lambda x, y: torch.linalg.tensorsolve(x, y, dims=(0, 2)), a, b)  # fmt: skip
    with pytest.raises(ShapeError, match="as many elements"):
        am.linalg.tensorsolve(am.tensor(a), am.tensor(b[:2]))
