"""`am.fft` against PyTorch and NumPy: values, dtypes, gradients, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.config import config
from ambos.core.errors import ArgumentError, DTypeError

F, T = am.fft, torch.fft
RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(3, 5, 6))
COMPLEX = RNG.normal(size=(3, 5, 6)) + 1j * RNG.normal(size=(3, 5, 6))
NORMS = (None, "backward", "ortho", "forward")
REAL_ONLY = {"rfft", "ihfft", "rfftn", "rfft2", "ihfftn", "ihfft2"}


def check(name: str, array: np.ndarray, *args: Any) -> None:
    x, t = am.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    found, wanted = getattr(F, name)(x, *args), getattr(T, name)(t, *args)
    assert found.dtype.name == str(wanted.dtype).removeprefix("torch.")
    assert found.shape == tuple(wanted.shape)
    np.testing.assert_allclose(found.detach().numpy(), _numpy(wanted), atol=1e-11)
    weights = np.arange(1.0, found.numel() + 1).reshape(found.shape)
    (abs(found) ** 2 * am.tensor(weights)).sum().backward()
    (abs(wanted) ** 2 * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), _numpy(t.grad), rtol=1e-9, atol=1e-9)


def _numpy(x: torch.Tensor) -> np.ndarray:
    return np.asarray(x.detach().resolve_conj().numpy())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_along_one_axis(name: str, norm: str | None) -> None:
    for n in (None, 4, 7, 9):
        for axis in (-1, 1):
            check(name, REAL, n, axis, norm)
            if name not in REAL_ONLY:
                check(name, COMPLEX, n, axis, norm)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn", "hfftn", "ihfftn"])
def test_along_several_axes(name: str, norm: str | None) -> None:
    array = REAL if name in REAL_ONLY else COMPLEX
    for s, axes in ((None, None), ((4, 7), (0, 1)), ((3, 8), None), (None, (2, 0))):
        check(name, array, s, axes, norm)


@pytest.mark.parametrize("name", ["fft2", "ifft2", "rfft2", "irfft2", "hfft2", "ihfft2"])
def test_in_two_dimensions(name: str) -> None:
    check(name, REAL if name in REAL_ONLY else COMPLEX)


def test_both_sides_spellings() -> None:
    x = am.tensor(REAL)
    for found in (F.fftn(x, dim=(0, 1)), F.fftn(x, axes=(0, 1))):
        np.testing.assert_allclose(found.numpy(), np.fft.fftn(REAL, axes=(0, 1)), atol=1e-10)
    np.testing.assert_allclose(F.fft(x, dim=1).numpy(), np.fft.fft(REAL, axis=1), atol=1e-10)


@pytest.mark.parametrize(("kind", "expected"), [
    ("float32", "complex64"), ("float64", "complex128"), ("int32", "complex64"),
    ("complex64", "complex64"),
])  # fmt: skip
def test_dtypes(kind: str, expected: str) -> None:
    found = F.fft(am.ones(4).to(kind))
    assert found.dtype.name == expected
    np.testing.assert_allclose(found.numpy(), np.fft.fft(np.ones(4)), atol=1e-6)


def test_frequencies_and_shifts() -> None:
    for n in (1, 2, 5, 8):
        np.testing.assert_allclose(F.fftfreq(n, 0.5).numpy(), np.fft.fftfreq(n, 0.5), rtol=1e-6)
        np.testing.assert_allclose(F.rfftfreq(n, d=2.0).numpy(), np.fft.rfftfreq(n, 2.0))
    for axes in (None, 0, (0, 2)):
        for ours, theirs in (F.fftshift, np.fft.fftshift), (F.ifftshift, np.fft.ifftshift):
            np.testing.assert_array_equal(ours(am.tensor(REAL), axes).numpy(), theirs(REAL, axes))


def test_nothing_in_nothing_out() -> None:
    assert F.fft(am.zeros(0, 4)).shape == (0, 4)
    assert F.rfft(am.zeros(0, 4)).shape == (0, 3)
    assert F.irfft(am.zeros(0, 3)).shape == (0, 4)


def test_the_same_bits_however_it_runs() -> None:
    def run(x: am.Tensor) -> am.Tensor:
        return F.irfft(F.rfft(x) * F.rfft(x + 1), 6) + F.fft2(x).real

    x = am.tensor(REAL.astype("f4"))
    before, fused = config.fuse, run(x).numpy().tobytes()
    config.fuse = False
    try:
        assert run(x + 0).numpy().tobytes() == run(x).numpy().tobytes() == fused
    finally:
        config.fuse = before
    assert am.jit(run)(x).numpy().tobytes() == fused


def test_second_derivatives() -> None:
    def energy(x: am.Tensor) -> am.Tensor:
        return (abs(F.rfft(x)) ** 4).sum()

    x = am.tensor(REAL[0, 0])
    slope = am.grad(lambda y: (am.grad(energy)(y) * am.tensor(REAL[1, 1])).sum())(x).numpy()
    step, expected = 1e-5, np.zeros(6)
    for i in range(6):
        moved = [am.tensor(REAL[0, 0] + sign * step * np.eye(6)[i]) for sign in (1, -1)]
        high, low = (am.grad(energy)(y).numpy() @ REAL[1, 1] for y in moved)
        expected[i] = (high - low) / (2 * step)
    np.testing.assert_allclose(slope, expected, rtol=1e-6)


def test_errors() -> None:
    x = am.ones(3, 4)
    with pytest.raises(ArgumentError, match="norm is 'unit'; need 'backward', 'ortho'"):
        F.fft(x, norm="unit")
    with pytest.raises(ArgumentError, match="axis 2 does not exist in 2 dimensions"):
        F.fft(x, axis=2)
    with pytest.raises(ArgumentError, match="0 points along axis 1; need at least 1"):
        F.fft(x, n=0)
    with pytest.raises(ArgumentError, match="3 sizes for 2 axes"):
        F.fftn(x, s=(1, 2, 3), axes=(0, 1))
    with pytest.raises(DTypeError, match=r"fft\.rfft: got complex64; need a real dtype"):
        F.rfft(x + 1j)
    with pytest.raises(ArgumentError, match="name one axis twice"):
        F.fftn(x, axes=(0, 0))
