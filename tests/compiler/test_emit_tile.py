"""Transposing kernels: every CPU and the interpreter leave the same bits, and NumPy agrees."""

from __future__ import annotations

import numpy as np
import pytest

from ambos.compiler.loops import (
    UNIT,
    Apply,
    Buffer,
    Index,
    Load,
    LoopKernel,
    Map,
    Position,
    Size,
    Store,
    Tile,
    tile_scratch,
    transposed,
)
from ambos.core import dtype as dt
from ambos.core.dtype import bool_, float32
from tests.compiler.harness import RULES, check, f32, numbers

LOWER = RULES.__getitem__


def turned(rows: int, columns: int, dtype: dt.DType = float32, grain: int = 64) -> tuple:
    """out[row, column] = x[column, row]; words: extents, pitches, memories, grain."""
    load = Load(Buffer(4, dtype), Index(None, ((0, UNIT), (1, 2))))
    place = Index(None, ((0, 3), (1, UNIT)))
    stages = (Map((), (Store(Buffer(5, dtype), place, 0),)),)
    tile = Tile(0, 1, 6, 6)
    kernel = LoopKernel((0, 1), (), (), None, None, (load,), stages, 7, tile)
    x = numbers(dtype, rows * columns).reshape(columns, rows)
    words = [rows, columns, rows, columns, x, np.zeros_like(x.T, order="C"), grain]
    items = -(-rows // grain) * -(-columns // grain)
    return kernel, words, items


@pytest.mark.parametrize("dtype", dt.ALL, ids=lambda d: d.name)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 20), (37, 5), (65, 70)])
def test_a_transpose_in_every_dtype(dtype: dt.DType, rows: int, columns: int) -> None:
    kernel, words, items = turned(rows, columns, dtype)
    assert transposed(kernel) == [0]
    out = check(kernel, words, LOWER, items, tile_scratch(kernel))[5]
    np.testing.assert_array_equal(out, words[4].T)


@pytest.mark.parametrize("grain", [64, 128])
def test_items_cover_blocks_of_both_axes(grain: int) -> None:
    kernel, words, items = turned(130, 200, grain=grain)
    out = check(kernel, words, LOWER, items, tile_scratch(kernel))[5]
    np.testing.assert_array_equal(out, words[4].T)


def test_a_masked_transpose_of_a_batch_with_a_sum_around_it() -> None:
    """out[b, row, column] = y[b, row, column] + (x[b, column, row] where row < limit)."""
    batch, rows, columns, limit = 3, 18, 21, 11
    tape = (
        Position(1),
        Size(3),
        Apply("less", (0, 1), bool_),
        Load(f32(5), Index(None, ((0, 4), (1, UNIT), (2, 8))), 2),
        Load(f32(6), Index(None, ((0, 4), (1, 9), (2, UNIT)))),
        Apply("add", (3, 4), float32),
    )
    store = Store(f32(7), Index(None, ((0, 4), (1, 9), (2, UNIT))), 5)
    tile = Tile(1, 2, 10, 10)
    kernel = LoopKernel((0, 1, 2), (0,), (), None, None, tape, (Map((), (store,)),), 11, tile)
    x = numbers(float32, batch * rows * columns, 1).reshape(batch, columns, rows)
    y = numbers(float32, batch * rows * columns, 2).reshape(batch, rows, columns)
    words = [batch, rows, columns, limit, rows * columns, x, y, np.zeros_like(y), rows, columns, 64]
    out = check(kernel, words, LOWER, batch, tile_scratch(kernel))[7]
    masked = np.where(np.arange(rows)[:, None] < limit, x.transpose(0, 2, 1), np.float32(0))
    np.testing.assert_array_equal(out, y + masked)
