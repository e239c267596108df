"""Values and gradients of `am.linalg` against PyTorch's, real and complex, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am

L, T = am.linalg, torch.linalg
TOLERANCE = 1e-8
RNG = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def complex_(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


def positive(a: np.ndarray) -> np.ndarray:
    return a @ np.swapaxes(a, -1, -2).conj() + a.shape[-1] * np.eye(a.shape[-1])


SQUARE, TALL, RIGHT, VECTOR = real(2, 3, 4, 4), real(2, 5, 3), real(3, 4, 2), real(4)
WIDE, POSITIVE = np.swapaxes(TALL, -1, -2).copy(), positive(real(2, 3, 4, 4))
C_SQUARE, C_TALL, C_RIGHT = complex_(2, 4, 4), complex_(2, 5, 3), complex_(2, 4, 2)
C_WIDE, C_POSITIVE = np.swapaxes(C_TALL, -1, -2).copy(), positive(complex_(2, 4, 4))

Function = Callable[..., Any]
CASES: list[Any] = []


def case(name: str, ours: Function, theirs: Function, *arrays: np.ndarray) -> None:
    CASES.append(pytest.param(ours, theirs, arrays, id=name))


def named(name: str, *arrays: np.ndarray, **kwargs: Any) -> None:
    """The function of that name on both sides."""
    text = "-".join([name, *(f"{k}={v}" for k, v in kwargs.items())])
    kind = "complex-" if any(x.dtype.kind == "c" for x in arrays) else ""
    text += "-" + kind + "x".join(str(n) for n in arrays[0].shape)
    case(text, lambda *x: getattr(L, name)(*x, **kwargs),
         lambda *x: getattr(T, name)(*x, **kwargs), *arrays)  # fmt: skip


def magnitudes(result: Any) -> Any:
    """Vectors are determined up to a phase."""
    return tuple(abs(part) for part in result)


for positive_ in (POSITIVE, C_POSITIVE):
    for upper in (False, True):
        named("cholesky", positive_, upper=upper)
for square, right in ((SQUARE, RIGHT), (C_SQUARE, C_RIGHT)):
    turned = np.swapaxes(right, -1, -2).copy()
    for name in ("inv", "det", "slogdet", "matrix_exp"):
        named(name, square)
    named("solve", square, right)
    named("solve", square, turned, left=False)
    for n in (-2, 1, 3, 5):
        named("matrix_power", square, n=n)
    batch = square.shape[:-2]
    for kwargs in ({}, {"adjoint": True}, {"left": False}):
        side = turned if kwargs.get("left") is False else right
        case(
            f"lu_solve-{kwargs}-{square.dtype}",
            lambda x, y, kwargs=kwargs: L.lu_solve(*L.lu_factor(x), y, **kwargs),
            lambda x, y, kwargs=kwargs: T.lu_solve(*T.lu_factor(x), y, **kwargs),
            square, np.broadcast_to(side, (*batch, *side.shape[-2:])).copy(),
        )  # fmt: skip
    for upper in (False, True):
        for left in (False, True):
            for unitriangular in (False, True):
                named("solve_triangular", square, right if left else turned, upper=upper,
                      left=left, unitriangular=unitriangular)  # fmt: skip
named("solve", SQUARE, VECTOR)
named("solve", real(2, 3, 3), real(2, 3))
for shapes in ((SQUARE, TALL, WIDE), (C_SQUARE, C_TALL, C_WIDE)):
    for matrix in shapes:
        named("svdvals", matrix)
        named("lu_factor", matrix)
        named("lu", matrix)
        named("pinv", matrix)
        named("pinv", matrix, rtol=0.3)
        named("pinv", matrix, atol=0.5)
        case(f"qr-{matrix.dtype}-{matrix.shape}", lambda x: magnitudes(L.qr(x)),
             lambda x: magnitudes(T.qr(x)), matrix)  # fmt: skip
        case(f"svd-{matrix.dtype}-{matrix.shape}", lambda x: magnitudes(L.svd(x, False)),
             lambda x: magnitudes(T.svd(x, False)), matrix)  # fmt: skip
    case(f"lstsq-{shapes[1].dtype}", lambda x, y: L.lstsq(x, y)[0],
         lambda x, y: T.lstsq(x, y)[0], shapes[1], shapes[1][..., :2] + 1)  # fmt: skip
    case(f"lstsq-wide-{shapes[1].dtype}", lambda x, y: L.lstsq(x, y)[0],
         lambda x, y: T.pinv(x) @ y, shapes[2], shapes[2][..., :2] + 1)  # fmt: skip
for square in (SQUARE, C_SQUARE):
    case(f"eigh-{square.dtype}", lambda x: magnitudes(L.eigh(x + am.conj(x).mT)),
         lambda x: magnitudes(T.eigh(x + x.mH)), square)  # fmt: skip
    case(f"eig-{square.dtype}", lambda x: magnitudes(L.eig(x)),
         lambda x: magnitudes(T.eig(x)), square)  # fmt: skip
    case(f"eigvals-{square.dtype}", lambda x: abs(L.eigvals(x)).sum(-1),
         lambda x: abs(T.eigvals(x)).sum(-1), square)  # fmt: skip
for matrix in (POSITIVE, C_POSITIVE):
    for UPLO in "LU":
        named("eigvalsh", matrix, UPLO=UPLO)
for matrix in (SQUARE, C_SQUARE):
    for order in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        for axis in ((-2, -1), (0, 2), (2, 0)):
            for keep in (False, True):
                case(f"matrix_norm-{order}-{axis}-{keep}-{matrix.dtype}",
                     lambda x, order=order, axis=axis, keep=keep: L.matrix_norm(
                         x, order, axis, keep),
                     lambda x, order=order, axis=axis, keep=keep: T.matrix_norm(
                         x, order, axis, keep),
                     matrix)  # fmt: skip
    for order in (0, 1, 2, 3, -1, 0.5, np.inf, -np.inf):
        case(f"vector_norm-{order}-{matrix.dtype}",
             lambda x, order=order: L.vector_norm(x, order, -1),
             lambda x, order=order: T.vector_norm(x, order, -1), matrix)  # fmt: skip
for p in (None, 2, -2, "nuc"):
    named("cond", SQUARE, p=p)
for order in (None, "fro", "nuc", 1, 2):
    named("norm", SQUARE[0, 0], ord=order)
named("norm", SQUARE)
for matrix in (TALL, C_TALL):
    named("matrix_rank", matrix)
    named("matrix_rank", matrix, rtol=0.5)
    named("cross", matrix, matrix + 1)
    named("diagonal", matrix, offset=1)
    named("householder_product", matrix, matrix[:, 0, :] / 2)
named("vander", VECTOR)
named("vander", real(2, 3), N=5)
named("tensorinv", real(2, 3, 6), ind=2)
named("tensorsolve", real(2, 3, 6), real(2, 3))
case("multi_dot", lambda *x: L.multi_dot(x), lambda *x: T.multi_dot(x),
     real(4), real(4, 5), real(5, 2), real(2, 6))  # fmt: skip
case("trace", L.trace, lambda x: x.diagonal(dim1=-2, dim2=-1).sum(-1), TALL)


@pytest.mark.parametrize(("ours", "theirs", "arrays"), CASES)
def test_values_and_gradients(ours: Function, theirs: Function, arrays: tuple[Any, ...]) -> None:
    xs = [am.tensor(x, requires_grad=True) for x in arrays]
    ts = [torch.tensor(x, requires_grad=True) for x in arrays]
    found, wanted = _tuple(ours(*xs)), _tuple(theirs(*ts))
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == tuple(b.shape)
        assert a.dtype.name == str(b.dtype).removeprefix("torch.")
        np.testing.assert_allclose(a.detach().numpy(), _numpy(b), TOLERANCE, TOLERANCE)
    parts = [(a, b) for a, b in zip(found, wanted, strict=True) if a.requires_grad]
    if not parts:
        return
    sum(_weighted(a, am) for a, _ in parts).backward()
    sum(_weighted(b, torch) for _, b in parts).backward()
    for x, t in zip(xs, ts, strict=True):
        if t.grad is None:
            assert x.grad is None or not x.grad.numpy().any()
            continue
        expected = _numpy(t.grad)
        size = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(x.grad.numpy() / size, expected / size, atol=1e-7)


def _tuple(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def _numpy(x: torch.Tensor) -> np.ndarray:
    return np.asarray(x.detach().resolve_conj().numpy())


def _weighted(x: Any, package: Any) -> Any:
    """A real number to which all elements contribute, none like another."""
    count = int(np.prod(x.shape))
    weights = package.arange(1.0, count + 1, dtype=package.float64).reshape(tuple(x.shape))
    return (abs(x) ** 2 * weights).sum()
