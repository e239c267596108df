"""What contraction kernels compute of their results before they store them."""

from __future__ import annotations

import numpy as np
import pytest

from ambos.compiler.contract_epilogue import is_of_columns
from ambos.compiler.loops import Apply, Index, Instr, Load, Position, Result
from ambos.core import dtype as dt

from .test_emit_contract import Case, Operand, canonical, in_elements, matmul, numbers


@pytest.mark.parametrize("columns", [16, 21])
@pytest.mark.parametrize("k", [20, 600])
def test_the_epilogue_may_read_what_it_overwrites(columns: int, k: int) -> None:
    """out += max(a @ b + bias[column] * scale[row], 0), in place."""
    a, b = numbers(14, k), numbers(k, columns, seed=1)
    bias, scale, zero = numbers(columns), numbers(14), np.zeros(1, np.float32)
    before = numbers(14, columns, seed=2)

    def tape(case: Case) -> tuple[Instr, ...]:
        return (
            Result(0, dt.float32),
            Load(case.buffer(bias), case.index([0, 1])),
            Load(case.buffer(scale), case.index([1])),
            Apply("mul", (1, 2), dt.float32),
            Apply("add", (0, 3), dt.float32),
            Load(case.buffer(zero), Index()),
            Apply("maximum", (4, 5), dt.float32),
            Load(case.buffer(case.out), case.index([columns, 1])),
            Apply("add", (6, 7), dt.float32),
        )

    total = canonical(a, b) + bias * scale[:, None]
    expected = np.maximum(total, np.float32(0)) + before
    for tile in ((6, 1), (11, 2)):
        got = matmul(a, b, tile, out=before.copy(), tape=tape, row_block=12).run()
        np.testing.assert_array_equal(got, expected)


def test_the_epilogue_knows_every_position_and_stores_with_any_stride() -> None:
    a, b = np.zeros((2, 3, 4, 5), np.float32), np.zeros((5, 18), np.float32)
    out = np.zeros((18, 4, 3, 2), np.int64)
    step = in_elements(out)

    def tape(case: Case) -> tuple[Instr, ...]:
        ten = case.buffer(np.array([10]))
        return (
            Load(ten, Index()), Position(0), Position(1), Position(2), Position(3),
            Apply("mul", (1, 0), dt.int64), Apply("add", (5, 2), dt.int64),
            Apply("mul", (6, 0), dt.int64), Apply("add", (7, 3), dt.int64),
            Apply("mul", (8, 0), dt.int64), Apply("mul", (9, 0), dt.int64),
            Apply("add", (10, 4), dt.int64),
        )  # fmt: skip

    Case(
        Operand(a, [60], [20, 5]), Operand(b, [0], k=18), out, step[::-1], [3, 4], 18, 5,
        batch=[2], tape=tape, row_block=6,
    ).run(chunk=1)  # fmt: skip
    index = np.indices(out.shape)
    np.testing.assert_array_equal(
        out, index[3] * 10000 + index[2] * 1000 + index[1] * 100 + index[0]
    )


@pytest.mark.parametrize("of_columns", [False, True])
def test_an_epilogue_goes_over_rows_or_columns_first(of_columns: bool) -> None:
    """Row by row, unless something is computed from columns alone; the results are the same."""
    rng = np.random.default_rng(6)
    a, b = (rng.integers(-4, 5, shape).astype("f4") for shape in ((25, 9), (9, 70)))
    bias, factor = (rng.integers(1, 9, n).astype("f4") for n in (70, 25))

    def tape(case: Case) -> tuple[Instr, ...]:
        column = Load(case.buffer(bias), case.index([0, 1]))
        row = Load(case.buffer(factor), case.index([1, 0]))
        own = Apply("mul", (1, 1 if of_columns else 0), dt.float32)
        return Result(0, dt.float32), column, own, row, Apply("add", (2, 3), dt.float32)

    case = matmul(a, b, (11, 2), "packed", tape=tape, row_block=11)
    assert is_of_columns(case.kernel()) is of_columns
    expected = bias * (bias if of_columns else a @ b) + factor[:, None]
    np.testing.assert_array_equal(case.run("native"), expected)
