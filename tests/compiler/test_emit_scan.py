"""ScanKernels as machine code: every CPU and the interpreter leave the same bits, NumPy agrees."""

from __future__ import annotations

import numpy as np
import pytest

from ambos.compiler.emit_scan import scan_scratch
from ambos.compiler.loops import BLOCK, UNIT, Buffer, Index, Load, Result, ScanKernel, Store
from ambos.core import dtype as dt
from tests.compiler.harness import check, numbers

DTYPES = [dt.float32, dt.float64, dt.int8, dt.uint64]
NUMPY = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def run(x: np.ndarray, dtype: dt.DType, op: str, reverse: bool, down: bool) -> np.ndarray:
    """Running results along the rows of `x`, or down its columns."""
    rows, columns = x.shape
    buffers = Buffer(3, dtype), Buffer(4, dtype)
    index = Index(None, ((0, 2), (1, UNIT)))
    tape = (Load(buffers[0], index), Result(0, dtype))
    axes = {"grid": (), "lane": 1, "grain": 5, "axis": 0} if down else {
        "grid": (0,), "lane": None, "grain": None, "axis": 1
    }  # fmt: skip
    kernel = ScanKernel(
        (0, 1), axes["grid"], axes["lane"], axes["grain"], axes["axis"], op, 0, reverse, tape,
        (Store(buffers[1], index, 1),), 6,
    )  # fmt: skip
    grain = 32
    items = -(-columns // grain) if down else rows
    words = [rows, columns, columns, x, np.zeros_like(x), grain]
    return check(kernel, words, items=items, scratch=scan_scratch(kernel, grain))[4]


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("op", NUMPY)
@pytest.mark.parametrize(
    "dtype", [dt.float32, dt.float64, dt.int8, dt.uint64], ids=lambda d: d.name
)
def test_running_results(dtype: dt.DType, op: str, reverse: bool, down: bool) -> None:
    for shape in ((35, 41),) if dtype is not dt.float32 else ((35, 41), (1, 1), (16, 16)):
        x = numbers(dtype, shape[0] * shape[1]).reshape(shape)
        if dtype.is_floating:  # far from overflow, where orders of products would matter
            x = np.random.default_rng(1).uniform(0.5, 1.5, shape).astype(x.dtype)
        axis = 0 if down else 1
        turned = np.flip(x, axis) if reverse else x
        expected = NUMPY[op].accumulate(turned, axis=axis, dtype=x.dtype)
        expected = np.flip(expected, axis) if reverse else expected
        found = run(x, dtype, op, reverse, down)
        np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype.is_floating else 0)


@pytest.mark.parametrize("reverse", [False, True])
def test_rows_and_columns_agree_over_blocks(reverse: bool) -> None:
    x = np.random.default_rng(0).normal(size=(2, 2 * BLOCK + 21)).astype("f4")
    along = run(x, dt.float32, "add", reverse, down=False)
    down = run(np.ascontiguousarray(x.T), dt.float32, "add", reverse, down=True)
    assert along.tobytes() == np.ascontiguousarray(down.T).tobytes()


def test_nan_stays() -> None:
    x = np.array([[1, np.nan, 3, 0, 2]], "f4")
    np.testing.assert_array_equal(run(x, dt.float32, "max", False, False)[0], [1] + [np.nan] * 4)
