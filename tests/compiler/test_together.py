"""Parts of a concatenation: one kernel for several, whatever they are computed from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ambos as am
from ambos.compiler.together import MOST
from tests.compiler.test_work import compiled


def parts(count: int, rows: int = 37) -> list[np.ndarray]:
    random = np.random.default_rng(count)
    return [random.standard_normal((rows, 3 + 17 * n)).astype(np.float32) for n in range(count)]


@pytest.mark.parametrize("count", [3, 4, 5, 9])
def test_a_few_parts_are_one_kernel(count: int) -> None:
    arrays = parts(count)
    joined = am.cat([am.tensor(a) for a in arrays], 1)
    program, _ = compiled([joined._node])
    assert len(program.launches) == -(-count // MOST)
    np.testing.assert_array_equal(joined.numpy(), np.concatenate(arrays, 1))


def test_parts_of_different_kinds() -> None:
    """Computed, turned, broadcast, and with an index beside them."""
    a, b, c = (am.tensor(x) for x in parts(3, 40))
    square = np.arange(1600, dtype=np.float32).reshape(40, 40)
    index = np.arange(39, -1, -1)
    turned, places = am.tensor(square), am.tensor(index)
    row = am.tensor(square[:1])
    joined = am.cat([a, turned.T, b * 2, row.expand(40, 40), c, c[places]], 1)
    x, y, z = parts(3, 40)
    wide = np.broadcast_to(square[:1], (40, 40))
    expected = np.concatenate([x, square.T, y * 2, wide, z, z[index]], 1)
    np.testing.assert_array_equal(joined.numpy(), expected)


@pytest.mark.parametrize("width", [1024, 1000])
def test_large_parts(width: int) -> None:
    """16 MiB and more: full vectors go past the caches where they fill lines."""
    arrays = [np.full((1100, width), n, np.float32) for n in range(4)]
    joined = am.cat([am.tensor(a) for a in arrays], 1)
    np.testing.assert_array_equal(joined.numpy(), np.concatenate(arrays, 1))


@pytest.mark.parametrize("turn", [lambda x: x, lambda x: x[::-1]])
def test_joins_within_joins_end_in_kernels_of_few_parts(turn: Callable[[Any], Any]) -> None:
    """All in one kernel, of 1,024 masks, took 10 s to compile."""
    array = np.arange(3, dtype=np.float32)
    joined = am.tensor(array)
    for _ in range(9):
        joined = am.concat([joined, turn(joined)])
        array = np.concatenate([array, turn(array)])
    program, _ = compiled([joined._node])
    assert len(program.launches) == 3
    np.testing.assert_array_equal(joined.numpy(), array)
