"""Contraction kernels as machine code, against the canonical order bit for bit, and PyTorch.

The operands hold numbers of at most 11 significant bits, so that a product and its sum with an
accumulator are exact in float64: one rounding of that sum to float32 is the fused multiply-add.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from ambos.compiler.emit_contract import emit_contract
from ambos.compiler.loops import (
    LANES,
    UNIT,
    Apply,
    Buffer,
    ContractKernel,
    Index,
    Instr,
    Load,
    Result,
    Store,
    block_length,
)
from ambos.compiler.tiles import Scratch, scratch_of
from ambos.core import dtype as dt
from ambos.testing.interpret import interpret

from .harness import compile_kernel, launch

RULES: dict[str, Callable[..., Any]] = {
    "add": lambda b, x, y: x + y,
    "mul": lambda b, x, y: x * y,
    "maximum": lambda b, x, y: b.select(x > y, x, y),
}
TILES = ((6, 1), (11, 2), (2, 1), (1, 4))
CPUS = ("x86-64-v3", "native")
FORMS = ("place", "copy", "turn", "packed")


@cache
def compiled(kernel: ContractKernel, cpu: str) -> int:
    return compile_kernel(emit_contract(kernel, "k", RULES.__getitem__), "k", cpu)


@dataclass
class Operand:
    """An array and, in elements, where its parts are."""

    array: np.ndarray
    batch: Sequence[int] = ()
    rows: Sequence[int] = ()
    k: int = 1
    runs: Sequence[int] | np.ndarray = (0,)
    panel: int | None = None
    line: int = 1
    form: str = "place"  # of B: in "place", or b_form of ContractKernel
    offset: int = 0


@dataclass
class Case:
    """A contraction; `run` builds, compiles and launches its kernel."""

    a: Operand
    b: Operand
    out: np.ndarray
    strides: Sequence[int]  # of `out`, for batch, row and column axes
    rows: Sequence[int]
    columns: int
    run_length: int
    batch: Sequence[int] = ()
    tile: tuple[int, int] = (6, 1)
    row_block: int = 24
    group: int = 2
    accumulator: dt.DType = dt.float32
    a_dtype: dt.DType | None = None
    b_dtype: dt.DType | None = None
    a_vector: bool = False
    a_form: str = "place"
    a_move: bool = False
    split: bool = False
    pairs: bool = False
    tape: Callable[[Case], tuple[Instr, ...]] | None = None
    words: list[int] = field(default_factory=list)
    arrays: list[np.ndarray] = field(default_factory=list)
    buffers: dict[int, Buffer] = field(default_factory=dict)

    def word(self, value: int) -> int:
        self.words.append(value)
        return len(self.words) - 1

    def stride(self, value: int) -> int:
        return UNIT if value == 1 else self.word(value)

    def buffer(self, array: np.ndarray, dtype: dt.DType | None = None) -> Buffer:
        """The buffer of `array`, the same one every time."""
        if id(array) not in self.buffers:
            self.arrays.append(array)  # lives as long as its address is used
            word = self.word(array.ctypes.data)
            self.buffers[id(array)] = Buffer(word, dtype or dt.as_dtype(array.dtype))
        return self.buffers[id(array)]

    def index(self, strides: Sequence[int]) -> Index:
        terms = ((axis, self.stride(s)) for axis, s in enumerate(strides) if s)
        return Index(None, tuple(terms))

    def kernel(self) -> ContractKernel:
        self.words, self.buffers = [], {}
        self.row_block = -(-self.row_block // self.tile[0]) * self.tile[0]
        a, b, word = self.a, self.b, self.word
        self.tables = np.array(a.runs, np.int64), np.array(b.runs, np.int64)
        k, self.scratch = len(a.runs) * self.run_length, self.scratch_of()
        tape = self.tape(self) if self.tape else (Result(0, self.accumulator),)
        target = Store(self.buffer(self.out), self.index(self.strides), len(tape) - 1)
        return ContractKernel(
            extents=tuple(word(extent) for extent in (*self.batch, *self.rows, self.columns)),
            num_batch=len(self.batch),
            num_rows=len(self.rows),
            a=self.buffer(a.array, self.a_dtype),
            b=self.buffer(b.array, self.b_dtype),
            accumulator=self.accumulator,
            a_offset=word(a.offset),
            a_batch=tuple(word(s) for s in a.batch),
            a_rows=tuple(word(s) for s in a.rows),
            b_offset=None,
            b_batch=tuple(word(s) for s in b.batch),
            b_panel=word(self.tile[1] * LANES if b.panel is None else b.panel),
            b_line=self.stride(b.line),
            b_form="copy" if b.form == "place" else b.form,
            b_in_place=word(int(b.form == "place")),
            a_vector=self.a_vector,
            a_form=self.a_form,
            a_move=word(int(self.a_move)),
            num_runs=word(len(a.runs)),
            run_length=word(self.run_length),
            a_runs=word(self.tables[0].ctypes.data),
            b_runs=word(self.tables[1].ctypes.data),
            a_k=self.stride(a.k),
            b_k=self.stride(b.k),
            k_block=word(block_length(k)),
            row_block=word(self.row_block),
            group=word(self.group),
            b_scratch=word(self.scratch.b),
            a_scratch=word(self.scratch.a),
            tile=self.tile,
            tape=tape,
            stores=(target,),
            num_words=len(self.words),
            split=self.split,
            pairs=self.pairs,
        )

    def scratch_of(self) -> Scratch:
        itemsizes = self.accumulator.itemsize, self.a.array.itemsize, self.b.array.itemsize
        k = len(self.a.runs) * self.run_length
        copies = self.a_move or self.a_form == "rows", self.b.form != "packed"
        return scratch_of(self.tile, self.row_block, self.group, k, itemsizes, copies)

    def run(self, cpu: str = "native", chunk: int | None = None) -> np.ndarray:
        """`out`, after items were done `chunk` at a time (last chunk first)."""
        address = compiled(self.kernel(), cpu)
        width = self.tile[1] * LANES
        blocks = -(-int(np.prod(self.rows)) // self.row_block)
        panels = -(-self.columns // width)
        groups = -(-panels // self.group)
        items = int(np.prod(self.batch)) * blocks * groups
        scratch = self.scratch.size
        for begin in reversed(range(0, items, chunk or max(items, 1))):
            launch(address, self.words, min(items, begin + (chunk or items)), scratch, begin)
        return self.out


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers of 11 significant bits, as float32."""
    rng = np.random.default_rng((seed, *shape))
    return rng.standard_normal(shape).astype(np.float16).astype(np.float32)


def canonical(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b in the order that ContractKernel defines, in float32."""
    k = a.shape[1]
    length = block_length(k)
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for start in range(0, k, length):
        chain = np.zeros_like(total, np.float32)
        for i in range(start, min(k, start + length)):
            product = np.outer(a[:, i].astype(np.float64), b[i].astype(np.float64))
            chain = (product + chain).astype(np.float32)
        total = total + chain if start else chain
    return total


def pack(b: np.ndarray, width: int) -> Operand:
    """B as panels of `width` columns, padded with zeros."""
    k, columns = b.shape
    panels = np.zeros((-(-columns // width), k, width), b.dtype)
    for number, panel in enumerate(panels):
        part = b[:, number * width : (number + 1) * width]
        panel[:, : part.shape[1]] = part
    return Operand(panels, k=width, panel=k * width, form="packed")


def in_elements(array: np.ndarray) -> list[int]:
    return [stride // array.itemsize for stride in array.strides]


def matmul(
    a: np.ndarray, b: np.ndarray, tile: tuple[int, int] = (6, 1), form: str = "place", **more: Any
) -> Case:
    """a @ b for matrices with any strides; B is laid out as `form` needs it."""
    (rows, k), columns = a.shape, b.shape[1]
    row, step = in_elements(a)
    right = Operand(b, k=in_elements(b)[0], form=form)
    if form == "packed":
        right = pack(b, tile[1] * LANES)
    elif form == "turn":
        turned, width = np.ascontiguousarray(b.T), tile[1] * LANES
        line = in_elements(turned)[0]
        right = Operand(turned, k=1, panel=width * line, line=line, form=form)
    out = more.pop("out", None)
    if out is None:
        out = np.full((rows, columns), 77, np.float32)
    return Case(
        Operand(a, rows=[row], k=step), right, out, in_elements(out), [rows], columns, k,
        tile=tile, **more,
    )  # fmt: skip


# --- matrices ------------------------------------------------------------------------------------

SIZES = ((1, 1, 1), (7, 5, 3), (1, 70, 40), (13, 16, 2), (29, 37, 300), (50, 33, 0), (3, 130, 517))


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("form", FORMS)
def test_matrices_have_the_bits_of_the_canonical_order(
    cpu: str, tile: tuple[int, int], form: str
) -> None:
    for rows, columns, k in SIZES:
        a, b = numbers(rows, k), numbers(k, columns, seed=1)
        got = matmul(a, b, tile, form, row_block=2 * tile[0]).run(cpu)
        np.testing.assert_array_equal(got, canonical(a, b), f"{rows} x {k} x {columns}")


@pytest.mark.parametrize("transposed", [True, False])
def test_neither_row_blocks_nor_chunks_of_items_change_bits(transposed: bool) -> None:
    a, b = numbers(67, 290), numbers(290, 45, seed=1)
    left = np.asfortranarray(a) if transposed else a
    for tile, row_block, chunk in itertools.product(((6, 1), (11, 2)), (12, 36, 120), (1, 3, None)):
        forms = [("place", False), ("rows", False)] if transposed else [("k", False), ("k", True)]
        for a_form, a_move in forms:
            case = matmul(left, b, tile, row_block=row_block, a_form=a_form, a_move=a_move)
            np.testing.assert_array_equal(case.run(chunk=chunk), canonical(a, b))


def test_a_row_alone_is_the_row_in_the_batch() -> None:
    a, b = np.random.default_rng(3).standard_normal((40, 700), np.float32), numbers(700, 50)
    batch = matmul(a, b, (11, 2), form="packed").run()
    for row in (0, 17, 39):
        alone = matmul(a[row : row + 1], b, (1, 4), form="packed", row_block=2).run()
        np.testing.assert_array_equal(alone[0], batch[row])


def test_one_code_serves_all_sizes() -> None:
    kernels = {matmul(numbers(r, k), numbers(k, c)).kernel() for r, c, k in SIZES if c > 1 < k}
    assert len(kernels) == 1


def test_batches_may_repeat_an_operand() -> None:
    a, b = numbers(3, 2, 11, 19), numbers(2, 19, 21, seed=1)
    out = np.full((3, 2, 11, 21), 77, np.float32)
    batch_a, batch_b = in_elements(a)[:2], in_elements(b)[:1]
    Case(
        Operand(a, batch_a, [19]), Operand(b, [0, *batch_b], k=21), out, in_elements(out),
        [11], 21, 19, batch=[3, 2], row_block=6,
    ).run(chunk=5)  # fmt: skip
    for i, j in itertools.product(range(3), range(2)):
        np.testing.assert_array_equal(out[i, j], canonical(a[i, j], b[j]))


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 30, 150, 300])
@pytest.mark.parametrize("tile", [(6, 1), (11, 2)])
def test_the_run_table_may_cut_blocks_anywhere(cut: int, tile: tuple[int, int]) -> None:
    a, b = numbers(14, 300), numbers(300, 20, seed=1)
    whole = matmul(a, b, tile)
    starts = np.arange(0, 300, cut)
    case = replace(
        whole,
        a=replace(whole.a, runs=starts),
        b=replace(whole.b, runs=starts * 20),
        run_length=cut,
    )
    np.testing.assert_array_equal(case.run(), canonical(a, b))


# --- element types -------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [(2, 1), (11, 1), (1, 4)])
@pytest.mark.parametrize(
    ("operand", "accumulator"),
    [("int8", "int32"), ("uint8", "int32"), ("int32", "int32"), ("uint64", "uint64"),
     ("int64", "int64"), ("int16", "int16")],
)  # fmt: skip
def test_integers_wrap(tile: tuple[int, int], operand: str, accumulator: str) -> None:
    rng = np.random.default_rng(0)
    limits = np.iinfo(operand)
    a = rng.integers(limits.min, limits.max, (9, 270), operand, endpoint=True)
    b = rng.integers(limits.min, limits.max, (270, 23), operand, endpoint=True)
    out = np.zeros((9, 23), accumulator)
    for form in FORMS:
        kind = dt.as_dtype(accumulator)
        got = matmul(a, b, tile, form, out=out, accumulator=kind).run()
        np.testing.assert_array_equal(got, a.astype(accumulator) @ b.astype(accumulator))


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("dtype", [dt.float16, dt.bfloat16])
def test_half_precisions_are_summed_in_float32(cpu: str, dtype: dt.DType) -> None:
    kind = torch.float16 if dtype is dt.float16 else torch.bfloat16
    a, b = (torch.from_numpy(numbers(*s)).to(kind) for s in ((15, 300), (300, 21)))
    expected = canonical(a.float().numpy(), b.float().numpy())
    left, right = a.view(torch.int16).numpy(), b.view(torch.int16).numpy()
    for form in FORMS:
        case = matmul(left, right, (6, 1), form, a_dtype=dtype, b_dtype=dtype)
        np.testing.assert_array_equal(case.run(cpu), expected)


@pytest.mark.parametrize("cpu", CPUS)
def test_float64(cpu: str) -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 61, 61))
    results = [
        matmul(a, b, tile, form, out=np.zeros((61, 61)), accumulator=dt.float64).run(cpu)
        for tile in ((2, 1), (11, 1))
        for form in FORMS
    ]
    np.testing.assert_allclose(results[0], a @ b, rtol=0, atol=61 * 2**-53 * 20)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


# --- convolutions --------------------------------------------------------------------------------


def patches(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Rows (n, oh, ow) of the elements (r, s, c) under the window."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(1, 2))
    n, oh, ow = windows.shape[:3]
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(n * oh * ow, -1)


@pytest.mark.parametrize("tile", [(6, 1), (11, 2)])
@pytest.mark.parametrize("channels", [1, 3, 40])
def test_convolution_reads_the_image_in_place(tile: tuple[int, int], channels: int) -> None:
    n, h, w, r, s, columns = 2, 9, 8, 3, 3, 18
    x, weight = numbers(n, h, w, channels), numbers(r, s, channels, columns, seed=1)
    width = tile[1] * LANES
    right = pack(weight.reshape(-1, columns), width)
    right.runs = np.arange(r) * s * channels * width
    out = np.full((n, h - 2, w - 2, columns), 77, np.float32)
    left = Operand(x, rows=in_elements(x)[:3], runs=np.arange(r) * w * channels)
    case = Case(left, right, out, in_elements(out), out.shape[:3], columns, s * channels, tile=tile)
    expected = canonical(patches(x, r, s), weight.reshape(-1, columns))
    np.testing.assert_array_equal(case.run(chunk=2).reshape(-1, columns), expected)
    images = torch.from_numpy(x).permute(0, 3, 1, 2)
    theirs = torch.conv2d(images, torch.from_numpy(weight).permute(3, 2, 0, 1))
    np.testing.assert_allclose(out, theirs.permute(0, 2, 3, 1), rtol=0, atol=1e-4)


def test_the_weight_gradient_sums_over_pixels() -> None:
    n, h, w, channels, columns = 2, 9, 11, 5, 19
    x, gradient = numbers(n, h, w, channels), numbers(n, h - 2, w - 2, columns, seed=1)
    step = in_elements(x)
    lines = list(itertools.product(range(n), range(h - 2)))
    out = np.full((3, 3, channels, columns), 77, np.float32)
    case = Case(
        Operand(x, rows=step[1:], k=step[2], runs=[i * step[0] + j * step[1] for i, j in lines]),
        Operand(gradient, k=columns, runs=np.arange(len(lines)) * (w - 2) * columns),
        out, in_elements(out), out.shape[:3], columns, w - 2,
    )  # fmt: skip
    expected = canonical(patches(x, 3, 3).T, gradient.reshape(-1, columns))
    np.testing.assert_array_equal(case.run().reshape(-1, columns), expected)


@pytest.mark.parametrize("tile", [(6, 1), (11, 2)])
@pytest.mark.parametrize("channels", [1, 16, 37])
def test_depthwise_convolution(tile: tuple[int, int], channels: int) -> None:
    x, weight = numbers(2, 7, 8, channels), numbers(3, 3, channels, seed=1)
    out = np.full((2, 5, 6, channels), 77, np.float32)
    case = Case(
        Operand(x, rows=in_elements(x)[:3], k=channels, runs=np.arange(3) * 8 * channels),
        Operand(weight, k=channels, runs=np.arange(3) * 3 * channels),
        out, in_elements(out), out.shape[:3], channels, 3, tile=tile, a_vector=True,
    )  # fmt: skip
    case.run()
    for channel in range(channels):
        expected = canonical(patches(x[..., [channel]], 3, 3), weight[..., channel].reshape(-1, 1))
        np.testing.assert_array_equal(out[..., channel].reshape(-1, 1), expected)


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("tile", [(6, 1), (11, 2)])
@pytest.mark.parametrize("form", FORMS)
def test_the_interpreter_gives_the_same_bits(cpu: str, tile: tuple[int, int], form: str) -> None:
    """On full-precision numbers, several k blocks, and runs that the blocks cut."""
    rng = np.random.default_rng(5)
    a, b = (rng.standard_normal(shape, np.float32) for shape in ((7, 290), (290, 19)))
    bias = rng.standard_normal(19, np.float32)

    def tape(case: Case) -> tuple[Instr, ...]:
        column = Load(case.buffer(bias), case.index([0, 1]))
        return Result(0, dt.float32), column, Apply("add", (0, 1), dt.float32)

    case = matmul(a, b, tile, form, tape=tape, row_block=6 if tile == (6, 1) else 11)
    starts = np.arange(0, 290, 29)
    case.a.runs, case.b.runs, case.run_length = starts, starts * case.b.k, 29
    machine = case.run(cpu).copy()
    case.out[...] = 0
    kernel = case.kernel()
    memory = {
        buffer.word: array.reshape(-1)
        for array, buffer in zip(
            case.arrays[-len(case.buffers) :], case.buffers.values(), strict=True
        )
        if buffer.word is not None
    }
    memory |= dict(zip((kernel.a_runs, kernel.b_runs), case.tables, strict=True))
    interpret(kernel, case.words, memory, RULES.__getitem__)
    np.testing.assert_array_equal(machine, case.out)
