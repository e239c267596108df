"""`am.signal.windows`: weights for the pieces of a signal, under PyTorch's names (SciPy's too).

Every window takes its number of points M, and `sym`: symmetric, for filters, or without it
periodic, so that the next value would be the first again, for spectra. `options` are dtype (float32
or float64), device and requires_grad.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from ambos.core.arguments import answering
from ambos.core.dtype import DType, as_dtype, float32, float64
from ambos.core.errors import ArgumentError, DTypeError, UnknownNameError, suggest
from ambos.ops import bessel
from ambos.ops.arithmetic import divide
from ambos.tensor.creation import steps
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.names import check_device, public
from ambos.tensor.operands import convert, scalar

OPTIONS = ("dtype", "device", "requires_grad")


def window(
    name: str, M: Any, options: dict[str, Any], values: Callable[[Tensor], Tensor]
) -> Tensor:  # fmt: skip
    """The values at M places, counted from 0 in float64."""
    for option in options:
        if option not in OPTIONS:
            raise UnknownNameError(f"{name}: unknown argument {option!r}; need one of "
                                   f"{', '.join(OPTIONS)}{suggest(option, OPTIONS)}")  # fmt: skip
    check_device(name, options.get("device"))
    dtype = _dtype(name, options.get("dtype"))
    if isinstance(M, bool) or not isinstance(M, int) or operator.index(M) < 0:
        raise ArgumentError(f"{name}: M is {M!r}; need a whole number of points, at least 0")
    places = wrap(steps(0.0, 1.0, M, float64))
    found = wrap(convert((values(places) if M else places)._node, dtype))
    return found.requires_grad_() if options.get("requires_grad") else found


def _dtype(name: str, dtype: Any) -> DType:
    found = float32 if dtype is None else as_dtype(dtype)
    if found not in (float32, float64):
        raise DTypeError(f"{name}: got dtype {found.name}; need float32 or float64: cast the "
                         "window afterwards")  # fmt: skip
    return found


def _gaps(M: int, sym: bool) -> int:
    """How many steps lead from the first point to the last, or to the next first one."""
    return max(M - 1 if sym else M, 1)


def _centre(M: int, sym: bool) -> float:
    return (M if not sym and M > 1 else M - 1) / 2


def _positive(name: str, option: str, value: float) -> None:
    if not value > 0:
        raise ArgumentError(f"{name}: {option} is {value!r}; need a positive number")


def cosines(
    name: str, M: int, weights: Sequence[float], sym: bool, options: dict[str, Any]
) -> Tensor:  # fmt: skip
    """w[0] - w[1] cos(x) + w[2] cos(2 x) - ..., where x goes from 0 to 2 pi."""

    def values(place: Tensor) -> Tensor:
        if M == 1:
            return place * 0.0 + 1.0
        x = place * (2 * math.pi / _gaps(M, sym))
        terms = [(x * k).cos() * ((-1) ** k * weight) for k, weight in enumerate(weights)]
        return functools.reduce(lambda total, term: total + term, terms)

    return window(name, M, options, values)


@public
def general_cosine(M: int, *, a: Sequence[float], sym: bool = True, **options: Any) -> Tensor:
    """a[0] - a[1] cos(x) + a[2] cos(2 x) - ..., where x goes from 0 to 2 pi.

    Errors: ArgumentError without weights `a`, or for M < 0; DTypeError for other dtypes.
    """
    if not isinstance(a, (list, tuple)) or not a:
        raise ArgumentError(f"general_cosine: a is {a!r}; need a list of weights: [0.5, 0.5]")
    return cosines("general_cosine", M, a, sym, options)


@public
def general_hamming(
    M: int, *, alpha: float = 0.54, sym: bool = True, **options: Any
) -> Tensor:  # fmt: skip
    """alpha - (1 - alpha) cos(x)."""
    return cosines("general_hamming", M, [alpha, 1 - alpha], sym, options)


@public
def hamming(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Hamming's window: 0.54 - 0.46 cos(x)."""
    return cosines("hamming", M, [0.54, 0.46], sym, options)


@public
def hann(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Hann's window: (1 - cos(x)) / 2.

    Example:
        >>> import ambos as am
        >>> [f"{value:.2f}" for value in am.signal.windows.hann(5).tolist()]
        ['0.00', '0.50', '1.00', '0.50', '0.00']
    """
    return cosines("hann", M, [0.5, 0.5], sym, options)


@public
def blackman(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Blackman's window: 0.42 - 0.5 cos(x) + 0.08 cos(2 x)."""
    return cosines("blackman", M, [0.42, 0.5, 0.08], sym, options)


@public
def nuttall(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Nuttall's window: four cosines, whose side lobes are 98 dB down."""
    return cosines("nuttall", M, [0.3635819, 0.4891775, 0.1365995, 0.0106411], sym, options)


@public
def bartlett(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """A triangle with zeros at its ends."""

    def values(place: Tensor) -> Tensor:
        if M == 1:
            return place * 0.0 + 1.0
        return 1.0 - (place * (2 / _gaps(M, sym)) - 1.0).abs()

    return window("bartlett", M, options, values)


@public
def cosine(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Half a period of the sine, between whose zeros the points lie."""

    def values(place: Tensor) -> Tensor:
        return ((place + 0.5) * (math.pi / (M + (not sym and M > 1)))).sin()

    return window("cosine", M, options, values)


@public
def gaussian(M: int, *, std: float = 1.0, sym: bool = True, **options: Any) -> Tensor:
    """exp(-x**2 / (2 std**2)), where x counts points from the middle."""
    _positive("gaussian", "std", std)

    def values(place: Tensor) -> Tensor:
        x = (place - _centre(M, sym)) * (1 / (std * math.sqrt(2)))
        return (-x * x).exp()

    return window("gaussian", M, options, values)


@public
def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, **options: Any
) -> Tensor:
    """exp(-|x - center| / tau) at the points x; `center` is the middle, and may only be given for
    windows that are not symmetric."""
    _positive("exponential", "tau", tau)
    if sym and center is not None:
        raise ArgumentError(f"exponential: center is {center!r} of a symmetric window; need "
                            "sym=False with it")  # fmt: skip

    def values(place: Tensor) -> Tensor:
        middle = _centre(M, sym) if center is None else center
        return ((place - middle).abs() * (-1 / tau)).exp()

    return window("exponential", M, options, values)


@public
def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, **options: Any) -> Tensor:
    """Kaiser's window: i0(beta sqrt(1 - x**2)) / i0(beta), where x goes from -1 to 1. The larger
    `beta`, the wider the main lobe and the lower the others.

    Source: Kaiser, Nonrecursive digital filter design using the I0-sinh window function, 1974.
    """
    if not beta >= 0:
        raise ArgumentError(f"kaiser: beta is {beta!r}; need a number >= 0")

    def values(place: Tensor) -> Tensor:
        if M == 1:
            return place * 0.0 + 1.0
        x = place * (2 / _gaps(M, sym)) - 1.0
        inside = (1.0 - x * x).clip(0.0).sqrt() * beta
        # Scaled: i0 itself would overflow from beta = 713 on.
        ratio = divide(bessel.i0e(inside._node), bessel.i0e(scalar(beta, float64, inside.shape)))
        return wrap(ratio) * (inside - beta).exp()

    return window("kaiser", M, options, values)


__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine",
    "general_hamming", "hamming", "hann", "kaiser", "nuttall",
]  # fmt: skip

__getattr__ = answering("ambos.signal.windows", __all__)
