"""LoopKernels as machine code: every CPU and the interpreter leave the same bits, and NumPy agrees.

Memory of the tests ends at unreadable pages, so a lane that must not be touched crashes if it is.
"""

from __future__ import annotations

import numpy as np
import pytest

from ambos.compiler.emit import emit_loop
from ambos.compiler.loops import (
    UNIT,
    Apply,
    Buffer,
    Const,
    Index,
    Instr,
    Literal,
    Load,
    LoopKernel,
    Map,
    Position,
    Size,
    Store,
)
from ambos.core import dtype as dt
from ambos.core.dtype import bfloat16, bool_, float32, float64, int32, int64
from tests.compiler.harness import RULES, along, at, check, f32, items, numbers, storage

LOWER = RULES.__getitem__
LENGTHS = [*range(34), 63, 64, 65, 129, 255, 257]

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # NumPy's, of NaN


def pointwise(
    tape: tuple, value: int, target: Buffer, num_words: int, grain: int = 64
) -> LoopKernel:
    """A flat map over axis 0, whose extent is word 0."""
    stages = (Map((), (Store(target, along(0), value),)),)
    return LoopKernel((0,), (0,), (), 0, grain, tape, stages, num_words)


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


def test_strided_taps_under_masks_are_little_text() -> None:
    """LLVM's time for a kernel is that of its text: 49 taps were 9950 lines and 0.7 s."""
    taps = 49
    tape: list[Instr] = [Position(0), Size(1), Apply("less", (0, 1), bool_), Literal(0.0, float32)]
    for tap in range(taps):
        load = Load(f32(2), Index(6 + tap, ((0, 3), (1, 4))), mask=2)
        tape += [load, Apply("add", (len(tape) - 1, len(tape)), float32)]
    stores = (Store(f32(5), at((0, 1), (1, UNIT)), len(tape) - 1),)
    stages = (Map((1,), stores),)
    kernel = LoopKernel((0, 1), (0,), (), None, None, tuple(tape), stages, 6 + taps)
    assert len(emit_loop(kernel, "taps", LOWER).splitlines()) < 65 * taps


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
    store = Store(Buffer(4, dtype), Index(None, (), ((0, UNIT),)), 1, combine="add")
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
    store = Store(f32(4), Index(None, ((0, UNIT),), ((0, 5),)), 1, combine="add")
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
