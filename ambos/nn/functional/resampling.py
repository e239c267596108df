"""Which elements of an axis make up those of its resized self, and by which weights.

Tables of constants, made once for each pair of sizes; what they are applied to never comes here.
Places and weights are rounded like the data that they are for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

Values = np.ndarray[Any, Any]


class Table(NamedTuple):
    """Element o is the sum over t of weights[t, o] times element places[t, o]; and its transpose:
    the same from the result back."""

    places: Values
    weights: Values
    back_places: Values
    back_weights: Values

    def repeats(self) -> int:
        """How often each element is repeated, if that is all there is to it; else 0."""
        size, count = self.back_places.shape[1], self.places.shape[1]
        if len(self.places) > 1 or count % size or not np.all(self.weights == 1):
            return 0
        times = count // size
        return times if np.array_equal(self.places[0], np.arange(count) // times) else 0


@lru_cache(maxsize=256)
def table(
    mode: str, size: int, count: int, scale: float | None, align_corners: bool, antialias: bool,
    dtype: str,
) -> Table:  # fmt: skip
    """From `size` elements to `count`; `scale` is the factor that was asked for, if one was."""
    number = np.dtype("float64" if dtype == "float64" else "float32").type
    if align_corners:
        step = number(size - 1) / number(count - 1) if count > 1 else number(0)
    else:
        step = number(1 / scale) if scale else number(size) / number(count)
    places = np.arange(count).astype(number)
    if antialias:
        support, kernel = FILTERS[mode]
        index, weight = _filtered(places, step, size, support, kernel)
    else:
        index, weight = MODES[mode](places, step, size, align_corners)
    index = index.astype(np.int64)
    weight = np.ascontiguousarray(np.broadcast_to(weight, index.shape)).astype(number)
    return Table(index, weight, *_transposed(index, weight, size))


def _nearest(places: Values, step: Any, size: int, align: bool) -> tuple[Values, Any]:
    return np.minimum(np.floor(places * step), size - 1)[None], 1


def _nearest_exact(places: Values, step: Any, size: int, align: bool) -> tuple[Values, Any]:
    half = step.dtype.type(0.5)
    return np.minimum(np.floor((places + half) * step), size - 1)[None], 1


def _source(places: Values, step: Any, align: bool) -> Values:
    """Where elements lie on the axis that they are made from."""
    half = step.dtype.type(0.5)
    found: Values = places * step if align else (places + half) * step - half
    return found


def _linear(places: Values, step: Any, size: int, align: bool) -> tuple[Values, Values]:
    if len(places) == size:
        return places[None], np.ones_like(places)[None]
    source = np.maximum(_source(places, step, align), 0)
    low = np.minimum(np.floor(source), size - 1)
    rest = np.clip(source - low, 0, 1)
    return np.stack([low, np.minimum(low + 1, size - 1)]), np.stack([1 - rest, rest])


def _cubic(places: Values, step: Any, size: int, align: bool) -> tuple[Values, Values]:
    source = _source(places, step, align)
    low = np.floor(source)
    rest = np.clip(source - low, 0, 1)
    index = np.stack([np.clip(low + tap, 0, size - 1) for tap in (-1, 0, 1, 2)])
    return index, np.stack([cubic(np.abs(rest - tap), -0.75) for tap in (-1, 0, 1, 2)])


def cubic(x: Values, a: float) -> Values:
    """Keys's convolution kernel at distances from 0 to 2."""
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0)).astype(x.dtype)


def _triangle(x: Values) -> Values:
    return np.maximum(1 - x, 0).astype(x.dtype)


def _lanczos(x: Values) -> Values:
    return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0).astype(x.dtype)


def _filtered(
    places: Values, step: Any, size: int, support: float, kernel: Callable[[Values], Values]
) -> tuple[Values, Values]:
    """A kernel as wide as what it leaves out: the weights of all elements that it covers."""
    number = step.dtype.type
    wide = max(step, number(1))
    reach = number(support) * wide
    centre = step * (places + number(0.5))
    start = np.maximum((centre - reach + number(0.5)).astype(np.int64), 0)
    stop = np.minimum((centre + reach + number(0.5)).astype(np.int64), size)
    taps = np.arange(max(1, int((stop - start).max(initial=0))))[:, None]
    distance = ((taps + start).astype(number) - centre + number(0.5)) / wide
    weight = np.where(taps < stop - start, kernel(np.abs(distance)), 0)
    total = weight.sum(0)
    index = np.clip(np.minimum(start + taps, stop - 1), 0, size - 1)
    return index, weight / np.where(total == 0, 1, total)


MODES: dict[str, Callable[[Values, Any, int, bool], tuple[Values, Any]]] = {
    "nearest": _nearest, "nearest-exact": _nearest_exact, "linear": _linear, "cubic": _cubic,
}  # fmt: skip
FILTERS: dict[str, tuple[float, Callable[[Values], Values]]] = {  # half widths, and what is inside
    "linear": (1.0, _triangle), "cubic": (2.0, lambda x: cubic(x, -0.5)),
    "lanczos": (3.0, _lanczos),
}  # fmt: skip


def _transposed(index: Values, weight: Values, size: int) -> tuple[Values, Values]:
    """Index and weights of the map back: for each of `size` elements, those it is part of."""
    taps, count = index.shape
    whole = np.broadcast_to(np.arange(count), (taps, count))
    used = weight != 0
    pairs, inverse = np.unique(index[used] * count + whole[used], return_inverse=True)
    totals = np.zeros(len(pairs), weight.dtype)
    np.add.at(totals, inverse, weight[used])
    source, target = np.divmod(pairs, count)
    each = np.bincount(source, minlength=size)
    rank = np.arange(len(pairs)) - np.repeat(np.cumsum(each) - each, each)
    back = np.zeros((max(1, int(each.max(initial=0))), size), np.int64)
    factor = np.zeros(back.shape, weight.dtype)
    back[rank, source], factor[rank, source] = target, totals
    # What is multiplied by 0 is a neighbour, so that it lies in cache and is finite if they are.
    return np.where(np.arange(len(back))[:, None] < each, back, back[0]), factor
