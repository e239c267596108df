"""Fourier transforms of short overlapping pieces of a signal, and back."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.tensor import fft
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import floating
from ambos.tensor.padding import pad
from ambos.tensor.parts import view_as_real
from ambos.tensor.refusals import require_none
from ambos.tensor.windows import fold_windows, unfold

SMALLEST = 1e-11  # a sum of squared windows below this counts as zero, as in PyTorch


def _steps(
    name: str, n_fft: Any, hop_length: Any, win_length: int | None
) -> tuple[int, int]:  # fmt: skip
    """The checked distance of the pieces and length of the window."""
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    if not (isinstance(n_fft, int) and isinstance(hop, int) and n_fft > 0 and hop > 0):
        raise ArgumentError(f"{name}: n_fft is {n_fft} and hop_length {hop}; need whole numbers "
                            "from 1 on")  # fmt: skip
    if not 0 < length <= n_fft:
        raise ArgumentError(f"{name}: win_length is {length}; need 1 to n_fft, here {n_fft}")
    return hop, length


def _weights(name: str, window: Any, n_fft: int, length: int, dtype: Any) -> Tensor:
    """The window in the middle of n_fft points."""
    if window is None:
        found = wrap(node_of(1.0)).to(dtype).expand(length)
    else:
        found = wrap(floating(node_of(window)))
    if found.shape != (length,):
        raise ShapeError(f"{name}: the window is {tuple(found.shape)}; need ({length},), which is "
                         "win_length")  # fmt: skip
    before = (n_fft - length) // 2
    return pad(found, (before, n_fft - length - before)) if length < n_fft else found


@public
def stft(
    x: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Any = None, center: bool = True, pad_mode: str = "reflect", normalized: bool = False,
    onesided: bool | None = None, return_complex: bool | None = None,
) -> Tensor:  # fmt: skip
    """Fourier transforms of pieces of n_fft points, `hop_length` (n_fft // 4) apart, weighted with
    a window of `win_length` (n_fft) points.

    With `center`, piece t lies around point t * hop_length, and the ends are padded in `pad_mode`;
    `normalized` divides by the root of n_fft; `onesided` leaves out the half that mirrors the other
    (so by default, where signal and window are real).

    Shapes: (..., length) -> (..., frequencies, pieces), one leading axis at most; with one more
        axis of size 2 unless `return_complex`, which real signals have to state.
    Errors: ArgumentError for lengths that do not fit.

    Example:
        >>> import ambos as am
        >>> am.stft(am.ones(16), 4, return_complex=True).shape
        (3, 17)
    """
    signal = wrap(floating(node_of(x)))
    if signal.ndim not in (1, 2):
        raise ShapeError(f"stft: got {tuple(signal.shape)}; need (length,) or (batch, length)")
    hop, length = _steps("stft", n_fft, hop_length, win_length)
    weights = _weights("stft", window, n_fft, length, signal.dtype.part)
    is_complex = signal.dtype.is_complex or weights.dtype.is_complex
    if return_complex is None and not is_complex:
        raise ArgumentError("stft: return_complex is not given for a real signal; need True for "
                            "complex numbers, False for one more axis")  # fmt: skip
    half = not is_complex if onesided is None else onesided
    if half and is_complex:
        raise ArgumentError("stft: onesided of complex numbers, whose spectrum does not mirror "
                            "itself; need onesided=False")  # fmt: skip
    if center:
        signal = _padded(signal, n_fft // 2, pad_mode)
    if signal.shape[-1] < n_fft:
        raise ArgumentError(f"stft: n_fft is {n_fft} for {signal.shape[-1]} points; need at most "
                            "as many as there are")  # fmt: skip
    pieces = unfold(signal, -1, n_fft, hop) * weights
    norm = "ortho" if normalized else None
    found = (fft.rfft(pieces, norm=norm) if half else fft.fft(pieces, norm=norm)).mT
    return found if return_complex is None or return_complex else view_as_real(found)


def _padded(signal: Tensor, count: int, mode: str) -> Tensor:
    if mode == "reflect" and count >= signal.shape[-1]:
        raise ArgumentError(f"stft: {count} points of padding mirror {signal.shape[-1]}; need a "
                            "longer signal, or center=False")  # fmt: skip
    return pad(signal, (count, count), mode=mode)


@public
def istft(
    x: Any, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Any = None, center: bool = True, normalized: bool = False,
    onesided: bool | None = None, length: int | None = None, return_complex: bool = False,
) -> Tensor:  # fmt: skip
    """The signal of which `x` is the `stft`: the one nearest to it by least squares. Arguments as
    there; `length` is that of the signal.

    Shapes: (..., frequencies, pieces) -> (..., length), one leading axis at most.
    Errors: ArgumentError where windows leave a point without weight.
    Source: Griffin and Lim, Signal estimation from modified short-time Fourier transform, 1984.

    Example:
        >>> import ambos as am
        >>> window = am.hann_window(8)
        >>> spectrum = am.stft(am.arange(16).float(), 8, window=window, return_complex=True)
        >>> am.allclose(am.istft(spectrum, 8, window=window), am.arange(16).float(), atol=1e-5)
        True
    """
    spectrum = wrap(node_of(x))
    if not spectrum.dtype.is_complex:
        raise DTypeError(f"istft: got {spectrum.dtype.name}; need complex numbers: use "
                         "am.view_as_complex")  # fmt: skip
    if spectrum.ndim not in (2, 3) or 0 in spectrum.shape:
        raise ShapeError(f"istft: got {tuple(spectrum.shape)}; need (frequencies, pieces), or one "
                         "leading axis more, none empty")  # fmt: skip
    hop, size = _steps("istft", n_fft, hop_length, win_length)
    if length is not None and length < 0:
        raise ArgumentError(f"istft: length is {length}; need at least 0")
    weights = _weights("istft", window, n_fft, size, spectrum.dtype.part)
    half = _is_half(spectrum.shape[-2], n_fft, onesided)
    if not return_complex and weights.dtype.is_complex:
        raise ArgumentError("istft: a complex window makes complex signals; need "
                            "return_complex=True")  # fmt: skip
    if half and return_complex:
        raise ArgumentError("istft: a onesided spectrum makes real signals; need "
                            "onesided=False, or return_complex=False")  # fmt: skip
    norm = "ortho" if normalized else None
    pieces = spectrum.mT
    if return_complex:
        pieces = fft.ifft(pieces, norm=norm)
    else:  # the half that says all of a real signal
        pieces = fft.irfft(pieces[..., : n_fft // 2 + 1], n_fft, norm=norm)
    return _joined(pieces * weights, weights, hop, n_fft // 2 if center else 0, length)


def _is_half(count: int, n_fft: int, onesided: bool | None) -> bool:
    """Is this the half of a spectrum? It is, where the number of frequencies says so."""
    half = count != n_fft if onesided is None else onesided
    need = n_fft // 2 + 1 if half else n_fft
    if count != need:
        raise ArgumentError(f"istft: {count} frequencies for n_fft {n_fft}; need {need}, as "
                            f"onesided is {half}")  # fmt: skip
    return half


def _joined(pieces: Tensor, weights: Tensor, hop: int, cut: int, length: int | None) -> Tensor:
    """Weighted pieces added up where they overlap, over the sum of their squared weights."""
    count, n = pieces.shape[-2:]
    extent = n + hop * (count - 1)
    squares = (weights * weights).expand(count, n)
    stop = extent - cut if length is None else min(cut + length, extent)
    total = fold_windows(pieces, pieces.ndim - 2, extent, hop)[..., cut:stop]
    weight = fold_windows(squares, 0, extent, hop)[cut:stop]
    message = (
        "istft: windows add up to zero at some point; need another one, or a smaller hop_length"
    )
    require_none(weight.abs() < SMALLEST, ArgumentError, message)
    found = total / weight
    missing = 0 if length is None else length - found.shape[-1]
    return pad(found, (0, missing)) if missing > 0 else found


__all__ = ["istft", "stft"]
