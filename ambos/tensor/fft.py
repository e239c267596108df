"""`am.fft`: discrete Fourier transforms, with the names of the Array API and PyTorch.

`norm` says where sums are divided by the number of points n: "backward" (the default: in the
transforms backward), "forward" (in those forward) or "ortho" (by its root, in both). `n` (or `s`,
one an axis) cuts the axis to so many points, or fills it up with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.arguments import answering
from ambos.core.dtype import as_dtype, complex_of, float32
from ambos.core.errors import ArgumentError, DTypeError
from ambos.core.shape import Shape, normalize_axis
from ambos.graph.node import Node
from ambos.ops import fourier as ops
from ambos.ops.complex.bridge import conj
from ambos.ops.movement import pad, slice_
from ambos.tensor.creation import arange
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.movement import roll
from ambos.tensor.names import check_device, public
from ambos.tensor.operands import convert, floating

SCALES = {"backward": ("none", "all"), "ortho": ("root", "root"), "forward": ("all", "none")}


def _scale(name: str, norm: str | None, forward: bool) -> str:
    if (norm or "backward") not in SCALES:
        raise ArgumentError(f"fft.{name}: norm is {norm!r}; need 'backward', 'ortho' or 'forward'")
    return SCALES[norm or "backward"][not forward]


def _axes(name: str, node: Node, s: Any, axes: Any) -> tuple[Shape, tuple[int | None, ...]]:
    """The axes, and how many points each shall have (None: as many as there are)."""
    if axes is None:
        axes = range(node.rank - (node.rank if s is None else len(s)), node.rank)
    found = tuple(normalize_axis(f"fft.{name}", a, node.rank) for a in _listed(axes))
    if len(set(found)) != len(found):
        raise ArgumentError(f"fft.{name}: axes {tuple(axes)} name one axis twice")
    sizes = (None,) * len(found) if s is None else tuple(_listed(s))
    if len(sizes) != len(found):
        raise ArgumentError(f"fft.{name}: {len(sizes)} sizes for {len(found)} axes; need one an "
                            "axis")  # fmt: skip
    return found, tuple(None if n == -1 else n for n in sizes)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (Sequence, range)) else [value]


def _sized(name: str, node: Node, axes: Shape, sizes: Sequence[int | None]) -> Node:
    """`node` cut or filled up along `axes`."""
    shape = list(node.shape)
    for axis, n in zip(axes, sizes, strict=True):
        shape[axis] = shape[axis] if n is None else n
        if shape[axis] < 1:
            raise ArgumentError(f"fft.{name}: {shape[axis]} points along axis {axis}; need at "
                                "least 1")  # fmt: skip
    zeros = (0,) * node.rank
    kept = tuple(min(n, m) for n, m in zip(shape, node.shape, strict=True))
    if kept != node.shape:
        node = slice_(node, attrs=(zeros, kept, (1,) * node.rank))
    after = tuple(n - m for n, m in zip(shape, kept, strict=True))
    return pad(node, attrs=(zeros, after)) if any(after) else node


def _complex(x: Any) -> Node:
    node = floating(node_of(x))
    return convert(node, complex_of(node.dtype))


def _real(name: str, x: Any) -> Node:
    node = floating(node_of(x))
    if node.dtype.is_complex:
        raise DTypeError(f"fft.{name}: got {node.dtype.name}; need a real dtype: use fft.fft, or "
                         "x.real")  # fmt: skip
    return node


def _transform(
    name: str, x: Any, s: Any, axes: Any, norm: str | None, forward: bool
) -> Tensor:  # fmt: skip
    node = _complex(x)
    axes, sizes = _axes(name, node, s, axes)
    node = _sized(name, node, axes, sizes)
    if not axes:
        return wrap(node)
    return wrap(ops.fft(node, attrs=(0, axes, forward, _scale(name, norm, forward))))


def _half(name: str, x: Any, s: Any, axes: Any, norm: str | None, forward: bool) -> Node:
    """The transform of real numbers."""
    node = _real(name, x)
    axes, sizes = _axes(name, node, s, axes)
    if not axes:
        raise ArgumentError(f"fft.{name}: got no axes; need at least one")
    node = _sized(name, node, axes, sizes)
    return ops.rfft(node, attrs=(0, axes, _scale(name, norm, forward)))


def _whole(name: str, node: Node, s: Any, axes: Any, norm: str | None, forward: bool) -> Tensor:
    """Real numbers from the half of a transform."""
    axes, sizes = _axes(name, node, s, axes)
    if not axes:
        raise ArgumentError(f"fft.{name}: got no axes; need at least one")
    last = sizes[-1]
    points = 2 * (node.shape[axes[-1]] - 1) if last is None else last
    if points < 1:
        raise ArgumentError(f"fft.{name}: {points} points along axis {axes[-1]}; need at least 1: "
                            "give their number as n=")  # fmt: skip
    node = _sized(name, node, axes, (*sizes[:-1], points // 2 + 1))
    return wrap(ops.irfft(node, attrs=(0, axes, points, _scale(name, norm, forward))))


@public
def fft(x: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The transform along an axis: sums of x[j] exp(-2 pi i j k / n).

    Dtypes: float32 and complex64 give complex64, float64 and complex128 complex128.

    Example:
        >>> import ambos as am
        >>> am.fft.fft(am.tensor([1.0, 0.0, 0.0])).tolist()
        [(1+0j), (1+0j), (1+0j)]
    """
    return _transform("fft", x, None if n is None else [n], [axis], norm, True)


@public
def ifft(x: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `fft`."""
    return _transform("ifft", x, None if n is None else [n], [axis], norm, False)


@public
def fftn(x: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Tensor:
    """The transform over several axes (all; the last ones where `s` says how many)."""
    return _transform("fftn", x, s, axes, norm, True)


@public
def ifftn(x: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `fftn`."""
    return _transform("ifftn", x, s, axes, norm, False)


@public
def fft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """The transform over two axes."""
    return _transform("fft2", x, s, axes, norm, True)


@public
def ifft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """The inverse of `fft2`."""
    return _transform("ifft2", x, s, axes, norm, False)


@public
def rfft(x: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The first n // 2 + 1 numbers of the transform of a real tensor; the others mirror them.

    Example:
        >>> import ambos as am
        >>> am.fft.rfft(am.ones(4)).tolist()
        [(4+0j), 0j, 0j]
    """
    return wrap(_half("rfft", x, None if n is None else [n], [axis], norm, True))


@public
def irfft(x: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `rfft`; n points (2 * (m - 1) of m numbers, unless given)."""
    return _whole("irfft", _complex(x), None if n is None else [n], [axis], norm, False)


@public
def rfftn(x: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Tensor:
    """The transform of a real tensor over several axes, of the last only half."""
    return wrap(_half("rfftn", x, s, axes, norm, True))


@public
def irfftn(x: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `rfftn`."""
    return _whole("irfftn", _complex(x), s, axes, norm, False)


@public
def rfft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """The transform of a real tensor over two axes, of the last only half."""
    return wrap(_half("rfft2", x, s, axes, norm, True))


@public
def irfft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """The inverse of `rfft2`."""
    return _whole("irfft2", _complex(x), s, axes, norm, False)


@public
def hfft(x: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The transform, real, of numbers of which the second half mirrors the first, conjugated; `x`
    holds the first half."""
    return _whole("hfft", conj(_complex(x)), None if n is None else [n], [axis], norm, True)


@public
def ihfft(x: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `hfft`: of a real tensor the first n // 2 + 1 numbers."""
    return wrap(conj(_half("ihfft", x, None if n is None else [n], [axis], norm, False)))


@public
def hfftn(x: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Tensor:
    """`hfft` over several axes; `x` holds half of the last."""
    return _whole("hfftn", conj(_complex(x)), s, axes, norm, True)


@public
def ihfftn(x: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Tensor:
    """The inverse of `hfftn`."""
    return wrap(conj(_half("ihfftn", x, s, axes, norm, False)))


@public
def hfft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """`hfft` over two axes."""
    return _whole("hfft2", conj(_complex(x)), s, axes, norm, True)


@public
def ihfft2(x: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Tensor:
    """The inverse of `hfft2`."""
    return wrap(conj(_half("ihfft2", x, s, axes, norm, False)))


@public
def fftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of a transform of n points a distance `d` apart: 0, 1, ..., -1 over n d.

    Example:
        >>> import ambos as am
        >>> am.fft.fftfreq(4).tolist()
        [0.0, 0.25, -0.5, -0.25]
    """
    check_device("fftfreq", device)
    wanted = _frequencies_dtype("fftfreq", n, dtype)
    places = arange(n)
    turned = (places >= (n + 1) // 2).where(places - n, places)
    return turned.to(wanted) / (n * d)


@public
def rfftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of `rfft`: 0, 1, ..., n // 2 over n d."""
    check_device("rfftfreq", device)
    wanted = _frequencies_dtype("rfftfreq", n, dtype)
    return arange(n // 2 + 1).to(wanted) / (n * d)


def _frequencies_dtype(name: str, n: int, dtype: Any) -> Any:
    if n < 1:
        raise ArgumentError(f"fft.{name}: {n} points; need at least 1")
    found = float32 if dtype is None else as_dtype(dtype)
    if not found.is_floating:
        raise DTypeError(f"fft.{name}: got dtype {found.name}; need a floating one")
    return found


@public
def fftshift(x: Any, axes: Any = None) -> Tensor:
    """Frequency zero in the middle of the axes (all, unless given).

    Example:
        >>> import ambos as am
        >>> am.fft.fftshift(am.fft.fftfreq(4)).tolist()
        [-0.5, -0.25, 0.0, 0.25]
    """
    return _shifted("fftshift", x, axes, 1)


@public
def ifftshift(x: Any, axes: Any = None) -> Tensor:
    """The inverse of `fftshift`."""
    return _shifted("ifftshift", x, axes, -1)


def _shifted(name: str, x: Any, axes: Any, sign: int) -> Tensor:
    node = node_of(x)
    at, _ = _axes(name, node, None, axes)
    if not at:
        return wrap(node)
    half = [node.shape[a] // 2 if sign > 0 else -(node.shape[a] // 2) for a in at]
    return roll(wrap(node), half, at)


__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2",
    "ifftn", "ifftshift", "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft",
    "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

__getattr__ = answering("ambos.fft", __all__)
