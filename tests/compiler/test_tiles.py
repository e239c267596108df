"""Tiles fit the registers, and follow sizes so coarsely that few kernels exist."""

import itertools

import pytest

from ambos.compiler.loops import LANES
from ambos.compiler.tiles import MAX_ROW_BLOCK, choose_item, choose_tile
from ambos.core import dtype as dt
from ambos.core.features import AVX2, AVX512, NEON, Features

SIZES = (1, 2, 7, 16, 17, 64, 1000, 100_000)
TYPES = (dt.float32, dt.float64, dt.int32, dt.int64)


@pytest.mark.parametrize("features", [AVX2, AVX512, NEON])
@pytest.mark.parametrize("accumulator", TYPES)
def test_sums_and_operands_fit_the_registers(features: Features, accumulator: dt.DType) -> None:
    for columns, rows in itertools.product(SIZES, SIZES):
        height, vectors = choose_tile(features, columns, rows, accumulator)
        wide = max(1, LANES * accumulator.itemsize // features.vector_bytes)
        assert height * vectors * wide < features.registers


@pytest.mark.parametrize("features", [AVX2, AVX512, NEON])
def test_the_number_of_rows_does_not_shape_the_code(features: Features) -> None:
    for columns in SIZES:
        assert len({choose_tile(features, columns, rows, dt.float32) for rows in SIZES[1:]}) == 1
    assert len({choose_tile(features, c, r, dt.float32) for c in SIZES for r in SIZES}) <= 4


@pytest.mark.parametrize("features", [AVX2, AVX512, NEON])
def test_items_are_whole_tiles_and_bounded(features: Features) -> None:
    for rows, k, panels, threads in itertools.product((0, *SIZES), SIZES, (1, 9, 900), (1, 8)):
        tile = choose_tile(features, 100, rows, dt.float32)
        block, group = choose_item(features, tile, rows, k, 4, panels, 3, threads)
        assert block % tile[0] == 0
        assert 0 < block <= MAX_ROW_BLOCK
        assert block < rows + 2 * tile[0]
        assert 1 <= group <= panels


def test_threads_get_items_of_their_own() -> None:
    for rows, panels in ((512, 16), (2048, 1), (64, 4), (4096, 64)):
        block, group = choose_item(AVX512, (11, 2), rows, 512, 4, panels, threads=2)
        assert -(-rows // block) * -(-panels // group) >= 2
