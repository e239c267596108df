"""Filters take the layout that convolutions read, and nobody notices."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
from ambos.nn import functional as F
from ambos.tensor.handle import node_of
from ambos.tensor.realize import planning


def strides(x: am.Tensor) -> tuple[int, ...]:
    found: tuple[int, ...] = node_of(x).value.strides
    return found


@pytest.mark.parametrize(
    ("shape", "groups", "wanted"),
    [
        ((8, 4, 3, 2), 1, (1, 8, 64, 32)),  # tap, tap, channel, filter
        ((4, 1, 3, 3), 4, (1, 1, 12, 4)),  # depthwise
        ((8, 4, 1, 1), 1, (4, 1, 1, 1)),  # one tap: stays
        ((8, 2, 3, 3), 2, (18, 9, 3, 1)),  # groups: stays
    ],
)
def test_filters_move_once_and_keep_their_values(
    shape: tuple[int, ...], groups: int, wanted: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(shape).astype(np.float32)
    w, x = am.tensor(values), am.tensor(rng.standard_normal((2, 4, 6, 7)).astype(np.float32))
    first = F.conv2d(x, w, groups=groups).numpy()
    long = [s for s, n in zip(strides(w), shape, strict=True) if n > 1]
    assert long == [s for s, n in zip(wanted, shape, strict=True) if n > 1]
    assert w.numpy().tobytes() == values.tobytes()
    made = planning.programs
    assert F.conv2d(x, w, groups=groups).numpy().tobytes() == first.tobytes()
    assert planning.programs == made


def test_a_recording_that_reads_a_filter_in_another_way_follows_it() -> None:
    w, x = am.tensor(np.arange(72.0, dtype=np.float32).reshape(8, 1, 3, 3)), am.ones(2, 1, 6, 7)
    total = am.jit(lambda: w.sum())
    before = total().item()
    F.conv2d(x, w).numpy()
    others = [am.tensor(np.full((8, 1, 3, 3), 9.0, np.float32)) for _ in range(8)]
    assert total().item() == before
    del others


def test_filters_that_are_arguments_of_a_jitted_function_stay() -> None:
    rng = np.random.default_rng(0)
    x = am.tensor(rng.standard_normal((2, 4, 6, 7)).astype(np.float32))
    convolve = am.jit(lambda x, w: F.conv2d(x, w))
    for _ in range(3):
        w = am.tensor(rng.standard_normal((8, 4, 3, 3)).astype(np.float32))
        found = convolve(x, w).numpy()
        assert strides(w) == (36, 9, 3, 1)
        np.testing.assert_array_equal(found, F.conv2d(x, w).numpy())
        assert strides(w) != (36, 9, 3, 1)  # and elsewhere they still move
        np.testing.assert_array_equal(found, convolve(x, w).numpy())


def test_other_operands_stay_where_they_are() -> None:
    rng = np.random.default_rng(0)
    x = am.tensor(rng.standard_normal((2, 4, 6, 7)).astype(np.float32), requires_grad=True)
    w = am.tensor(rng.standard_normal((8, 4, 3, 3)).astype(np.float32), requires_grad=True)
    g = am.tensor(rng.standard_normal((2, 8, 4, 5)).astype(np.float32))
    F.conv2d(x, w).backward(g)
    am.evaluate(x.grad, w.grad)
    assert strides(x) == (168, 42, 7, 1)
    assert strides(g) == (160, 20, 5, 1)


@pytest.mark.parametrize("how", ["linear", "transposed", "as it is"])
def test_a_matrix_for_single_rows_of_a_jitted_function_lies_with_its_columns_side_by_side(
    how: str,
) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((48, 64)).astype(np.float32)
    w, x = am.tensor(values), am.tensor(rng.standard_normal((1, 64)).astype(np.float32))
    if how == "as it is":
        w = am.tensor(np.ascontiguousarray(values.T))
    by = {
        "linear": lambda: F.linear(x, w),
        "transposed": lambda: x @ w.T,
        "as it is": lambda: x @ w,
    }
    expected = by[how]().numpy()
    multiply = am.jit(by[how])
    for _ in range(2):
        assert multiply().numpy().tobytes() == expected.tobytes()
    assert strides(w) == ((48, 1) if how == "as it is" else (1, 48))
