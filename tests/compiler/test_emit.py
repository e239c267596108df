"""LoopKernels as machine code: every CPU and the interpreter leave the same bits, and NumPy agrees.

Memory of the tests ends at unreadable pages, so a lane that must not be touched crashes if it is.
"""

from __future__ import annotations

import numpy as np
import pytest

from ambos.compiler.loops import (
    BLOCK,
    UNIT,
    Apply,
    Buffer,
    Const,
    Fold,
    Index,
    Literal,
    Load,
    LoopKernel,
    Map,
    Position,
    Result,
    Size,
    Store,
)
from ambos.core import dtype as dt
from ambos.core.dtype import bfloat16, bool_, float32, float64, int32, int64
from tests.compiler.harness import check

RULES = {
    "add": lambda b, x, y: x + y,
    "sub": lambda b, x, y: x - y,
    "mul": lambda b, x, y: x * y,
    "div": lambda b, x, y: x / y,
    "rem": lambda b, x, y: x % y,
    "sqrt": lambda b, x: b.sqrt(x),
    "less": lambda b, x, y: x < y,
    "and": lambda b, x, y: x & y,
    "neg": lambda b, x: -x,
    "cube": lambda b, x: x * x * x,
    "positive": lambda b, x: x * x + 1.0,
}
LOWER = RULES.__getitem__
LENGTHS = [*range(34), 63, 64, 65, 129, 255, 257]

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # NumPy's, of NaN


def f32(word: int | None) -> Buffer:
    return Buffer(word, float32)


def at(*terms: tuple[int, int], offset: int | None = None) -> Index:
    return Index(offset, terms)


def along(axis: int) -> Index:
    return at((axis, UNIT))


def storage(dtype: dt.DType) -> np.dtype:
    return np.dtype("uint16" if dtype is bfloat16 else dtype.name)


def numbers(dtype: dt.DType, size: int, seed: int = 0) -> np.ndarray:
    """Random elements of `dtype` as they lie in memory (bfloat16: bits), special ones included."""
    random = np.random.default_rng(seed)
    if dtype is bool_:
        return random.integers(0, 2, size).astype(bool)
    if dtype.is_integer:
        low, high = max(dtype.min, -(2**62)), min(dtype.max, 2**62)
        array = random.integers(low, high, size, endpoint=True).astype(dtype.name)
        array[::7] = dtype.min
        return array
    array = random.standard_normal(size) * 10.0 ** random.integers(-3, 4, size)
    array[3::11], array[5::13], array[1::17] = np.nan, np.inf, -0.0
    if dtype is bfloat16:
        return (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return array.astype(dtype.name)


def pointwise(
    tape: tuple, value: int, target: Buffer, num_words: int, grain: int = 64
) -> LoopKernel:
    """A flat map over axis 0, whose extent is word 0."""
    stages = (Map((), (Store(target, along(0), value),)),)
    return LoopKernel((0,), (0,), (), 0, grain, tape, stages, num_words)


def items(size: int, grain: int) -> int:
    return -(-size // grain)


# --- maps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", LENGTHS)
def test_flat_map_of_every_length(size: int) -> None:
    tape = (Load(f32(1), along(0)), Load(f32(2), along(0)), Apply("mul", (0, 1), float32))
    kernel = pointwise(tape, 2, f32(3), 4, grain=32)
    a, b = numbers(float32, size, 1), numbers(float32, size, 2)
    out = check(kernel, [size, a, b, np.zeros(size, "f4")], LOWER, items(size, 32))[3]
    np.testing.assert_array_equal(out, a * b)


@pytest.mark.parametrize("dtype", dt.ALL, ids=lambda d: d.name)
@pytest.mark.parametrize("size", [1, 15, 16, 37])
def test_copy_and_arithmetic_in_every_dtype(dtype: dt.DType, size: int) -> None:
    buffers = [Buffer(word, dtype) for word in (1, 2, 3)]
    tape = (Load(buffers[0], along(0)), Load(buffers[1], along(0)), Apply("add", (0, 1), dtype))
    stores = (Store(buffers[2], along(0), 2), Store(Buffer(4, dtype), along(0), 0))
    kernel = LoopKernel((0,), (0,), (), 0, 32, tape, (Map((), stores),), 5)
    a, b = numbers(dtype, size, 1), numbers(dtype, size, 2)
    out = check(kernel, [size, a, b, np.zeros_like(a), np.zeros_like(a)], LOWER, items(size, 32))
    assert out[4].tobytes() == a.tobytes()
    if dtype is not bfloat16:
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(out[3], a + b)


@pytest.mark.parametrize("source", dt.ALL, ids=lambda d: d.name)
@pytest.mark.parametrize("target", dt.ALL, ids=lambda d: d.name)
def test_every_cast(source: dt.DType, target: dt.DType) -> None:
    tape = (Load(Buffer(1, source), along(0)), Apply("cast", (0,), target))
    kernel = pointwise(tape, 1, Buffer(2, target), 3)
    x = numbers(source, 53)
    check(kernel, [53, x, np.zeros(53, storage(target))], LOWER, 1)


def test_a_row_kernel_broadcasts_and_strides() -> None:
    rows, cols = 5, 37
    x = numbers(float32, rows * cols * 3, 1).reshape(rows, cols, 3)
    bias, scale = numbers(float32, cols, 2), numbers(float32, rows, 3)
    tape = (
        Load(f32(2), at((0, 5), (1, 6), offset=7)),  # x[:, :, 2]: a strided vector axis
        Load(f32(3), along(1)),
        Load(f32(4), along(0)),
        Apply("mul", (0, 2), float32),
        Apply("add", (3, 1), float32),
    )
    stores = (Store(f32(8), at((0, 1), (1, UNIT)), 4),)
    kernel = LoopKernel((0, 1), (0,), (), None, None, tape, (Map((1,), stores),), 9)
    words = [rows, cols, x, bias, scale, cols * 3, 3, 2, np.zeros((rows, cols), "f4")]
    out = check(kernel, words, LOWER, rows)[8]
    np.testing.assert_array_equal(out, x[:, :, 2] * scale[:, None] + bias)


@pytest.mark.parametrize("dtype", [bool_, dt.int8, dt.float16, float32, float64])
@pytest.mark.parametrize("size", [3, 40])
def test_padding_reads_nothing_outside(dtype: dt.DType, size: int) -> None:
    """out[i] = x[i - 2] where 2 <= i < 2 + n: the address is outside wherever the mask is off."""
    tape = (
        Position(0),
        Literal(2, int64),
        Size(3),
        Apply("less", (0, 1), bool_),
        Apply("less", (0, 2), bool_),
        Literal(True, bool_),
        Apply("xor", (3, 5), bool_),
        Apply("and", (4, 6), bool_),
        Load(Buffer(1, dtype), at((0, UNIT), offset=4), mask=7),
    )
    kernel = pointwise(tape, 8, Buffer(2, dtype), 5)
    x = numbers(dtype, size, 1)
    words = [size + 5, x, np.ones(size + 5, x.dtype), size + 2, -2]
    out = check(kernel, words, {**RULES, "xor": lambda b, x, y: x ^ y}.__getitem__, 1)[2]
    np.testing.assert_array_equal(out, np.pad(x, (2, 3)))


@pytest.mark.parametrize("strided", [False, True])
def test_masked_rows_and_uniform_masks(strided: bool) -> None:
    """Rows beyond the second are padding: the mask is uniform, the load a vector."""
    rows, cols = 4, 21
    x = numbers(float32, 2 * cols, 1).reshape(2, cols)
    step = (1, 3) if strided else (1, UNIT)
    x = x.T.copy().T if strided else x
    tape = (
        Position(0),
        Literal(2, int64),
        Apply("less", (0, 1), bool_),
        Load(f32(2), at((0, 4), step), mask=2),
        Load(f32(2), at((0, 4)), mask=2),
        Apply("add", (3, 4), float32),
    )
    stores = (Store(f32(5), at((0, 1), (1, UNIT)), 5),)
    kernel = LoopKernel((0, 1), (0,), (), None, None, tape, (Map((1,), stores),), 6)
    strides = [2, 1] if strided else [1, cols]
    flat = x.T.copy() if strided else x
    words = [rows, cols, flat, strides[0], strides[1], np.ones((rows, cols), "f4")]
    out = check(kernel, words, LOWER, rows)[5]
    np.testing.assert_array_equal(out[:2], x + x[:, :1])
    assert not out[2:].any()


@pytest.mark.parametrize("dtype", [bool_, dt.int16, float32, float64], ids=lambda d: d.name)
@pytest.mark.parametrize("size", [5, 16, 50])
def test_gather(dtype: dt.DType, size: int) -> None:
    index = np.random.default_rng(3).integers(0, 9, size)
    table = numbers(dtype, 9)
    tape = (Load(Buffer(1, int64), along(0)), Load(Buffer(2, dtype), Index(None, (), ((0, UNIT),))))
    kernel = pointwise(tape, 1, Buffer(3, dtype), 4)
    out = check(kernel, [size, index, table, np.zeros(size, table.dtype)], LOWER, 1)[3]
    np.testing.assert_array_equal(out, table[index])


def test_gathered_rows_are_unit_vectors() -> None:
    """An embedding: the index is uniform in a row, the columns are neighbours."""
    index, table = np.array([2, 0, 2, 3]), numbers(float32, 4 * 19, 2).reshape(4, 19)
    tape = (Load(Buffer(2, int64), along(0)), Load(f32(3), Index(None, ((1, UNIT),), ((0, 1),))))
    stores = (Store(f32(4), at((0, 1), (1, UNIT)), 1),)
    kernel = LoopKernel((0, 1), (0,), (), None, None, tape, (Map((1,), stores),), 5)
    out = check(kernel, [4, 19, index, table, np.zeros((4, 19), "f4")], LOWER, 4)[4]
    np.testing.assert_array_equal(out, table[index])


def test_several_stores_in_place_with_constants() -> None:
    """Adam's shape: three buffers updated in place from one gradient and argument constants."""
    size = 77
    p, m, g = (numbers(float32, size, seed) for seed in range(3))
    tape = (
        Load(f32(1), along(0)),
        Load(f32(2), along(0)),
        Load(f32(3), along(0)),
        Const(4, float32),
        Const(5, float32),
        Apply("mul", (1, 3), float32),
        Apply("add", (5, 2), float32),
        Apply("mul", (6, 4), float32),
        Apply("sub", (0, 7), float32),
    )
    stores = (Store(f32(1), along(0), 8), Store(f32(2), along(0), 6))
    kernel = LoopKernel((0,), (0,), (), 0, 16, tape, (Map((), stores),), 6)
    out = check(kernel, [size, p, m, g, 0.9, 0.001], LOWER, items(size, 16))
    fresh = m * np.float32(0.9) + g
    np.testing.assert_array_equal(out[2], fresh)
    np.testing.assert_array_equal(out[1], p - fresh * np.float32(0.001))


def test_strided_and_masked_stores() -> None:
    size = 35
    x = numbers(float32, size, 1)
    tape = (
        Load(f32(1), along(0)),
        Literal(0.0, float32),
        Apply("less", (0, 1), bool_),
        Apply("neg", (0,), float32),
    )
    stores = (
        Store(f32(2), at((0, 4)), 0),
        Store(f32(3), along(0), 3, mask=2),
        Store(f32(5), at((0, 4)), 3, mask=2),
    )
    kernel = LoopKernel((0,), (0,), (), 0, 16, tape, (Map((), stores),), 6)
    words = [size, x, np.zeros(size * 3, "f4"), np.ones(size, "f4"), 3, np.ones(size * 3, "f4")]
    out = check(kernel, words, LOWER, items(size, 16))
    np.testing.assert_array_equal(out[2][::3], x)
    np.testing.assert_array_equal(out[3], np.where(x < 0, -x, 1))
    np.testing.assert_array_equal(out[5][::3], np.where(x < 0, -x, 1))


def test_serial_and_several_grid_axes() -> None:
    """A transpose of the outer axes of (3, 4, 5, 18), with the innermost in a lane axis."""
    shape = (3, 4, 5, 18)
    x = numbers(float32, int(np.prod(shape)), 1).reshape(shape)
    y = np.zeros((5, 4, 3, 18), "f4")
    tape = (Load(f32(4), at((0, 6), (1, 7), (2, 8), (3, UNIT))),)
    stores = (Store(f32(5), at((0, 8), (1, 9), (2, 10), (3, UNIT)), 0),)
    kernel = LoopKernel((0, 1, 2, 3), (0, 1), (2,), 3, None, tape, (Map((), stores),), 11)
    words = [*shape, x, y, 4 * 5 * 18, 5 * 18, 18, 3 * 18, 4 * 3 * 18]
    out = check(kernel, words, LOWER, 12)[5]
    np.testing.assert_array_equal(out, x.transpose(2, 1, 0, 3))


@pytest.mark.parametrize("dtype", [dt.int32, dt.float16, float32], ids=lambda d: d.name)
def test_ordered_scatter_add(dtype: dt.DType) -> None:
    index = np.array([3, 1, 3, 3, 0, 1, 3, 3, 3, 2, 3, 3, 0, 0, 0, 3, 3, 1])
    values = (numbers(dtype, len(index), 1) * 1).astype(dtype.name)
    values = np.nan_to_num(values, posinf=1, neginf=1)
    tape = (Load(Buffer(2, int64), along(1)), Load(Buffer(3, dtype), along(1)))
    store = Store(Buffer(4, dtype), Index(None, (), ((0, UNIT),)), 1, accumulate=True)
    kernel = LoopKernel((0, 1), (0,), (), None, None, tape, (Map((1,), (store,), True),), 5)
    out = check(kernel, [1, len(index), index, values, np.zeros(4, dtype.name)], LOWER, 1)[4]
    expected = np.zeros(4, dtype.name)
    for i, v in zip(index, values, strict=True):
        expected[i] += v
    np.testing.assert_array_equal(out, expected)


def test_scatter_add_of_rows_in_lanes() -> None:
    """An embedding's gradient: rows in order, columns in lanes."""
    index, rows = np.array([2, 0, 2, 2]), numbers(float32, 4 * 21, 4).reshape(4, 21)
    tape = (Load(Buffer(2, int64), along(1)), Load(f32(3), at((1, 5), (0, UNIT))))
    store = Store(f32(4), Index(None, ((0, UNIT),), ((0, 5),)), 1, accumulate=True)
    kernel = LoopKernel((0, 1), (0,), (), 0, 16, tape, (Map((1,), (store,), True),), 6)
    out = check(kernel, [21, 4, index, rows, np.zeros((3, 21), "f4"), 21], LOWER, 2)[4]
    expected = np.zeros((3, 21), "f4")
    np.add.at(expected, index, rows)
    np.testing.assert_array_equal(out, expected)


def test_unordered_scatter_with_a_mask() -> None:
    index = np.random.default_rng(0).permutation(45)
    x = numbers(float32, 45, 2)
    tape = (
        Load(Buffer(1, int64), along(0)),
        Load(f32(2), along(0)),
        Literal(0.5, float32),
        Apply("less", (1, 2), bool_),
    )
    store = Store(f32(3), Index(None, (), ((0, UNIT),)), 1, mask=3)
    kernel = LoopKernel((0,), (0,), (), 0, 32, tape, (Map((), (store,)),), 4)
    out = check(kernel, [45, index, x, np.ones(45, "f4")], LOWER, 2)[3]
    expected = np.ones(45, "f4")
    on = x < 0.5
    expected[index[on]] = x[on]
    np.testing.assert_array_equal(out, expected)


def test_integer_division_never_traps() -> None:
    """Lanes beyond the end hold zeros; INT_MIN / -1 and x / 0 have defined results."""
    a = np.array([7, -7, 5, -(2**31), -(2**31), 0, 9], np.int32)
    b = np.array([2, 2, 0, -1, 0, 0, -4], np.int32)
    i = Buffer(1, int32), Buffer(2, int32)
    tape = (
        Load(i[0], along(0)),
        Load(i[1], along(0)),
        Apply("div", (0, 1), int32),
        Apply("rem", (0, 1), int32),
    )
    stores = tuple(Store(Buffer(w, int32), along(0), w - 1) for w in (3, 4))
    kernel = LoopKernel((0,), (0,), (), 0, 16, tape, (Map((), stores),), 5)
    out = check(kernel, [7, a, b, a * 0, a * 0], LOWER, 1)
    np.testing.assert_array_equal(out[3], [3, -3, 0, -(2**31), 0, 0, -2])
    np.testing.assert_array_equal(out[4], [1, -1, 0, 0, 0, 0, 1])


# --- folds ---------------------------------------------------------------------------------------


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


def test_lane_scratch_holds_vectors() -> None:
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
    out = check(kernel, words, LOWER, items(cols, 16), scratch=4 * rows * 16)[3]
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
