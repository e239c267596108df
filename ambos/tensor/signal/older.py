"""PyTorch's window functions outside `signal.windows`: periodic unless told."""

from __future__ import annotations

from typing import Any

from ambos.tensor.handle import Tensor
from ambos.tensor.names import public
from ambos.tensor.signal import windows


@public
def bartlett_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`signal.windows.bartlett`, periodic unless told."""
    return windows.bartlett(window_length, sym=not periodic, **options)


@public
def blackman_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`signal.windows.blackman`, periodic unless told."""
    return windows.blackman(window_length, sym=not periodic, **options)


@public
def hann_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`signal.windows.hann`, periodic unless told.

    Example:
        >>> import ambos as am
        >>> [f"{value:.2f}" for value in am.hann_window(4).tolist()]
        ['0.00', '0.50', '1.00', '0.50']
    """
    return windows.hann(window_length, sym=not periodic, **options)


@public
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46,
    **options: Any,
) -> Tensor:  # fmt: skip
    """alpha - beta cos(x), periodic unless told."""
    return windows.cosines("hamming_window", window_length, [alpha, beta], not periodic, options)


@public
def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, **options: Any
) -> Tensor:  # fmt: skip
    """`signal.windows.kaiser`, periodic unless told."""
    return windows.kaiser(window_length, beta=beta, sym=not periodic, **options)


__all__ = [
    "bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window",
]  # fmt: skip
