"""Complex tensors: NumPy's values, PyTorch's gradients, interchange, jit, what is refused."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.config import config
from ambos.core.errors import DTypeError, GradientError, ShapeError
from ambos.optim import SGD, Adam
from ambos.runtime.loader import statistics
from ambos.tensor.realize import planning


@pytest.fixture(autouse=True)
def _restore_config() -> Iterator[None]:
    fuse, threads = config.fuse, config.threads
    yield
    config.fuse, config.threads = fuse, threads


def numbers(*shape: int, seed: int = 0, dtype: str = "complex128") -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


# --- in and out ----------------------------------------------------------------------------------


def test_python_numbers_are_complex64_and_arrays_keep_their_dtype() -> None:
    assert am.tensor([1 + 2j, 3]).dtype is am.complex64
    assert am.tensor(1j).dtype is am.complex64
    for dtype in ("complex64", "complex128"):
        values = numbers(3, 2, dtype=dtype)
        found = am.tensor(values)
        assert found.dtype.name == dtype
        assert found.numpy().dtype == values.dtype
        assert found.numpy().tobytes() == values.tobytes()
    assert am.tensor([1j], dtype=am.complex128).dtype is am.complex128
    assert am.cfloat is am.complex64
    assert am.cdouble is am.complex128


def test_values_come_out() -> None:
    z = am.tensor([[1 + 2j, -0.5j]])
    assert z.tolist() == [[1 + 2j, -0.5j]]
    assert z[0, 0].item() == 1 + 2j
    assert complex(z[0, 1]) == -0.5j
    assert bool(z[0, 0])
    assert repr(z) == "tensor([[ 1.+2.j , -0.-0.5j]])"
    assert repr(z.to("complex128")) == "tensor([[ 1.+2.j , -0.-0.5j]], dtype=ambos.complex128)"


def test_views_of_numpy_torch_and_back() -> None:
    values = numbers(4, 3)
    z = am.tensor(values)
    assert np.array_equal(torch.from_dlpack(z.T).numpy(), values.T)
    assert np.array_equal(am.from_dlpack(torch.tensor(values)).numpy(), values)
    assert np.array_equal(np.from_dlpack(z), values)
    assert np.array_equal((am.tensor(values.T) * 1j).numpy(), values.T * 1j)
    assert np.array_equal(am.tensor(values[::2, ::-1]).numpy(), values[::2, ::-1])
    assert np.array_equal((z.T[1:] + z.T[1:]).numpy(), 2 * values.T[1:])


def test_copies() -> None:
    z = am.tensor(numbers(3), requires_grad=True)
    for other in (pickle.loads(pickle.dumps(z)), copy.deepcopy(z)):
        assert other.dtype is am.complex128
        assert other.requires_grad
        assert np.array_equal(other.numpy(), z.numpy())


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (1, 1), (17,), (5, 1, 3)])
def test_every_shape(shape: tuple[int, ...]) -> None:
    values = numbers(*shape)
    z = am.tensor(values)
    np.testing.assert_allclose((z * z + 1).numpy(), values * values + 1, 1e-14)
    np.testing.assert_allclose(z.sum().numpy(), values.sum(), 1e-14)
    np.testing.assert_allclose(z.prod().numpy(), values.prod(), 1e-13)
    assert am.view_as_real(z).shape == (*shape, 2)
    assert np.array_equal(am.view_as_complex(am.view_as_real(z)).numpy(), values)


# --- parts ---------------------------------------------------------------------------------------


def test_parts() -> None:
    values = numbers(3, 4)
    z = am.tensor(values)
    assert np.array_equal(z.real.numpy(), values.real)
    assert np.array_equal(z.imag.numpy(), values.imag)
    assert np.array_equal(z.conj().numpy(), values.conj())
    assert np.array_equal(z.mH.numpy(), values.conj().T)
    np.testing.assert_allclose(am.angle(z).numpy(), np.angle(values), 1e-15)
    np.testing.assert_allclose(abs(z).numpy(), abs(values), 1e-15)
    assert np.array_equal(am.complex(z.real, z.imag).numpy(), values)
    np.testing.assert_allclose(am.polar(abs(z), am.angle(z)).numpy(), values, 1e-14)
    assert am.is_complex(z)
    assert not z.real.is_complex()
    x = am.tensor([1.0, -2.0])
    assert am.real(x).tolist() == am.conj(x).tolist() == [1.0, -2.0]
    assert am.imag(x).tolist() == [0.0, 0.0]
    np.testing.assert_allclose(am.angle(x).numpy(), [0, np.pi], 1e-6)
    assert am.isreal(am.tensor([1 + 0j, 1j])).tolist() == [True, False]


def test_real_parts_of_data_are_views_without_a_program() -> None:
    z = am.tensor(numbers(5))
    before = planning.programs
    z.real.numpy(), z.imag.numpy()
    assert planning.programs == before


def test_pairs_seen_as_complex_are_not_copied() -> None:
    x = am.tensor(np.arange(8.0).reshape(4, 2))
    z = am.view_as_complex(x)
    assert np.array_equal(z.numpy(), [1j, 2 + 3j, 4 + 5j, 6 + 7j])
    assert z._array().storage is x._array().storage
    odd = am.tensor(np.arange(12.0).reshape(4, 3))[:, 1:]
    assert np.array_equal(am.view_as_complex(odd).numpy(), [1 + 2j, 4 + 5j, 7 + 8j, 10 + 11j])


def test_parts_may_be_infinite_by_themselves() -> None:
    z = am.complex(am.tensor([np.inf, 0.0, np.nan]), am.tensor([0.0, -np.inf, 1.0]))
    assert str(z.tolist()) == "[(inf+0j), -infj, (nan+1j)]"
    assert am.isinf(z).tolist() == [True, True, False]
    assert am.isnan(z).tolist() == [False, False, True]
    assert am.isfinite(z).tolist() == [False] * 3
    assert am.nan_to_num(z, nan=5.0, posinf=1.0, neginf=-1.0).tolist() == [1, -1j, 5 + 1j]


# --- promotion -----------------------------------------------------------------------------------


def test_promotion() -> None:
    z = am.ones(2, dtype=am.complex64)
    assert (z + am.ones(2, dtype="float64")).dtype is am.complex128
    assert (z * am.ones(2, dtype="int64")).dtype is am.complex64
    assert (z * 2.5).dtype is (z + 1j).dtype is (z - 1).dtype is am.complex64
    assert (am.ones(2) * 1j).dtype is am.complex64
    assert (am.ones(2, dtype="float64") * 1j).dtype is am.complex128
    assert (am.ones(2, dtype="int32") * 1j).dtype is am.complex64
    assert am.where(am.tensor([True, False]), z, 1.0).dtype is am.complex64
    assert am.finfo(am.complex64).eps == am.finfo(am.float32).eps


def test_creation() -> None:
    assert am.zeros(2, dtype="complex64").tolist() == [0j, 0j]
    assert am.full((2,), 1 - 1j).tolist() == [1 - 1j] * 2
    assert np.array_equal(am.eye(2, dtype="complex128").numpy(), np.eye(2))
    np.testing.assert_allclose(am.linspace(0, 1 + 1j, 5).numpy(), np.linspace(0, 1 + 1j, 5))
    assert am.tensor([1.0, 2.0]).to("complex64").tolist() == [1 + 0j, 2 + 0j]
    assert am.tensor([0j, 1j]).to("bool").tolist() == [False, True]
    z = am.zeros(3, dtype="complex64")
    z[1] = 2j
    z += 1
    assert z.tolist() == [1, 1 + 2j, 1]


def test_random_numbers() -> None:
    am.manual_seed(3)
    z = am.randn(20_000, dtype=am.complex64)
    values = z.numpy()
    assert abs(values.mean()) < 0.02
    assert abs(values.real.var() - 0.5) < 0.02
    assert abs(values.imag.var() - 0.5) < 0.02
    assert abs(np.mean(values.real * values.imag)) < 0.01
    u = am.rand(1000, dtype=am.complex128).numpy()
    assert u.dtype == np.complex128
    assert u.real.min() >= 0
    assert u.imag.max() < 1
    assert abs(u.imag.mean() - 0.5) < 0.05


# --- products and sums ---------------------------------------------------------------------------


def test_products_of_matrices() -> None:
    a, b, v = numbers(5, 7), numbers(7, 4, seed=1), numbers(7, seed=2)
    x, y, w = am.tensor(a), am.tensor(b), am.tensor(v)
    np.testing.assert_allclose((x @ y).numpy(), a @ b, 1e-13)
    np.testing.assert_allclose((x @ w).numpy(), a @ v, 1e-13)
    np.testing.assert_allclose((x @ am.tensor(b.real)).numpy(), a @ b.real, 1e-13)
    np.testing.assert_allclose(am.einsum("ij,ij->i", x, x.conj()).numpy(), (abs(a) ** 2).sum(1))
    np.testing.assert_allclose(am.vecdot(w, w).item(), np.vecdot(v, v))
    np.testing.assert_allclose(am.vdot(x, x).item(), np.vdot(a, a))
    np.testing.assert_allclose(am.tensordot(x, y, 1).numpy(), np.tensordot(a, b, 1))
    np.testing.assert_allclose(am.outer(w, w).numpy(), np.outer(v, v))


def test_statistics() -> None:
    a = numbers(4, 6)
    z = am.tensor(a)
    np.testing.assert_allclose(z.mean(1).numpy(), a.mean(1), 1e-14)
    np.testing.assert_allclose(z.var(axis=1, correction=0).numpy(), a.var(1), 1e-13)
    np.testing.assert_allclose(z.std(axis=0, correction=1).numpy(), a.std(0, ddof=1), 1e-13)
    for p in (0, 1, 2, 3, np.inf):
        np.testing.assert_allclose(am.norm(z, p, axis=1).numpy(), np.linalg.norm(a, p, axis=1))
    np.testing.assert_allclose(am.cumsum(z, 1).numpy(), np.cumsum(a, 1), 1e-13)
    np.testing.assert_allclose(am.cumprod(z, 0).numpy(), np.cumprod(a, 0), 1e-13)
    assert z.any().item() is z.all().item() is True
    assert am.allclose(z, z + 1e-12)
    assert am.concatenate([z, z * 1j]).shape == (8, 6)
    assert np.array_equal(z[am.tensor([2, 0])].numpy(), a[[2, 0]])


def test_sets_are_ordered_by_real_parts_then_imaginary_ones() -> None:
    values = np.array([1 + 2j, 0, 3j, 1 + 2j, 1 - 1j, -1])
    found = am.unique_all(am.tensor(values))
    expected = np.unique_all(values)
    for ours, theirs in zip(found, expected, strict=True):
        assert np.array_equal(ours.numpy(), theirs)
    assert am.count_nonzero(am.tensor(values)).item() == 5
    assert np.array_equal(am.nonzero(am.tensor(values))[0].numpy(), np.nonzero(values)[0])


def test_logarithms_to_other_bases() -> None:
    values = np.array([0j, 1j, -1 - 0.0j, 8 + 8j])
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(am.log10(am.tensor(values)).numpy(), np.log10(values), 1e-15)
        np.testing.assert_allclose(am.log2(am.tensor(values)).numpy(), np.log2(values), 1e-15)


@pytest.mark.parametrize("exponent", [2, 3, -1, 0.5, 1j, 2.5, 1 - 2j, 0])
def test_powers(exponent: complex) -> None:
    values = numbers(50)
    np.testing.assert_allclose((am.tensor(values) ** exponent).numpy(), values**exponent, 1e-12)
    np.testing.assert_allclose((exponent ** am.tensor(values)).numpy() if exponent else 0,
                               exponent**values if exponent else 0, 1e-12)  # fmt: skip


# --- bits ----------------------------------------------------------------------------------------


def signal(z: am.Tensor, w: am.Tensor) -> list[am.Tensor]:
    y = (z @ w) / (1 + abs(z).sum(axis=1, keepdims=True))
    return [am.exp(y * 1j), (y * y.conj()).real.sum(axis=0), am.sqrt(y).cumprod(axis=0), y.T]


def test_fused_op_by_op_and_any_number_of_threads() -> None:
    a, b = numbers(130, 60, dtype="complex64"), numbers(60, 33, dtype="complex64", seed=1)

    def run(fuse: bool, threads: int) -> list[bytes]:
        config.fuse, config.threads = fuse, threads
        return [np.ascontiguousarray(r.numpy()).tobytes()
                for r in signal(am.tensor(a), am.tensor(b))]  # fmt: skip

    first = run(True, 1)
    assert run(False, 1) == first
    assert run(True, 2) == run(True, 3) == first


def test_jit_has_the_same_bits_and_renews_in_place() -> None:
    a, b = numbers(20, 6, dtype="complex64"), numbers(6, 5, dtype="complex64", seed=1)
    step = am.jit(lambda z, w: signal(z, w))
    plain = [r.numpy() for r in signal(am.tensor(a), am.tensor(b))]
    for _ in range(2):
        found = step(am.tensor(a), am.tensor(b))
        assert [r.numpy().tobytes() for r in found] == [p.tobytes() for p in plain]
    state = am.tensor(a)

    @am.jit
    def turn(angle: am.Tensor) -> am.Tensor:
        state.copy_(state * am.exp(angle * 1j))
        return state.real.sum()

    for _ in range(3):
        turn(am.tensor(0.5))
    np.testing.assert_allclose(state.numpy(), a * np.exp(1.5j).astype("complex64"), 1e-5)


def test_new_sizes_compile_nothing() -> None:
    def run(rows: int) -> None:
        z = am.tensor(numbers(rows, 6, dtype="complex64"))
        am.evaluate(am.exp(z) * z.sum(axis=1, keepdims=True))

    run(7)
    before = statistics.compiled
    run(9)
    run(33)
    assert statistics.compiled == before


# --- gradients -----------------------------------------------------------------------------------


def agree(ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: np.ndarray) -> None:
    """Values and gradients, for random weights of the result."""
    xs = [am.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    found, expected = ours(*xs), theirs(*ts)
    np.testing.assert_allclose(
        found.numpy(), expected.detach().resolve_conj().numpy(), 1e-10, 1e-12
    )
    weights = numbers(*expected.shape, seed=9)
    weights = weights if expected.is_complex() else np.asarray(weights.real)
    found.backward(am.tensor(weights))
    expected.backward(torch.tensor(weights))
    for x, t in zip(xs, ts, strict=True):
        assert x.grad is not None
        assert x.grad.dtype is x.dtype
        np.testing.assert_allclose(x.grad.numpy(), t.grad.resolve_conj().numpy(), 1e-9, 1e-12)


UNARY = """exp expm1 log log1p sqrt rsqrt sin cos tan sinh cosh tanh asin acos atan asinh acosh
    atanh abs sgn square reciprocal neg angle real imag conj log2 log10 view_as_real"""


@pytest.mark.parametrize("name", UNARY.split())
def test_gradients_of_functions(name: str) -> None:
    agree(getattr(am, name), getattr(torch, name), numbers(7))


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow"])
def test_gradients_of_arithmetic(name: str) -> None:
    agree(getattr(am, name), getattr(torch, name), numbers(7), numbers(7, seed=1))
    agree(getattr(am, name), getattr(torch, name), numbers(7), abs(numbers(7, seed=1)))


def test_gradients_of_products_and_sums() -> None:
    agree(lambda a, b: a @ b, lambda a, b: a @ b, numbers(4, 5), numbers(5, 3, seed=1))
    agree(lambda z: z.prod(), lambda z: z.prod(), numbers(5))
    agree(lambda z: am.cumprod(z, 0), lambda z: torch.cumprod(z, 0), numbers(6))
    agree(lambda z: am.cumsum(z, 0), lambda z: torch.cumsum(z, 0), numbers(6))
    agree(lambda z: z.mean(), lambda z: z.mean(), numbers(6))
    agree(lambda z: am.norm(z), lambda z: torch.linalg.vector_norm(z), numbers(6))
    agree(lambda z: z.var(), lambda z: z.var(), numbers(6))


def test_gradients_of_what_puts_parts_together() -> None:
    x, y = numbers(6).real.copy(), numbers(6).imag.copy()
    agree(am.complex, torch.complex, x, y)
    agree(am.polar, torch.polar, abs(x), y)
    agree(am.view_as_complex, torch.view_as_complex, numbers(4, 2).real.copy())
    agree(lambda z: am.where(z.real > 0, z, z * 2j), lambda z: torch.where(z.real > 0, z, z * 2j),
          numbers(6))  # fmt: skip
    agree(lambda z, r: z * r, lambda z, r: z * r, numbers(6), y)
    agree(lambda z: (z * z.conj()).real.sum(), lambda z: (z * z.conj()).real.sum(), numbers(6))


def test_gradients_at_zero() -> None:
    z = am.tensor([0j, 3 + 4j], requires_grad=True)
    (abs(z).sum() + am.sgn(z).real.sum()).backward()
    t = torch.tensor([0j, 3 + 4j], requires_grad=True)
    (abs(t).sum() + torch.sgn(t).real.sum()).backward()
    np.testing.assert_allclose(z.grad.numpy(), t.grad.numpy(), 1e-6)


def test_second_derivatives() -> None:
    def ours(z: am.Tensor) -> am.Tensor:
        (g,) = am.autograd.grad((z**3).abs().sum(), z, create_graph=True)
        return (g * g.conj()).real.sum()

    def theirs(z: torch.Tensor) -> torch.Tensor:
        (g,) = torch.autograd.grad((z**3).abs().sum(), z, create_graph=True)
        return (g * g.conj()).real.sum()

    agree(ours, theirs, numbers(5))


def test_a_complex_loss_has_no_gradient() -> None:
    z = am.tensor([1j], requires_grad=True)
    with pytest.raises(GradientError, match=r"need a real scalar, for example \.abs\(\)"):
        z.sum().backward()
    with pytest.raises(GradientError, match=r"returned complex64; need a real scalar: \.abs\(\)"):
        am.grad(lambda w: w.sum())(am.tensor([1j]))
    assert am.grad(lambda w: abs(w).sum())(am.tensor([3 + 4j])).tolist() == [
        pytest.approx(0.6 + 0.8j)
    ]


@pytest.mark.parametrize("rule", [
    (lambda p: SGD(p, lr=0.1, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    (lambda p: Adam(p, lr=0.1), lambda p: torch.optim.Adam(p, lr=0.1)),
], ids=["sgd", "adam"])  # fmt: skip
def test_complex_parameters_are_trained_as_two_real_ones(rule: Any) -> None:
    start, target = numbers(5), torch.tensor(numbers(5, seed=1))
    w = am.tensor(start, requires_grad=True)
    t = torch.tensor(start, requires_grad=True)
    goal = am.tensor(target.numpy())
    ours, theirs = rule[0]([w]), rule[1]([t])
    for _ in range(4):
        ours.zero_grad()
        (abs(w - goal) ** 2).sum().backward()
        ours.step()
        theirs.zero_grad()
        ((t - target).abs() ** 2).sum().backward()
        theirs.step()
    np.testing.assert_allclose(w.numpy(), t.detach().numpy(), 1e-6)


def test_debug_finds_the_first_complex_value_that_is_none() -> None:
    z = am.tensor([1j, 0j])
    with am.debug(nan=True), pytest.raises(am.errors.NonFiniteError, match="log: makes"):
        am.evaluate(am.log(z) * 2)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [
    lambda z: z < z, lambda z: z >= 1, lambda z: z % 2, lambda z: z // 2, lambda z: z.floor(),
    lambda z: z.max(), lambda z: z.argmin(), lambda z: z.sort(), lambda z: am.maximum(z, z),
    lambda z: z.float(), lambda z: z.long(), lambda z: float(z[0]), lambda z: int(z[0]),
    lambda z: am.relu(z), lambda z: am.cummax(z, 0), lambda z: am.atan2(z, z),
])  # fmt: skip
def test_complex_numbers_have_no_order_and_no_real_value(wrong: Callable[..., Any]) -> None:
    with pytest.raises(DTypeError, match=r"x\.real, x\.imag or am\.abs\(x\)"):
        am.evaluate(wrong(am.tensor([1 + 2j, 3j])))


def test_other_mistakes() -> None:
    with pytest.raises(DTypeError, match="need a complex dtype"):
        am.tensor([1j], dtype="float32")
    x = am.ones(2)
    with pytest.raises(DTypeError, match="need the same kind"):
        x += 1j
    with pytest.raises(DTypeError, match="need two real tensors"):
        am.complex(am.tensor([1j]), 1.0)
    with pytest.raises(ShapeError, match="last axis of size 2"):
        am.view_as_complex(am.ones(3))
    with pytest.raises(DTypeError, match="need complex"):
        am.view_as_real(am.ones(3))
    with pytest.raises(TypeError):
        am.tensor([1j]).__index__()
