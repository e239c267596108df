"""Discrete Fourier transforms over several axes.

attrs: (axes, ..., scale). `scale` says what the sums are divided by: "none", "root" (of the number
of points) or "all". A transform backward is the adjoint of the one forward of the same scale.
"""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import complex_of
from ambos.core.errors import DTypeError
from ambos.core.shape import Shape
from ambos.graph.node import Attrs, Node
from ambos.ops.arithmetic import add
from ambos.ops.call import Call, Facts
from ambos.ops.complex.bridge import real
from ambos.ops.kinds import Grads
from ambos.ops.movement import concat, pad, slice_

# NumPy's names of the scale, of transforms forward and backward.
FORWARD = {"none": "backward", "root": "ortho", "all": "forward"}
BACKWARD = {"none": "forward", "root": "ortho", "all": "backward"}


class Fourier(Call, abstract=True):
    """The first attribute, after the number of the result, is the axes."""

    def batch_attrs(self, attrs: Attrs, size: int) -> Attrs:
        part, axes, *rest = attrs
        return part, tuple(axis + 1 for axis in axes), *rest


class Fft(Fourier):
    """Of complex numbers; attrs: (axes, forward, scale)."""

    name, accepts, linear = "fft.fft", "c", (0,)

    def host(np: Any, x: Any, axes: Shape, forward: bool, scale: str) -> tuple[Any, ...]:
        if not x.size:
            return (x.copy(),)
        if forward:
            return (np.fft.fftn(x, axes=axes, norm=FORWARD[scale]),)
        return (np.fft.ifftn(x, axes=axes, norm=BACKWARD[scale]),)

    def results(self, x: Node, *_: Any) -> tuple[Facts, ...]:
        if not x.dtype.is_complex:
            raise DTypeError(f"{self.name}: got {x.dtype.name}; need complex")
        return ((x.shape, x.dtype),)

    def vjp(self, node: Node, g: Node) -> Grads:
        _, axes, forward, scale = node.attrs
        return (fft(g, attrs=(0, axes, not forward, scale)),)


class Rfft(Fourier):
    """Of real numbers, forward; of the last of the axes only the half that says all: attrs: (axes,
    scale)."""

    name, accepts, linear = "fft.rfft", "f", (0,)

    def host(np: Any, x: Any, axes: Shape, scale: str) -> tuple[Any, ...]:
        if not x.size:
            shape = list(x.shape)
            shape[axes[-1]] = x.shape[axes[-1]] // 2 + 1
            return (np.zeros(shape, np.result_type(x.dtype, np.complex64)),)
        return (np.fft.rfftn(x, axes=axes, norm=FORWARD[scale]),)

    def results(self, x: Node, axes: Shape, scale: str) -> tuple[Facts, ...]:
        last = axes[-1]
        shape = tuple(n // 2 + 1 if a == last else n for a, n in enumerate(x.shape))
        return ((shape, complex_of(x.dtype)),)

    def vjp(self, node: Node, g: Node) -> Grads:
        (x,), (_, axes, scale) = node.inputs, node.attrs
        nothing = (0,) * x.rank
        after = tuple(n - m for n, m in zip(x.shape, g.shape, strict=True))
        whole = pad(g, attrs=(nothing, after)) if any(after) else g
        return (real(fft(whole, attrs=(0, axes, False, scale))),)


class Irfft(Fourier):
    """Real numbers from the half of their transform; attrs: (axes, points along the last of the
    axes, scale). Backward."""

    name, accepts, linear = "fft.irfft", "c", (0,)

    def host(np: Any, x: Any, axes: Shape, points: int, scale: str) -> tuple[Any, ...]:
        shape = [x.shape[a] for a in axes[:-1]] + [points]
        if not x.size:
            full = list(x.shape)
            full[axes[-1]] = points
            return (np.zeros(full, x.real.dtype),)
        return (np.fft.irfftn(x, shape, axes, norm=BACKWARD[scale]),)

    def results(self, x: Node, axes: Shape, points: int, scale: str) -> tuple[Facts, ...]:
        shape = tuple(points if a == axes[-1] else n for a, n in enumerate(x.shape))
        return ((shape, x.dtype.part),)

    def vjp(self, node: Node, g: Node) -> Grads:
        """Every number but the first, and the middle one of an even count, stands for two."""
        _, axes, points, scale = node.attrs
        found = rfft(g, attrs=(0, axes, scale))
        at, count = axes[-1], found.shape[axes[-1]]
        middle = points - count + 1  # from here on numbers stand for themselves
        if middle <= 1:
            return (found,)
        twice = _cut(found, at, 1, middle)
        parts = [_cut(found, at, 0, 1), add(twice, twice), _cut(found, at, middle, count)]
        return (concat(*(p for p in parts if p.shape[at]), attrs=(at,)),)


def _cut(x: Node, axis: int, start: int, stop: int) -> Node:
    first = tuple(start if a == axis else 0 for a in range(x.rank))
    last = tuple(stop if a == axis else n for a, n in enumerate(x.shape))
    return slice_(x, attrs=(first, last, (1,) * x.rank))


fft, rfft, irfft = Fft(), Rfft(), Irfft()
