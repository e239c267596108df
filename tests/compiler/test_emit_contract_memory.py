"""Contraction kernels touch what they were given and nothing else."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
import pytest

from .test_emit_contract import (
    CPUS,
    TILES,
    Case,
    Operand,
    canonical,
    in_elements,
    matmul,
    numbers,
    pack,
    patches,
)


def guarded(array: np.ndarray) -> np.ndarray:
    """A copy whose last byte is the last of a page, in front of a page that must not be touched."""
    page = mmap.PAGESIZE
    size = -(-array.nbytes // page) * page
    memory = mmap.mmap(-1, size + page)
    view = np.frombuffer(memory, array.dtype, array.size, size - array.nbytes).reshape(array.shape)
    view[...] = array
    base = view.ctypes.data + view.nbytes
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(base), ctypes.c_size_t(page), 0) == 0
    return view


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("tile", TILES)
def test_nothing_is_touched_outside_the_operands(cpu: str, tile: tuple[int, int]) -> None:
    for rows, columns, k in ((1, 1, 1), (5, 17, 3), (7, 50, 9), (13, 33, 6)):
        a, b = guarded(numbers(rows, k)), guarded(numbers(k, columns, seed=1))
        out = guarded(np.full((rows, columns), 77, np.float32))
        case = matmul(a, b, tile, out=out, row_block=2 * tile[0])
        np.testing.assert_array_equal(case.run(cpu), canonical(a, b))


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize(("tile", "channels", "columns"), [((16, 1), 40, 6), ((12, 1), 3, 8)])
def test_neighbouring_pixels_share_a_vector_and_nothing_else(
    cpu: str, tile: tuple[int, int], channels: int, columns: int
) -> None:
    n, h, w, r, s = 2, 7, 8, 3, 3
    x, weight = numbers(n, channels, h, w), numbers(r * s * channels, columns, seed=1)
    right = pack(weight, 16)
    right.runs = np.arange(r * s) * channels * 16
    taps = [row * w + column for row in range(r) for column in range(s)]
    n_stride, c_stride, h_stride, _ = in_elements(x)
    left = Operand(guarded(x), rows=(n_stride, h_stride, 1), k=c_stride, runs=taps)
    out = guarded(np.full((n, h - 2, w - 2, columns), 77, np.float32))
    case = Case(
        left, right, out, in_elements(out), out.shape[:3], columns, channels, tile=tile, pairs=True
    )
    expected = canonical(patches(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), r, s), weight)
    np.testing.assert_array_equal(case.run(cpu, chunk=2).reshape(-1, columns), expected)


def test_only_existing_elements_are_written() -> None:
    memory = np.full((9, 40), 77, np.float32)
    a, b = numbers(7, 11), numbers(11, 21, seed=1)
    matmul(a, b, (6, 1), form="packed", out=memory[1:8, 5:26]).run()
    np.testing.assert_array_equal(memory[1:8, 5:26], canonical(a, b))
    memory[1:8, 5:26] = 77
    assert (memory == 77).all()
