"""`am.signal` against PyTorch and SciPy: windows, and transforms of short pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch

import ambos as am
from ambos.core.errors import ArgumentError, DTypeError, ShapeError, UnknownNameError

RNG = np.random.default_rng(0)
WINDOWS: list[tuple[str, dict[str, Any]]] = [
    ("bartlett", {}), ("blackman", {}), ("cosine", {}), ("exponential", {}),
    ("exponential", {"tau": 2.5}), ("gaussian", {"std": 1.3}), ("general_cosine", {"a": [1.0]}),
    ("general_cosine", {"a": [0.3, 0.5, 0.2]}), ("general_hamming", {"alpha": 0.6}),
    ("hamming", {}), ("hann", {}), ("kaiser", {"beta": 5.0}), ("kaiser", {"beta": 0.0}),
    ("kaiser", {"beta": 700.0}), ("nuttall", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), WINDOWS)
def test_windows_are_scipys(name: str, options: dict[str, Any]) -> None:
    function = getattr(am.signal.windows, name)
    for sym in (True, False):
        for count in (0, 1, 2, 5, 8):
            found = function(count, sym=sym, dtype=am.float64, **options).numpy()
            wanted = getattr(scipy.signal.windows, name)(count, sym=sym, **options)
            np.testing.assert_allclose(found, wanted, atol=1e-13)
    assert function(4, **options).dtype is am.float32


def test_kaisers_window_where_i0_overflows() -> None:
    found = am.signal.windows.kaiser(9, beta=900.0, dtype=am.float64).numpy()
    below = am.signal.windows.kaiser(9, beta=899.0, dtype=am.float64).numpy()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[3:6], below[3:6], rtol=0.05)


def test_exponential_around_a_centre() -> None:
    found = am.signal.windows.exponential(6, center=1.0, tau=2.0, sym=False, dtype=am.float64)
    wanted = scipy.signal.windows.exponential(6, 1.0, 2.0, False)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-13)
    with pytest.raises(ArgumentError, match="need sym=False"):
        am.signal.windows.exponential(6, center=1.0)


@pytest.mark.parametrize("name", ["bartlett", "blackman", "hamming", "hann", "kaiser"])
def test_windows_of_older_names(name: str) -> None:
    ours, theirs = getattr(am, f"{name}_window"), getattr(torch, f"{name}_window")
    for periodic in (True, False):
        for count in (0, 1, 7):
            found = ours(count, periodic, dtype=am.float64).numpy()
            wanted = theirs(count, periodic, dtype=torch.float64).numpy()
            np.testing.assert_allclose(found, wanted, atol=1e-6)  # torch takes pi in float32


def test_windows_that_cannot_be() -> None:
    windows = am.signal.windows
    with pytest.raises(ArgumentError, match="M is -1"):
        windows.hann(-1)
    with pytest.raises(ArgumentError, match=r"M is 2\.5"):
        windows.hann(2.5)
    with pytest.raises(DTypeError, match="need float32 or float64"):
        windows.hann(4, dtype=am.int64)
    with pytest.raises(UnknownNameError, match="Did you mean 'dtype'"):
        windows.hann(4, dtipe=am.float64)
    with pytest.raises(ArgumentError, match="list of weights"):
        windows.general_cosine(4, a=[])
    for call in (lambda: windows.gaussian(4, std=0.0), lambda: windows.exponential(4, tau=-1.0)):
        with pytest.raises(ArgumentError, match="need a positive number"):
            call()
    with pytest.raises(ArgumentError, match="need a number >= 0"):
        windows.kaiser(4, beta=-1.0)
    assert windows.hann(4, requires_grad=True).requires_grad


REAL = RNG.normal(size=(2, 60))
COMPLEX = REAL + 1j * RNG.normal(size=(2, 60))
WINDOW = RNG.uniform(0.5, 1.5, size=11)
CASES: list[tuple[np.ndarray, dict[str, Any]]] = [
    (REAL, {"n_fft": 16}), (REAL[0], {"n_fft": 15, "hop_length": 4}),
    (REAL, {"n_fft": 16, "win_length": 11, "window": WINDOW}),
    (REAL, {"n_fft": 12, "center": False, "normalized": True}),
    (REAL, {"n_fft": 16, "onesided": False, "pad_mode": "constant"}),
    (REAL, {"n_fft": 16, "pad_mode": "circular"}),
    (COMPLEX, {"n_fft": 16, "win_length": 11, "window": WINDOW}),
    (REAL, {"n_fft": 11, "window": WINDOW + 1j}),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:A window was not provided")
@pytest.mark.parametrize(("signal", "options"), CASES)
def test_pieces_there_and_back(signal: np.ndarray, options: dict[str, Any]) -> None:
    window = options.get("window")
    mine = {**options, "window": None if window is None else am.tensor(window)}
    other = {**options, "window": None if window is None else torch.tensor(window)}
    x, t = am.tensor(signal, requires_grad=True), torch.tensor(signal, requires_grad=True)
    found = am.stft(x, return_complex=True, **mine)
    wanted = torch.stft(t, return_complex=True, **other)
    assert found.shape == tuple(wanted.shape)
    np.testing.assert_allclose(found.detach().numpy(), wanted.detach().numpy(), atol=1e-10)
    weights = RNG.normal(size=found.shape)
    (abs(found) ** 2 * am.tensor(weights)).sum().backward()
    (wanted.abs() ** 2 * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-8, atol=1e-9)
    for table in (mine, other):
        table.pop("pad_mode", None)
        table["return_complex"] = bool(window is not None and window.dtype.kind == "c") or (
            signal.dtype.kind == "c"
        )
    for length in (None, 50):
        back = am.istft(found, length=length, **mine).detach().numpy()
        theirs = torch.istft(wanted, length=length, **other).detach().resolve_conj().numpy()
        np.testing.assert_allclose(back, theirs, atol=1e-10)
        np.testing.assert_allclose(back, signal[..., : back.shape[-1]], atol=1e-10)


def test_parts_as_an_axis() -> None:
    x = am.tensor(REAL)
    found = am.stft(x, 16, return_complex=False)
    assert found.shape == (2, 9, 16, 2)
    whole = x.stft(16, return_complex=True)
    np.testing.assert_array_equal(found.numpy()[..., 0], whole.numpy().real)
    np.testing.assert_allclose(whole.istft(16).numpy(), REAL, atol=1e-10)


def test_gradients_of_the_way_back() -> None:
    spectrum = RNG.normal(size=(2, 9, 7)) + 1j * RNG.normal(size=(2, 9, 7))
    window = RNG.uniform(0.5, 1.5, size=16)
    xs = [am.tensor(v, requires_grad=True) for v in (spectrum, window)]
    ts = [torch.tensor(v, requires_grad=True) for v in (spectrum, window)]
    am.istft(xs[0], 16, window=xs[1]).pow(2).sum().backward()
    torch.istft(ts[0], 16, window=ts[1]).pow(2).sum().backward()
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.resolve_conj().numpy(), atol=1e-9)


def test_way_back_under_jit() -> None:
    """The window's weights are looked at by every call."""
    back = am.jit(lambda x, w: am.istft(x, 16, window=w))
    window = am.hann_window(16, dtype=am.float64)
    spectrum = am.stft(am.tensor(REAL), 16, window=window, return_complex=True)
    for _ in range(2):
        np.testing.assert_allclose(back(spectrum, window).numpy(), REAL, atol=1e-10)
    with pytest.raises(ArgumentError, match="windows add up to zero"):
        back(spectrum, window * 0.0)


def test_pieces_that_do_not_fit() -> None:
    x = am.tensor(REAL)
    with pytest.raises(ArgumentError, match="return_complex is not given"):
        am.stft(x, 16)
    with pytest.raises(ArgumentError, match="need whole numbers"):
        am.stft(x, 16.0, return_complex=True)
    with pytest.raises(ArgumentError, match="need 1 to n_fft"):
        am.stft(x, 16, win_length=17, return_complex=True)
    with pytest.raises(ArgumentError, match="from 1 on"):
        am.stft(x, 16, 0, return_complex=True)
    with pytest.raises(ArgumentError, match="n_fft is 61 for 60 points"):
        am.stft(x, 61, center=False, return_complex=True)
    with pytest.raises(ArgumentError, match="need a longer signal"):
        am.stft(x, 120, return_complex=True)
    with pytest.raises(ShapeError, match="the window is"):
        am.stft(x, 16, window=am.ones(15), return_complex=True)
    with pytest.raises(ShapeError, match="need \\(length,\\) or"):
        am.stft(x[None], 16, return_complex=True)
    with pytest.raises(ArgumentError, match="need onesided=False"):
        am.stft(am.tensor(COMPLEX), 16, onesided=True)
    spectrum = am.stft(x, 16, return_complex=True)
    with pytest.raises(DTypeError, match="need complex numbers"):
        am.istft(x, 16)
    with pytest.raises(ArgumentError, match="length is -1"):
        am.istft(spectrum, 16, length=-1)
    with pytest.raises(ArgumentError, match="9 frequencies for n_fft 12; need 7"):
        am.istft(spectrum, 12)
    with pytest.raises(ArgumentError, match="windows add up to zero"):
        am.istft(spectrum, 16, hop_length=16, window=am.hann_window(16), center=False)
    with pytest.raises(ArgumentError, match="makes real signals"):
        am.istft(spectrum, 16, return_complex=True)
    with pytest.raises(ShapeError, match="none empty"):
        am.istft(spectrum[:0], 16)
