"""Shape helpers against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import broadcast, normalize_axes, normalize_axis, row_major, size_of

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
ONES = st.lists(st.sampled_from([0, 1, 1, 2, 3]), max_size=4).map(tuple)


@given(SHAPES)
def test_size_and_strides_are_numpys(shape: tuple[int, ...]) -> None:
    array = np.empty(shape, np.int8)
    assert size_of(shape) == array.size
    if array.size:
        assert row_major(shape) == array.strides


@given(st.lists(ONES, min_size=1, max_size=3))
def test_broadcast_is_numpys(shapes: list[tuple[int, ...]]) -> None:
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError, match=r"add: shapes .* do not broadcast: axis -\d"):
            broadcast("add", *shapes)
    else:
        assert broadcast("add", *shapes) == expected


def test_broadcast_names_the_axis_and_the_users_line() -> None:
    message = r"axis -1 has 3 and 4; need equal sizes or 1 \[test_shape.py:\d+\]"
    with pytest.raises(ShapeError, match=message):
        broadcast("add", (2, 3), (2, 4))
    with pytest.raises(ValueError, match="add"):  # the type that other libraries raise
        broadcast("add", (2,), (3,))


@given(st.integers(-6, 6), st.integers(0, 4))
def test_axes_are_numpys(axis: int, rank: int) -> None:
    try:
        expected = np.lib.array_utils.normalize_axis_index(axis, rank)
    except np.exceptions.AxisError:
        with pytest.raises(ArgumentError, match=f"sum: axis {axis} does not exist in {rank} dim"):
            normalize_axis("sum", axis, rank)
    else:
        assert normalize_axis("sum", axis, rank) == expected
        assert normalize_axes("sum", axis, rank) == (expected,)


def test_several_axes() -> None:
    assert normalize_axes("sum", None, 3) == (0, 1, 2)
    assert normalize_axes("sum", (-1, 0), 3) == (0, 2)
    assert normalize_axes("sum", (), 3) == ()
    assert normalize_axes("sum", np.int64(1), 3) == (1,)
    with pytest.raises(ArgumentError, match="one axis twice"):
        normalize_axes("sum", (0, -2), 2)
    with pytest.raises(ArgumentError, match="axis is 'x'; need an integer"):
        normalize_axis("sum", "x", 2)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"axis is 1\.0"):
        normalize_axis("sum", 1.0, 2)  # type: ignore[arg-type]
