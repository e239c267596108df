"""Affine index expressions over loop axes, and the reshaping of indices.

A `Space` owns axes with extents; an `Affine` is offset + sum(axis * coefficient). Reshapes merge
and split dimensions: splitting an index needs its axes to line up with the factors; where they do
not, the space splits the axis in two (`Misaligned` tells which and where), so that the caller can
start again on the finer space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ambos.core.shape import Shape


class Misaligned(Exception):
    """An index does not split at `inner`; `axis` (None: hopeless) must be cut so that its inner
    part has `extent`."""

    def __init__(self, axis: int | None, extent: int = 0) -> None:
        super().__init__(axis, extent)
        self.axis, self.extent = axis, extent

    def __str__(self) -> str:
        return f"axis {self.axis} must be cut at {self.extent}"


class Affine(NamedTuple):
    """offset + sum(coefficient * axis) over `terms`, which are sorted by axis.

    A named tuple because planning makes, compares and hashes these by the ten thousand. Its sums
    are not those of tuples, which is what the type checker is told to overlook.
    """

    offset: int = 0
    terms: tuple[tuple[int, int], ...] = ()

    @staticmethod
    def axis(number: int) -> Affine:
        return Affine(0, ((number, 1),))

    def __add__(self, other: Affine | int) -> Affine:  # type: ignore[override]
        if isinstance(other, int):
            return Affine(self.offset + other, self.terms)
        if not other.terms:
            return Affine(self.offset + other.offset, self.terms)
        if not self.terms:
            return Affine(self.offset + other.offset, other.terms)
        total = dict(self.terms)
        for axis, coefficient in other.terms:
            total[axis] = total.get(axis, 0) + coefficient
        kept = tuple(sorted([(a, c) for a, c in total.items() if c]))
        return Affine(self.offset + other.offset, kept)

    def __mul__(self, factor: int) -> Affine:  # type: ignore[override]
        if factor == 1:
            return self
        if not factor:
            return ZERO
        return Affine(self.offset * factor, tuple([(a, c * factor) for a, c in self.terms]))

    def __sub__(self, other: Affine) -> Affine:
        return self + other * -1

    def coefficient(self, axis: int) -> int:
        for number, coefficient in self.terms:
            if number == axis:
                return coefficient
        return 0

    def bounds(self, extents: Sequence[int]) -> tuple[int, int]:
        """Smallest and largest value over the space."""
        low = high = self.offset
        for axis, coefficient in self.terms:
            reach = coefficient * (extents[axis] - 1)
            low, high = low + min(reach, 0), high + max(reach, 0)
        return low, high


ZERO = Affine()


def linear(index: Sequence[Affine], shape: Shape) -> Affine:
    """The row-major position of `index` in `shape`."""
    position = ZERO
    for part, extent in zip(index, shape, strict=True):
        position = position * extent + part
    return position


def split(position: Affine, inner: int, extents: Sequence[int]) -> tuple[Affine, Affine]:
    """(position // inner, position % inner), or Misaligned.

    Exact when every term is either a multiple of `inner` or belongs to a remainder that stays
    within [0, inner).
    """
    terms = position.terms
    high_part = tuple([(a, c // inner) for a, c in terms if c % inner == 0])
    outer = Affine(position.offset // inner, high_part)
    rest = Affine(position.offset % inner, tuple([(a, c) for a, c in terms if c % inner]))
    low, high = rest.bounds(extents)
    if low >= 0 and high < inner:
        return outer, rest
    raise Misaligned(*_cut(rest, inner, extents))


def _cut(rest: Affine, inner: int, extents: Sequence[int]) -> tuple[int | None, int]:
    """The axis to cut, and the extent of its inner part, so that `rest` may split at `inner`."""
    for axis, coefficient in rest.terms:
        if coefficient > 0 and inner % coefficient == 0:
            extent = inner // coefficient
            if 1 < extent < extents[axis] and extents[axis] % extent == 0:
                return axis, extent
    return None, 0


def reshape_index(
    index: Sequence[Affine], shape: Shape, source: Shape, extents: Sequence[int]
) -> list[Affine]:
    """The index into `source` of the element that sits at `index` of `shape` (same size).

    Works group by group: the shortest leading runs of both shapes with equal products.
    """
    if 0 in shape:  # nothing is there to be addressed
        return [Affine()] * len(source)
    result: list[Affine] = []
    i = j = 0
    while i < len(shape) or j < len(source):
        i0, j0 = i, j
        a = shape[i] if i < len(shape) else 1
        b = source[j] if j < len(source) else 1
        i, j = min(i + 1, len(shape)), min(j + 1, len(source))
        while a != b:
            if a < b:
                a, i = a * shape[i], i + 1
            else:
                b, j = b * source[j], j + 1
        result += _regroup(index[i0:i], shape[i0:i], source[j0:j], extents)
    return result


def _regroup(
    index: Sequence[Affine], shape: Shape, source: Shape, extents: Sequence[int]
) -> list[Affine]:
    if len(source) == 0:
        return []
    position = linear(index, shape)
    parts: list[Affine] = []
    for extent in reversed(source[1:]):
        if extent == 1:
            parts.append(ZERO)
            continue
        position, rest = split(position, extent, extents)
        parts.append(rest)
    parts.append(position)
    return parts[::-1]
