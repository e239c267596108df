"""Products of many complex numbers: steps that multiply two at a time."""

from __future__ import annotations

from ambos.core.shape import Shape, size_of
from ambos.ops.complex.pair import Pair, product
from ambos.ops.kinds import constant
from ambos.ops.movement import concat, flip, permute, reshape, slice_


def prod(z: Pair, axes: Shape) -> Pair:
    """The product over `axes`: the first half of the elements times the second, until there is one
    (of an odd number the last waits)."""
    shape, part = z.real.shape, z.real.dtype
    kept = [a for a in range(len(shape)) if a not in axes]
    outer, count = tuple(shape[a] for a in kept), size_of([shape[a] for a in axes])
    if not count:
        return Pair(constant(1.0, part, outer), constant(0.0, part, outer))
    order = (*kept, *axes)
    z = z.each(lambda x: reshape(permute(x, attrs=(order,)), attrs=((*outer, count),)))
    while count > 1:
        half, odd = divmod(count, 2)
        halved = product(_cut(z, 0, half), _cut(z, half, 2 * half))
        z = _joined(halved, _cut(z, 2 * half, count)) if odd else halved
        count = half + odd
    return z.each(lambda x: reshape(x, attrs=(outer,)))


def cumprod(z: Pair, axis: int, reverse: bool) -> Pair:
    """Running products along an axis: what lies 1, 2, 4, ... before comes in."""
    rank = z.real.rank
    order = (*(a for a in range(rank) if a != axis), axis)
    back = tuple(order.index(a) for a in range(rank))
    z = z.each(lambda x: permute(x, attrs=(order,)))
    z = z.each(lambda x: flip(x, attrs=((rank - 1,),))) if reverse else z
    count, shift = z.real.shape[-1], 1
    while shift < count:
        z = _joined(_cut(z, 0, shift), product(_cut(z, 0, count - shift), _cut(z, shift, count)))
        shift *= 2
    z = z.each(lambda x: flip(x, attrs=((rank - 1,),))) if reverse else z
    return z.each(lambda x: permute(x, attrs=(back,)))


def _cut(z: Pair, start: int, stop: int) -> Pair:
    """Elements of the last axis."""
    outer = z.real.shape[:-1]
    where = ((*(0 for _ in outer), start), (*outer, stop), (1,) * z.real.rank)
    return z.each(lambda x: slice_(x, attrs=where))


def _joined(z: Pair, w: Pair) -> Pair:
    """Both, one after the other along the last axis."""
    axis = (z.real.rank - 1,)
    return Pair(concat(z.real, w.real, attrs=axis), concat(z.imag, w.imag, attrs=axis))
