"""Affine expressions against brute force over every point of small spaces."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambos.core.affine import Affine, Misaligned, linear, reshape_index, split

EXTENTS = st.lists(st.integers(1, 5), min_size=1, max_size=3)
COEFFICIENTS = st.integers(-12, 12)


@st.composite
def affines(draw: st.DrawFn) -> tuple[Affine, list[int]]:
    extents = draw(EXTENTS)
    return _affine(draw, len(extents)), extents


def _affine(draw: st.DrawFn, axes: int) -> Affine:
    total = Affine(draw(st.integers(-20, 20)))
    for axis in range(axes):
        total += Affine.axis(axis) * draw(COEFFICIENTS)
    return total


def at(part: Affine, point: tuple[int, ...]) -> int:
    return part.offset + sum(coefficient * point[axis] for axis, coefficient in part.terms)


def points(extents: list[int]) -> product:
    return product(*map(range, extents))


@given(st.data())
def test_arithmetic(data: st.DataObject) -> None:
    extents = data.draw(EXTENTS)
    a, b = (_affine(data.draw, len(extents)) for _ in range(2))
    factor = data.draw(st.integers(-4, 4))
    for point in points(extents):
        x, y = at(a, point), at(b, point)
        assert at(a + b, point) == x + y
        assert at(a - b, point) == x - y
        assert at(a + factor, point) == x + factor
        assert at(a * factor, point) == x * factor
    assert a - a == Affine()
    assert a + b == b + a  # one form for one function: terms are sorted, zeros left out


@given(affines())
def test_bounds_are_reached(case: tuple[Affine, list[int]]) -> None:
    part, extents = case
    values = [at(part, point) for point in points(extents)]
    assert part.bounds(extents) == (min(values), max(values))


@st.composite
def splittable(draw: st.DrawFn) -> tuple[Affine, int, list[int]]:
    """Positions as they arise from indices: mostly multiples or divisors of the factor."""
    inner = draw(st.sampled_from([2, 3, 4, 6, 8]))
    extents = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    steps = st.sampled_from([1, 1, 2, 3, inner, inner // 2, 2 * inner, -inner, -1])
    total = Affine(draw(st.integers(-3, 20)))
    for axis in range(len(extents)):
        total += Affine.axis(axis) * draw(steps)
    return total, inner, extents


@given(splittable())
def test_split_is_exact_or_says_where_to_cut(case: tuple[Affine, int, list[int]]) -> None:
    position, inner, extents = case
    try:
        outer, rest = split(position, inner, extents)
    except Misaligned as found:
        axis, extent = found.axis, found.extent
    else:
        for point in points(extents):
            assert divmod(at(position, point), inner) == (at(outer, point), at(rest, point))
        return
    if axis is not None:
        assert 1 < extent < extents[axis]
        assert extents[axis] % extent == 0
        assert position.coefficient(axis) * extent % inner == 0


def test_split_by_what_the_index_is_made_of_never_fails() -> None:
    position = linear([Affine.axis(0), Affine.axis(1)], (4, 6))
    assert split(position, 6, [4, 6]) == (Affine.axis(0), Affine.axis(1))
    with pytest.raises(Misaligned, match="axis 1 must be cut at 3") as caught:
        split(position, 3, [4, 6])
    assert (caught.value.axis, caught.value.extent) == (1, 3)
    with pytest.raises(Misaligned, match="axis None"):
        split(position, 4, [4, 6])


@st.composite
def two_shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes of one size, ones and all."""
    factors = draw(st.lists(st.sampled_from([1, 2, 2, 3, 4, 5]), max_size=5))

    def merged() -> tuple[int, ...]:
        order = draw(st.permutations(factors)) if draw(st.booleans()) else factors
        shape = [1]
        for factor in order:
            if draw(st.booleans()):
                shape.append(factor)
            else:
                shape[-1] *= factor
        return tuple(shape)

    return merged(), merged()


def reshaped(shape: tuple[int, ...], source: tuple[int, ...]) -> np.ndarray | None:
    """arange(source) reshaped to `shape` by index expressions alone; None if hopeless."""
    extents = list(shape)
    index = [Affine.axis(axis) for axis in range(len(shape))]
    for _ in range(64):
        try:
            place = reshape_index(index, shape, source, extents)
            break
        except Misaligned as found:
            if found.axis is None:
                return None
            cut = Affine(0, ((found.axis, found.extent), (len(extents), 1)))
            extents[found.axis] //= found.extent
            extents.append(found.extent)
            index = [
                part + (cut - Affine.axis(found.axis)) * part.coefficient(found.axis)
                for part in index
            ]
    else:
        raise AssertionError("cutting never ends")
    numbers = np.arange(int(np.prod(source))).reshape(source)
    result = np.full(shape, -1)
    for point in points(extents):
        result[tuple(at(i, point) for i in index)] = numbers[tuple(at(i, point) for i in place)]
    return result


@given(two_shapes())
def test_reshape_index_is_numpys_reshape(shapes: tuple) -> None:
    shape, source = shapes
    found = reshaped(shape, source)
    if found is not None:
        assert np.array_equal(found, np.arange(found.size).reshape(shape))


@pytest.mark.parametrize(
    ("shape", "source"),
    [((), ()), ((1,), ()), ((), (1, 1)), ((6,), (2, 3)), ((2, 3), (6,)), ((2, 1, 3), (2, 3, 1)),
     ((4, 3), (2, 6)), ((2, 6), (4, 3)), ((2, 3, 4), (6, 4)), ((12, 5), (3, 4, 5))],
)  # fmt: skip
def test_reshapes_along_common_factors_have_an_index(shape: tuple, source: tuple) -> None:
    found = reshaped(shape, source)
    assert found is not None
    assert np.array_equal(found, np.arange(found.size).reshape(shape))


def test_an_empty_reshape_has_an_index() -> None:
    index = [Affine.axis(axis) for axis in range(3)]
    assert reshape_index(index, (3, 0, 2), (0, 3), [3, 0, 2]) == [Affine(), Affine()]
