"""Buffers while a program is planned: their place in memory is open, their strides are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ambos.core.affine import Affine
from ambos.core.dtype import DType
from ambos.core.shape import Shape, row_major, size_of


@dataclass(eq=False, slots=True)
class Memory:
    """A block: `shape` in the order given by `strides` (elements). It is contiguous, or a part
    of the block `whole`, whose element number `start` is its first."""

    dtype: DType
    shape: Shape
    strides: Shape
    input: int | None = None  # the program's input number
    output: int | None = None  # the program's output number
    elements: int = field(default=-1)
    whole: Memory | None = None
    start: int = 0
    aligned: bool = True  # does it begin on a cache line?

    @property
    def nbytes(self) -> int:
        count = size_of(self.shape) if self.elements < 0 else self.elements
        return max(1, count) * self.dtype.itemsize

    @property
    def is_row_major(self) -> bool:
        """Do the strides address the elements in order (axes of size 1 may have any stride)?"""
        wanted = row_major(self.shape)
        return all(
            n == 1 or s == w for n, s, w in zip(self.shape, self.strides, wanted, strict=True)
        )

    def part(self, start: Shape, step: Shape, shape: Shape) -> Memory:
        """The elements start, start + step, ... along each dimension, `shape` of them."""
        first = sum(a * s for a, s in zip(start, self.strides, strict=True))
        strides = tuple(a * s for a, s in zip(step, self.strides, strict=True))
        whole = self if self.whole is None else self.whole
        return Memory(self.dtype, shape, strides, whole=whole, start=self.start + first)

    def along(self, axes: Sequence[int]) -> Memory:
        """The same elements without the other axes, which have one element."""
        if len(axes) == len(self.shape):
            return self
        shape, strides = tuple(self.shape[a] for a in axes), tuple(self.strides[a] for a in axes)
        return Memory(self.dtype, shape, strides, whole=self.whole, start=self.start)

    def address(self, place: Sequence[Affine]) -> Affine:
        """The element offset of `place`."""
        total = Affine()
        for part, stride in zip(place, self.strides, strict=True):
            total += part * stride
        return total


@dataclass(frozen=True, slots=True)
class Ref:
    """An argument word that will be the address of `offset` bytes into `memory`."""

    memory: Memory
    offset: int = 0


@dataclass(frozen=True, slots=True)
class TableRef:
    """An argument word that will be the address of a table of int64: the offsets of all points of
    axes, each (extent, step), the last one fastest."""

    axes: tuple[tuple[int, int], ...] = ()

    @property
    def values(self) -> tuple[int, ...]:
        found = [0]
        for extent, step in self.axes:
            found = [start + i * step for start in found for i in range(extent)]
        return tuple(found)


def strides_in_order(shape: Shape, order: Sequence[int]) -> Shape:
    """Strides of a contiguous block whose dimensions lie in `order`, outermost first. An axis of
    extent 1 lies anywhere: it has the stride that row-major neighbours give it, so that blocks
    which lie alike have equal strides.

    Example:
        >>> strides_in_order((2, 3, 4, 1), [0, 2, 3, 1]), strides_in_order((2, 1, 4), [0, 2, 1])
        ((12, 1, 3, 1), (4, 4, 1))
    """
    strides, step = [0] * len(shape), 1
    for dim in reversed(order):
        strides[dim] = step
        step *= shape[dim]
    inner = 1
    for dim in reversed(range(len(shape))):
        if shape[dim] == 1:
            strides[dim] = inner
        inner = strides[dim] * shape[dim]
    return tuple(strides)


def order_of(strides: Sequence[int]) -> list[int]:
    """Dimensions by decreasing stride; equal ones in logical order."""
    return sorted(range(len(strides)), key=lambda d: -strides[d])
