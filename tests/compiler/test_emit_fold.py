"""Folds as machine code: one canonical order by rows, by columns and in the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from ambos.compiler.column_values import column_values
from ambos.compiler.loops import (
    BLOCK,
    PANEL,
    UNIT,
    Apply,
    Buffer,
    Const,
    Fold,
    Literal,
    Load,
    LoopKernel,
    Map,
    Position,
    Result,
    Size,
    Store,
)
from ambos.compiler.stages import passes
from ambos.core import dtype as dt
from ambos.core.dtype import bfloat16, bool_, float32, float64, int64
from tests.compiler.harness import RULES, along, at, check, f32, items, numbers, storage

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # NumPy's, of NaN
LOWER = RULES.__getitem__


def softmax_like() -> LoopKernel:
    """Rows: words 0 rows, 1 columns, 2 x, 3 y, 4 row stride. exp is played by z * z + 1."""
    row, scratch, here = at((0, 4), (1, UNIT)), Buffer(None, float32), along(1)
    tape = (
        Load(f32(2), row),
        Result(0, float32),
        Apply("sub", (0, 1), float32),
        Apply("positive", (2,), float32),
        Load(scratch, here),
        Result(2, float32),
        Apply("div", (4, 5), float32),
    )
    stages = (
        Fold((1,), "max", 0),
        Map((1,), (Store(scratch, here, 3),)),
        Fold((1,), "add", 4),
        Map((1,), (Store(f32(3), row, 6),)),
    )
    return LoopKernel((0, 1), (0,), (), None, None, tape, stages, 5)


@pytest.mark.parametrize("size", [*range(1, 34), 100, BLOCK - 1, BLOCK + 17])
def test_row_softmax_with_scratch(size: int) -> None:
    x = np.random.default_rng(size).standard_normal((2, size)).astype("f4")
    words = [2, size, x, np.zeros_like(x), size]
    out = check(softmax_like(), words, LOWER, 2, scratch=4 * size)[3]
    e = (x.astype("f8") - x.max(1, keepdims=True)) ** 2 + 1
    np.testing.assert_allclose(out, e / e.sum(1, keepdims=True), rtol=1e-5)


def reduce_rows(op: str, dtype: dt.DType, result: dt.DType) -> LoopKernel:
    """out[i] = op(x[i, :, :]): words 0..2 extents, 3 x, 4 out, 5, 6 strides of x."""
    tape = (Load(Buffer(3, dtype), at((0, 5), (1, 6), (2, UNIT))), Result(0, result))
    stages = (Fold((1, 2), op, 0), Map((), (Store(Buffer(4, result), along(0), 1),)))
    return LoopKernel((0, 1, 2), (0,), (), None, None, tape, stages, 7)


def reduce_columns(op: str, dtype: dt.DType, result: dt.DType) -> LoopKernel:
    """out[i] = op(x[:, :, i]): words 0..2 extents, 3 x, 4 out, 5, 6 strides of x; lanes on i."""
    tape = (Load(Buffer(3, dtype), at((1, 5), (2, 6), (0, UNIT))), Result(0, result))
    stages = (Fold((1, 2), op, 0), Map((), (Store(Buffer(4, result), along(0), 1),)))
    return LoopKernel((0, 1, 2), (0,), (), 0, 16, tape, stages, 7)


ORACLES = {"add": np.sum, "mul": np.prod, "max": np.max, "min": np.min}


@pytest.mark.parametrize("dtype", dt.ALL, ids=lambda d: d.name)
@pytest.mark.parametrize("op", ["add", "mul", "max", "min", "argmax", "argmin"])
def test_folds_in_every_dtype(op: str, dtype: dt.DType) -> None:
    """Two reduced axes, by rows and by columns; half precisions accumulate in float32."""
    result = int64 if op.startswith("arg") else dtype
    x = numbers(dtype, 3 * 5 * 21).reshape(3, 5, 21)
    out = np.zeros(3, storage(result))
    rows = check(reduce_rows(op, dtype, result), [3, 5, 21, x, out, 105, 21], LOWER, 3)[4]
    turned = np.ascontiguousarray(x.transpose(1, 2, 0))
    columns = check(reduce_columns(op, dtype, result), [3, 5, 21, turned, out, 63, 3], LOWER, 1)[4]
    np.testing.assert_array_equal(rows, columns)
    if op.startswith("arg") and dtype is not bfloat16:
        np.testing.assert_array_equal(rows, getattr(np, op)(x.reshape(3, -1), 1))
    elif dtype.is_integer or (op in ("max", "min") and dtype is not bfloat16):
        np.testing.assert_array_equal(rows, ORACLES[op](x.reshape(3, -1), 1).astype(dtype.name))


@pytest.mark.parametrize("size", [0, 1, 7, 16, 40, BLOCK, BLOCK + 5, 2 * BLOCK + 33])
@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda d: d.name)
def test_sums_have_one_order(size: int, dtype: dt.DType) -> None:
    """Rows, columns, and any neighbours in the batch: the same bits."""
    x = np.random.default_rng(size).standard_normal((3, 2, size)).astype(dtype.name)
    out = np.zeros(3, dtype.name)
    words = [3, 2, size, x, out, 2 * size, size]
    rows = check(reduce_rows("add", dtype, dtype), words, LOWER, 3)[4]
    turned = np.ascontiguousarray(x.transpose(1, 2, 0))
    words = [3, 2, size, turned, out, 3 * size, 3]
    columns = check(reduce_columns("add", dtype, dtype), words, LOWER, 1)[4]
    assert rows.tobytes() == columns.tobytes()
    tolerance = 1e-4 if dtype is float32 else 1e-12
    np.testing.assert_allclose(rows, x.astype("f8").sum((1, 2)), rtol=tolerance, atol=tolerance * 9)


@pytest.mark.parametrize("op", ["argmax", "argmin", "max", "min"])
def test_ties_nan_and_infinities(op: str) -> None:
    inf, nan = np.inf, np.nan
    rows = np.full((6, 40), -1.0 if op.endswith("max") else 1.0, "f4")
    rows[0, [13, 30, 39]] = 5 if op.endswith("max") else -5
    rows[1, [33, 20]] = nan
    rows[2, 35] = nan
    rows[2, 3] = inf
    rows[3] = -inf if op.endswith("max") else inf
    rows[4] = -0.0
    rows[4, 7::2] = 0.0
    rows[5] = nan
    x = rows.reshape(6, 2, 20)
    dtype = int64 if op.startswith("arg") else float32
    words = [6, 2, 20, x, np.zeros(6, dtype.name), 40, 20]
    out = check(reduce_rows(op, float32, dtype), words, LOWER, 6)[4]
    np.testing.assert_array_equal(out, getattr(np, op)(rows, axis=1))
    turned = np.ascontiguousarray(x.transpose(1, 2, 0))
    words = [6, 2, 20, turned, np.zeros(6, dtype.name), 120, 6]
    assert (check(reduce_columns(op, float32, dtype), words, LOWER, 1)[4] == out).sum() >= 3


@pytest.mark.parametrize("empty", [(3, 0, 5), (3, 4, 0), (0, 4, 5)])
def test_empty_axes_give_the_identity(empty: tuple[int, int, int]) -> None:
    x, out = np.zeros(empty, "f4"), np.full(empty[0], 9, "f4")
    for op, expected in (("add", 0), ("mul", 1), ("max", -np.inf)):
        strides = [empty[1] * empty[2], empty[2]]
        words = [*empty, x, out, *strides]
        rows = check(reduce_rows(op, float32, float32), words, LOWER, empty[0])[4]
        np.testing.assert_array_equal(rows, np.full(empty[0], expected, "f4"))


def test_folds_share_a_pass_and_later_ones_wait() -> None:
    """Mean, then variance around it, and the sum of squares beside the first."""
    size = 90
    x = np.random.default_rng(0).standard_normal((4, size)).astype("f4")
    row = at((0, 1), (1, UNIT))
    tape = (
        Load(f32(2), row),
        Apply("mul", (0, 0), float32),
        Result(0, float32),
        Result(1, float32),
        Const(6, float32),
        Apply("div", (2, 4), float32),
        Apply("sub", (0, 5), float32),
        Apply("mul", (6, 6), float32),
        Result(2, float32),
    )
    stores = tuple(Store(f32(w), along(0), v) for w, v in ((3, 5), (4, 3), (5, 8)))
    stages = (Fold((1,), "add", 0), Fold((1,), "add", 1), Fold((1,), "add", 7), Map((), stores))
    kernel = LoopKernel((0, 1), (0,), (), None, None, tape, stages, 7)
    zeros = np.zeros(4, "f4")
    out = check(kernel, [4, size, x, zeros, zeros, zeros, float(size)], LOWER, 4)
    wide = x.astype("f8")
    np.testing.assert_allclose(out[3], wide.mean(1), rtol=1e-5)
    np.testing.assert_allclose(out[4], (wide**2).sum(1), rtol=1e-5)
    np.testing.assert_allclose(out[5], wide.var(1) * size, rtol=1e-5)


def test_what_the_column_decides_is_computed_once_a_column() -> None:
    """The mean of each column, then the spread around it; both are kept while rows go by."""
    rows, columns = 23, PANEL + 37
    x = np.random.default_rng(2).standard_normal((rows, columns)).astype("f4")
    place = at((1, 0), (0, UNIT))
    tape = (
        Load(f32(2), place),
        Result(0, float32),
        Const(5, float32),
        Apply("div", (1, 2), float32),
        Apply("sub", (0, 3), float32),
        Apply("mul", (4, 4), float32),
        Result(1, float32),
        Apply("sqrt", (6,), float32),
        Apply("div", (4, 7), float32),
        Apply("div", (8, 2), float32),
    )
    folds = Fold((1,), "add", 0), Fold((1,), "add", 5)
    stages = (*folds, Map((1,), (Store(f32(3), place, 9),)), Map((), (Store(f32(4), along(0), 3),)))
    kernel = LoopKernel((0, 1), (0,), (), 0, 16, tape, stages, 6)
    kept = [list(column_values(tape, part, 0)) for part in passes(kernel)]
    assert kept == [[], [3], [3, 7], []]
    words = [columns, rows, x, np.zeros_like(x), np.zeros(columns, "f4"), float(rows)]
    out = check(kernel, words, LOWER, items(columns, 16))
    away = x.astype("f8") - x.astype("f8").mean(0)
    np.testing.assert_allclose(out[3], away / np.sqrt((away**2).sum(0)) / rows, atol=1e-6)
    np.testing.assert_allclose(out[4], x.astype("f8").mean(0), atol=1e-6)


def test_lane_scratch_holds_panels() -> None:
    """A softmax down the columns: scratch elements are private to each lane."""
    rows, cols = 23, 37
    x = np.random.default_rng(1).standard_normal((rows, cols)).astype("f4")
    column, scratch, here = at((1, 0), (0, UNIT)), Buffer(None, float32), along(1)
    tape = (
        Load(f32(2), column),
        Result(0, float32),
        Apply("sub", (0, 1), float32),
        Apply("positive", (2,), float32),
        Load(scratch, here),
        Result(2, float32),
        Apply("div", (4, 5), float32),
    )
    stages = (
        Fold((1,), "max", 0),
        Map((1,), (Store(scratch, here, 3),)),
        Fold((1,), "add", 4),
        Map((1,), (Store(f32(3), column, 6),)),
    )
    kernel = LoopKernel((0, 1), (0,), (), 0, 16, tape, stages, 4)
    words = [cols, rows, x, np.zeros_like(x)]
    out = check(kernel, words, LOWER, items(cols, 16), scratch=4 * rows * PANEL)[3]
    e = (x.astype("f8") - x.max(0)) ** 2 + 1
    np.testing.assert_allclose(out, e / e.sum(0), rtol=1e-5)


def test_masked_loads_inside_a_fold() -> None:
    """A pooling window over a padded row: masks and positions of two axes meet in an address."""
    size = 29
    x = np.abs(numbers(float32, size, 5))
    tape = (
        Position(0),
        Position(1),
        Apply("add", (0, 1), int64),
        Literal(1, int64),
        Apply("sub", (2, 3), int64),
        Size(0),
        Apply("less", (4, 5), bool_),
        Apply("less", (4, 7), bool_),
        Literal(True, bool_),
        Literal(0, int64),
        Apply("less", (9, 2), bool_),
        Apply("and", (6, 10), bool_),
        Load(f32(2), at((0, UNIT), (1, UNIT), offset=4), mask=11),
        Result(0, float32),
    )
    stages = (Fold((1,), "max", 12), Map((), (Store(f32(3), along(0), 13),)))
    kernel = LoopKernel((0, 1), (0,), (), 0, 16, tape, stages, 5)
    out = check(kernel, [size, 3, x, np.zeros(size, "f4"), -1], LOWER, 2)[3]
    padded = np.pad(x, 1)
    np.testing.assert_array_equal(out, np.max([padded[:-2], padded[1:-1], padded[2:]], 0))


def reduce_joined(joined: int, lane: int | None = None, run: bool = False) -> LoopKernel:
    """out[i] = the sum, and position of the largest element, of x[i, :, :, :] whose rows have gaps:
    words 0..3 extents, 4 x, 5, 6 out, 7..10 strides of x (one of the last and the first is not
    read: it is 1), 11 the number of runs, 12 the stride of runs in `out`."""
    steps = [(0, 7), (1, 8), (2, 9), (3, 10)]
    steps[3 if lane is None else 0] = (3 if lane is None else 0, UNIT)
    tape = (Load(f32(4), at(*steps)), Result(0, float32), Result(1, int64))
    place = at((0, UNIT), (4, 12)) if run else along(0)
    stores = (Store(f32(5), place, 1), Store(Buffer(6, int64), along(0), 2))
    folds = tuple(Fold((1, 2, 3), op, 0, joined=joined) for op in ("add", "argmax"))
    if run:
        return LoopKernel((0, 1, 2, 3, 11), (4, 0), (), None, None, tape[:2],
                          (folds[0], Map((), stores[:1])), 13, run=4)  # fmt: skip
    return LoopKernel((0, 1, 2, 3), (0,), (), lane, None if lane is None else 16, tape,
                      (*folds, Map((), stores)), 13)  # fmt: skip


@pytest.mark.parametrize(
    "shape",
    [(2, 3, 4, 1), (3, 3, 5, 7), (2, 2, 3, 16), (2, 1, 9, 33), (2, 3, 0, 5), (2, 2, 3, 0),
     (2, 3, 29, 100), (2, 1, 2, BLOCK + 3)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("joined", [2, 3])
def test_rows_with_gaps_add_up_as_one_axis(shape: tuple[int, ...], joined: int) -> None:
    """A partial sum takes the elements that it would take were there no gaps, wherever rows and
    blocks begin; so do columns, and the runs of a split sum."""
    items_, *inner = shape
    outer, last = inner[: 3 - joined], inner[3 - joined :]
    wide = numbers(float32, int(np.prod([n + 2 for n in shape])), 3)
    wide = np.where(np.isfinite(wide), wide, 1.0).reshape([n + 2 for n in shape])
    inside = wide[:, :-2, :-2, :-2][:items_]
    strides = [step // 4 for step in wide.strides]
    results = [np.zeros(items_, "f4"), np.zeros(items_, "i8")]
    found = check(reduce_joined(joined), [*shape, wide, *results, *strides, 0, 0], LOWER, items_)

    packed = np.ascontiguousarray(inside).reshape(items_, *outer, int(np.prod(last)))
    three = packed.reshape(items_, int(np.prod(outer)), packed.shape[-1])
    step = three.shape[1] * three.shape[2]
    words = [*three.shape, three, results[0], step, three.shape[2]]
    expected = check(reduce_rows("add", float32, float32), words, LOWER, items_)[4]
    assert found[5].tobytes() == expected.tobytes()
    if packed.size:
        np.testing.assert_array_equal(found[6], three.reshape(items_, -1).argmax(1))

    turned = np.ascontiguousarray(wide.transpose(1, 2, 3, 0))
    strides = [turned.strides[axis] // 4 for axis in (3, 0, 1, 2)]
    words = [*shape, turned, *results, *strides, 0, 0]
    columns = check(reduce_joined(joined, lane=0), words, LOWER, 1)
    assert columns[5].tobytes() == expected.tobytes()
    if not outer:
        runs = -(-int(np.prod(last)) // BLOCK)
        strides = [step // 4 for step in wide.strides]
        parts = np.zeros((runs, items_), "f4")
        words = [*shape, wide, parts, 0, *strides, runs, items_]
        split = check(reduce_joined(joined, run=True), words, LOWER, runs * items_)[5]
        total = np.full(items_, -0.0, "f4")
        for part in split:
            total += part
        np.testing.assert_array_equal(total, expected)
