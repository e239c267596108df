"""What factors, inverses and solutions have to satisfy; shapes at the edges; errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch

import ambos as am
from ambos.core.errors import ArgumentError, DTypeError, LinAlgError, ShapeError

L = am.linalg
SHAPES = [(4, 4), (2, 5, 3), (2, 3, 5), (1, 1), (0, 3, 3), (2, 0, 0), (2, 0, 3), (2, 3, 0)]
SQUARE = [shape for shape in SHAPES if shape[-1] == shape[-2]]


def numbers(*shape: int, kind: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    found = rng.normal(size=shape)
    if kind.startswith("complex"):
        found = found + 1j * rng.normal(size=shape)
    return found.astype(kind)


def turned(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x, -1, -2).conj()


def close(found: am.Tensor | np.ndarray, expected: np.ndarray) -> None:
    values = found if isinstance(found, np.ndarray) else found.numpy()
    assert values.shape == expected.shape
    digits = 2e-4 if values.dtype.name in ("float32", "complex64") else 1e-9
    np.testing.assert_allclose(values, expected, rtol=digits, atol=digits)


KINDS = ["float32", "float64", "complex64", "complex128"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_factors_multiply_to_the_matrix(shape: tuple[int, ...], kind: str) -> None:
    a = numbers(*shape, kind=kind)
    x, k = am.tensor(a), min(shape[-2:])
    for full in (True, False):
        u, s, vh = (part.numpy() for part in L.svd(x, full_matrices=full))
        assert s.dtype == np.zeros(0, kind).real.dtype
        close(u[..., :k] * s[..., None, :] @ vh[..., :k, :], a)
        ones = np.eye(u.shape[-1])
        close(turned(u) @ u, np.broadcast_to(ones, (*shape[:-2], *ones.shape)).astype(kind))
    for mode in ("reduced", "complete"):
        q, r = (part.numpy() for part in L.qr(x, mode=mode))
        close(q @ r, a)
        close(np.tril(r, -1), np.zeros_like(r))
    close(L.qr(x, mode="r").R, np.linalg.qr(a, mode="r"))
    p, low, up = (part.numpy() for part in L.lu(x))
    close(p @ low @ up, a)
    close(L.svdvals(x), np.linalg.svd(a, compute_uv=False))
    plus = L.pinv(x).numpy()
    close(plus, np.linalg.pinv(a) if a.size else np.zeros((*shape[:-2], shape[-1], shape[-2])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SQUARE, ids=str)
def test_square_matrices(shape: tuple[int, ...], kind: str) -> None:
    a = numbers(*shape, kind=kind) + 2 * np.eye(shape[-1], dtype=kind)
    b, h = numbers(*shape[:-1], 2, kind=kind), a @ turned(a)
    x = am.tensor(a)
    close(L.inv(x), np.linalg.inv(a))
    close(L.solve(x, am.tensor(b)), np.linalg.solve(a, b))
    close(L.det(x), np.asarray(np.linalg.det(a)))
    sign, size = L.slogdet(x)
    expected = np.linalg.slogdet(a)
    close(sign, np.asarray(expected[0]))
    close(size, np.asarray(expected[1]))
    low = L.cholesky(am.tensor(h)).numpy()
    close(low @ turned(low), h)
    close(L.cholesky(am.tensor(h), upper=True), turned(low))
    for UPLO in "LU":
        values, vectors = (part.numpy() for part in L.eigh(am.tensor(h), UPLO=UPLO))
        close(vectors * values[..., None, :] @ turned(vectors), h)
        close(L.eigvalsh(am.tensor(h), UPLO=UPLO), np.linalg.eigvalsh(h))
    values, vectors = (part.numpy() for part in L.eig(x))
    assert values.dtype.kind == "c"
    close(a @ vectors - vectors * values[..., None, :], np.zeros(shape))
    close(L.matrix_exp(x), scipy.linalg.expm(a) if a.size else a)
    close(L.matrix_power(x, 3), np.linalg.matrix_power(a, 3))
    close(L.matrix_power(x, -1), np.linalg.inv(a))
    close(L.matrix_power(x, 0), np.broadcast_to(np.eye(shape[-1]), shape))


@pytest.mark.parametrize("size", [1, 2, 47, 48, 49, 130])
def test_lu_in_panels_is_lapacks(size: int) -> None:
    a = numbers(size, size + 3)
    packed, pivots = L.lu_factor(am.tensor(a))
    expected = scipy.linalg.lapack.dgetrf(a)
    close(packed, expected[0])
    np.testing.assert_array_equal(pivots.numpy(), expected[1] + 1)
    assert pivots.dtype is am.int32


def test_lu_of_a_singular_matrix() -> None:
    a = np.array([[1.0, 2], [2, 4]])
    p, low, up = (part.numpy() for part in L.lu(am.tensor(a)))
    close(p @ low @ up, a)
    assert up[1, 1] == 0


@pytest.mark.parametrize("n", [1, 3, 4, 20])
def test_gradient_of_a_singular_determinant_is_its_cofactors(n: int) -> None:
    a = numbers(n, n)
    a[-1] = a[0] if n > 1 else 0
    x = am.tensor(a, requires_grad=True)
    L.det(x).backward()
    minors = [[(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1))
               for j in range(n)] for i in range(n)]  # fmt: skip
    size = np.abs(minors).max()
    close(x.grad.numpy() / size, np.array(minors) / size)


def test_equal_eigenvalues_have_a_gradient_vectors_have_none() -> None:
    x = am.eye(3, dtype=am.float64).requires_grad_()
    L.eigvalsh(x).sum().backward()
    close(x.grad, np.eye(3))
    y = am.eye(3, dtype=am.float64).requires_grad_()
    L.svdvals(y).sum().backward()
    close(y.grad, np.eye(3))
    z = am.eye(3, dtype=am.float64).requires_grad_()
    L.eigh(z).eigenvectors[0, 1].backward()
    assert not np.isfinite(z.grad.numpy()).all()


def test_least_squares() -> None:
    a, b = numbers(2, 6, 3), numbers(2, 6, 2)
    found = L.lstsq(am.tensor(a), am.tensor(b))
    for i in range(2):
        solution, residuals, rank, values = np.linalg.lstsq(a[i], b[i], rcond=None)
        close(found.solution[i], solution)
        close(found.residuals[i], residuals)
        assert found.rank[i].item() == rank
        close(found.singular_values[i], values)
    close(L.lstsq(am.tensor(a[0]), am.tensor(b[0, :, 0])).solution,
          np.linalg.lstsq(a[0], b[0, :, 0], rcond=None)[0])  # fmt: skip


def test_ranks_and_tolerances() -> None:
    a = np.diag([1.0, 1e-3, 1e-20])
    x = am.tensor(a)
    assert L.matrix_rank(x).item() == 2
    assert L.matrix_rank(x, rtol=1e-2).item() == 1
    assert L.matrix_rank(x, atol=0.5).item() == 1
    assert L.matrix_rank(am.zeros(2, 3, 3)).tolist() == [0, 0]
    assert L.matrix_rank(am.zeros(2, 0, 3)).tolist() == [0, 0]
    close(L.pinv(x, rtol=1e-2), np.diag([1.0, 0, 0]))
    both = am.stack([x, x])
    found = L.pinv(both, rtol=am.tensor([1e-2, 1e-4], dtype=am.float64)).numpy()
    close(found, np.stack([np.diag([1.0, 0, 0]), np.diag([1.0, 1e3, 0])]))


def test_vectors_and_batches_of_right_sides() -> None:
    a, n = am.tensor(numbers(5, 3, 3)), np.linalg.solve
    one, many, stack = numbers(3), numbers(5, 3), numbers(5, 3, 2)
    close(L.solve(a, am.tensor(one)), n(a.numpy(), one[:, None])[..., 0])
    close(L.solve(a, am.tensor(many)), n(a.numpy(), many[..., None])[..., 0])
    close(L.solve(a, am.tensor(stack)), n(a.numpy(), stack))
    close(L.solve(a[0], am.tensor(stack)), n(np.stack([a.numpy()[0]] * 5), stack))
    # (3, 3) may be a matrix, and is one: the Array API's reading.
    close(L.solve(a[:3], am.tensor(stack[0, :, :1] * np.ones(3))),
          n(a.numpy()[:3], np.broadcast_to(stack[0, :, :1] * np.ones(3), (3, 3, 3))))  # fmt: skip


def test_what_fails_can_be_asked_for() -> None:
    a = np.stack([np.eye(3), np.array([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]]), np.zeros((3, 3))])
    x = am.tensor(a)
    factor, info = L.cholesky_ex(x)
    assert info.dtype is am.int32
    assert info.tolist() == torch.linalg.cholesky_ex(torch.tensor(a))[1].tolist() == [0, 2, 1]
    close(factor[0], np.eye(3))
    assert np.isnan(factor[1].numpy()).all()
    a[2] = [[1, 2, 3], [2, 4, 6], [0, 0, 1]]
    x = am.tensor(a)
    inverse, info = L.inv_ex(x)
    assert info.tolist() == torch.linalg.inv_ex(torch.tensor(a))[1].tolist()
    close(inverse[1], np.linalg.inv(a[1]))
    b = am.ones(3, 3, 1, dtype=am.float64)
    solution, info = L.solve_ex(x, b)
    assert info.tolist() == torch.linalg.inv_ex(torch.tensor(a))[1].tolist()
    close(solution[1], np.linalg.solve(a[1], np.ones((3, 1))))
    assert L.lu_factor_ex(x).info.tolist() == info.tolist()
    with pytest.raises(LinAlgError, match="matrix 2 of the batch is singular"):
        L.inv_ex(x, check_errors=True).inverse.numpy()
    y = am.tensor(a[:2], requires_grad=True)
    L.inv_ex(y).inverse.sum().backward()
    z = am.tensor(a[:2], requires_grad=True)
    L.inv(z).sum().backward()
    close(y.grad, z.grad.numpy())


def test_names_outside_linalg_and_methods() -> None:
    a = numbers(2, 3, 3)
    h = a @ turned(a)
    for name, given in (
        ("det", a), ("inverse", a), ("logdet", a), ("slogdet", a), ("matrix_exp", a),
        ("pinverse", a), ("cholesky", h), ("qr", a), ("svd", a), ("svd", a[:, :2]),
    ):  # fmt: skip
        found, method = getattr(am, name)(am.tensor(given)), getattr(am.tensor(given), name)()
        with warnings.catch_warnings():  # some have been deprecated for years
            warnings.simplefilter("ignore")
            wanted = getattr(torch, name)(torch.tensor(given))
        several = isinstance(found, tuple)
        for x, y, z in zip(
            *((r if several else (r,)) for r in (found, method, wanted)), strict=True
        ):
            close(abs(x), np.abs(z.numpy()))
            assert x.numpy().tobytes() == y.numpy().tobytes()
    low = np.linalg.cholesky(h)
    close(am.cholesky_inverse(am.tensor(low)), np.linalg.inv(h))
    close(am.cholesky_inverse(am.tensor(turned(low)), upper=True), np.linalg.inv(h))
    close(am.tensor(a).matrix_power(2), a @ a)
    close(am.cholesky_solve(am.tensor(a), am.tensor(low)), np.linalg.solve(h, a))


def test_integers_count_as_float32() -> None:
    assert L.inv(am.tensor([[2, 0], [0, 4]])).tolist() == [[0.5, 0.0], [0.0, 0.25]]
    assert L.inv(am.tensor([[2, 0], [0, 4]])).dtype is am.float32
    assert L.trace(am.tensor([[2, 0], [0, 4]])).dtype is am.int64


ERRORS = [
    (lambda: L.inv(am.ones(2, 3)), ShapeError, r"linalg\.inv: got shape \(2, 3\); need square"),
    (lambda: L.det(am.ones(3)), ShapeError, "need at least two dimensions"),
    (lambda: L.solve(am.ones(2, 2), am.ones(3, 2)), ShapeError, "here n = 2"),
    (lambda: L.solve(am.ones(4, 2, 2), am.ones(3, 2, 1)), ShapeError, "do not broadcast"),
    (lambda: L.lstsq(am.ones(4, 2), am.ones(3, 2)), ShapeError, "with equal m"),
    (lambda: L.eigh(am.ones(2, 2), UPLO="X"), ArgumentError, "UPLO is 'X'; need one of 'L', 'U'"),
    (lambda: L.qr(am.ones(2, 2), mode="raw"), ArgumentError, "need one of 'reduced', 'complete'"),
    (lambda: L.cross(am.ones(2), am.ones(2)), ShapeError, "need 3 elements"),
    (lambda: L.outer(am.ones(2, 2), am.ones(3)), ShapeError, "need vectors"),
    (lambda: L.matrix_power(am.ones(2, 2), 0.5), ArgumentError, "need an integer"),
    (lambda: L.matrix_norm(am.ones(2, 2), 3), ArgumentError, "need 'fro', 'nuc', 1"),
    (lambda: L.matrix_norm(am.ones(2, 2), axis=(0, 0)), ArgumentError, "two different axes"),
    (lambda: L.multi_dot([am.ones(2, 2)]), ArgumentError, "need at least two"),
    (lambda: L.multi_dot([am.ones(2, 2), am.ones(3, 2)]), ShapeError, "equal inner sizes"),
    (lambda: L.inv(am.ones(2, 2, dtype=am.bfloat16)), DTypeError, "got bfloat16; need float32"),
    (lambda: L.lu_solve(am.ones(2, 2), am.ones(2), am.ones(2, 1)), DTypeError, "need integers"),
    (lambda: L.solve(am.zeros(2, 2), am.ones(2)).numpy(), LinAlgError, "is singular; need full"),
    (lambda: L.cholesky(-am.eye(2)).numpy(), LinAlgError, "is not positive definite"),
    (lambda: L.svdvals(am.full((2, 2), am.nan)).numpy(), LinAlgError, "look for NaN"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "kind", "message"), ERRORS)
def test_errors(wrong, kind, message) -> None:
    with pytest.raises(kind, match=message):
        wrong()


def test_unknown_names_are_answered() -> None:
    with pytest.raises(AttributeError, match="Did you mean 'cholesky'"):
        L.choleski
