"""The middle oracle against NumPy, fractions, and the canonical orders written out by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from ambos.compiler.loops import (
    BLOCK,
    LANES,
    UNIT,
    Apply,
    Buffer,
    ContractKernel,
    Fold,
    Index,
    Load,
    LoopKernel,
    Map,
    Position,
    Result,
    SortKernel,
    Store,
    block_length,
)
from ambos.core.dtype import float32, float64, int32, int64
from ambos.core.errors import CompilerError, IndexingError
from ambos.ops.fused import fused_multiply_add
from ambos.testing.interpret import canonical, interpret

RULES = {"add": lambda b, x, y: x + y, "scale": lambda b, x: x * 2.0}
LOWER = RULES.__getitem__
ALONG = Index(None, ((0, UNIT),))


@pytest.mark.parametrize("size", [1, 17, BLOCK + 40])
def test_the_canonical_sum_written_out(size: int) -> None:
    x = np.random.default_rng(size).standard_normal(size).astype("f4")
    total = np.float32(0)
    for start in range(0, size, BLOCK):
        partial = [np.float32(0)] * LANES
        for i, value in enumerate(x[start : start + BLOCK]):
            partial[i % LANES] = np.float32(partial[i % LANES] + value)
        for half in (8, 4, 2, 1):
            partial = [np.float32(partial[i] + partial[i + half]) for i in range(half)]
        total = partial[0] if start == 0 else np.float32(total + partial[0])
    assert canonical(x.reshape(1, 1, -1), "add", float32)[0] == total
    assert canonical(np.tile(x, (2, 1, 1)), "add", float32).tolist() == [total, total]


def test_fused_multiply_add_rounds_once() -> None:
    """Cases where rounding to float64 first would round the wrong way included."""
    random = np.random.default_rng(0)
    a, b, c = (random.standard_normal(2000).astype("f4") for _ in range(3))
    a[0], b[0], c[0] = 1 + 2.0**-12, 1 + 2.0**-12, 2.0**-60  # just above a tie of float32
    a[1], b[1], c[1] = 1 + 2.0**-12, 1 + 2.0**-12, -(2.0**-60)
    out = fused_multiply_add(np, a, b, c)
    for x, y, z, got in zip(a, b, c, out, strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        error = abs(Fraction(float(got)) - exact)
        for side in (np.float32(-np.inf), np.float32(np.inf)):
            assert error <= abs(Fraction(float(np.nextafter(got, side))) - exact)
    assert out[0] > out[1]
    wide = fused_multiply_add(
        np, np.array([0.1, np.inf]), np.array([10.0, 0.0]), np.array([-1.0, 1.0])
    )
    assert wide[0] == float(Fraction(0.1) * 10 - 1)
    assert np.isnan(wide[1])


def row_kernel() -> LoopKernel:
    """Words: 0 rows, 1 columns, 2 x, 3 sums, 4 the row stride."""
    tape = (Load(Buffer(2, float32), Index(None, ((0, 4), (1, UNIT)))), Result(0, float32))
    stages = (Fold((1,), "add", 0), Map((), (Store(Buffer(3, float32), ALONG, 1),)))
    return LoopKernel((0, 1), (0,), (), None, None, tape, stages, 5)


def test_a_fold_and_single_items() -> None:
    x = np.arange(12, dtype="f4").reshape(3, 4)
    memory = {2: x.ravel(), 3: np.zeros(3, "f4")}
    interpret(row_kernel(), [3, 4, 0, 0, 4], memory, LOWER, items=range(1, 2))
    assert memory[3].tolist() == [0, 22, 0]
    interpret(row_kernel(), [3, 4, 0, 0, 4], memory, LOWER)
    np.testing.assert_array_equal(memory[3], x.sum(1))


def test_addresses_outside_memory_are_errors() -> None:
    memory = {2: np.zeros(11, "f4"), 3: np.zeros(3, "f4")}
    with pytest.raises(IndexingError, match="element 11 of word 2, which has 11"):
        interpret(row_kernel(), [3, 4, 0, 0, 4], memory, LOWER)
    with pytest.raises(IndexingError, match="element -4 of word 2"):
        interpret(row_kernel(), [3, 4, 0, 0, -4], {**memory, 2: np.zeros(12, "f4")}, LOWER)
    with pytest.raises(CompilerError, match=r"word 2 is float64; need ambos\.float32"):
        interpret(row_kernel(), [3, 4, 0, 0, 4], {**memory, 2: np.zeros(12)}, LOWER)


def test_lane_grains_and_rules() -> None:
    tape = (Load(Buffer(1, float32), ALONG), Apply("scale", (0,), float32), Position(0))
    stores = (Store(Buffer(2, float32), ALONG, 1), Store(Buffer(3, int64), ALONG, 2))
    kernel = LoopKernel((0,), (0,), (), 0, 4, tape, (Map((), stores),), 5)
    memory = {1: np.arange(40, dtype="f4"), 2: np.zeros(40, "f4"), 3: np.zeros(40, np.int64)}
    interpret(kernel, [40, 0, 0, 0, 16], memory, LOWER)
    np.testing.assert_array_equal(memory[2], np.arange(40) * 2)
    np.testing.assert_array_equal(memory[3], np.arange(40))


@pytest.mark.parametrize("dtype", [float32, float64, int32], ids=lambda d: d.name)
def test_a_contraction(dtype) -> None:
    """Two batches of (5, 300) by (300, 7), B unpacked with one panel, bias in the epilogue."""
    batch, rows, k, cols = 2, 5, 300, 7
    random = np.random.default_rng(0)
    a, b = (random.integers(-9, 9, s).astype(dtype.name) for s in ((batch, rows, k), (k, cols)))
    bias = np.arange(cols).astype(dtype.name)
    words = [batch, rows, cols, 0, 0, rows * k, k, 0, 16, 1, k, 0, 0, 1, cols, block_length(k), 64]
    words += [0, 0, rows * cols, cols]
    tape = (
        Result(0, dtype),
        Load(Buffer(17, dtype), Index(None, ((2, UNIT),))),
        Apply("add", (0, 1), dtype),
    )
    store = Store(Buffer(18, dtype), Index(None, ((0, 19), (1, 20), (2, UNIT))), 2)
    kernel = ContractKernel(
        extents=(0, 1, 2), num_batch=1, num_rows=1, a=Buffer(3, dtype), b=Buffer(4, dtype),
        accumulator=dtype, a_offset=None, a_batch=(5,), a_rows=(6,), b_offset=None, b_batch=(7,),
        b_panel=8, b_line=UNIT, b_form="copy", b_in_place=17, a_vector=False,
        a_form="place", a_move=17, num_runs=9, run_length=10, a_runs=11, b_runs=12,
        a_k=13, b_k=14, k_block=15, row_block=16, group=17,
        b_scratch=17, a_scratch=17, tile=(6, 1), tape=tape, stores=(store,),
        num_words=21,
    )  # fmt: skip
    out = np.zeros(batch * rows * cols, dtype.name)
    start = np.zeros(1, np.int64)
    memory = {3: a.ravel(), 4: b.ravel(), 11: start, 12: start, 17: bias, 18: out}
    interpret(kernel, words, memory, LOWER)
    np.testing.assert_array_equal(out.reshape(batch, rows, cols), a @ b + bias)


def test_a_sort() -> None:
    keys = np.array([3, np.nan, 1, 3, 2, -0.0, 0.0, np.nan], "f4")
    memory = {0: keys, 1: np.zeros(8, np.int64)}
    kernel = SortKernel(Buffer(0, float32), Buffer(1, int64), None, 2, 3, False, 4)
    interpret(kernel, [0, 0, 4, 4], memory, LOWER)
    assert memory[1].tolist() == [2, 0, 3, 1, 1, 2, 0, 3]
