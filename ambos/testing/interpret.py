"""The middle oracle: kernels of the loop IR executed in NumPy, exactly as loops.py defines them.

If NumPy's answer and this one differ, lowering is wrong; if this and the machine's differ, emission
is. Every address is checked: touching what is masked off or outside its memory is an error here.

Values are arrays of shape (lanes, points): all indices of the lane axis (one row without a lane
axis) by all points of the stage's axes. bfloat16 memory is uint16, argument words are Python
numbers, and `memory` maps a pointer's word to a flat array.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ambos.compiler.attention_loops import AttentionGradientKernel, AttentionKernel
from ambos.compiler.inside import ControlKernel
from ambos.compiler.loops import (
    BLOCK,
    LANES,
    UNIT,
    Buffer,
    Columns,
    ContractKernel,
    Fold,
    LoopKernel,
    Map,
    ScanKernel,
    SortKernel,
    Tile,
)
from ambos.core.dtype import DType, bool_
from ambos.core.errors import IndexingError
from ambos.core.program import Host
from ambos.ops.fused import fused_multiply_add
from ambos.testing.interpret_attention import interpret_attention, interpret_attention_gradient
from ambos.testing.interpret_columns import rows_of_slots, slots_of
from ambos.testing.interpret_control import interpret_control
from ambos.testing.interpret_host import interpret_host
from ambos.testing.interpret_scan import interpret_scan
from ambos.testing.interpret_tape import BUILDER, Lower, Memory, Point, Words
from ambos.testing.scalar import NumpyValue, storage

Array = npt.NDArray[Any]
AnyKernel = (
    LoopKernel | ContractKernel | SortKernel | ScanKernel | AttentionKernel
    | AttentionGradientKernel | Host | ControlKernel
)  # fmt: skip

SCRATCH = 1 << 16  # bytes of scratch that a lane has


def interpret(
    kernel: AnyKernel, words: Words, memory: Memory, lower: Lower, items: range | None = None
) -> None:
    """Run `kernel` on `memory`, which changes in place.

    `lower(op)` gives the rules of pointwise ops; `items` the work items of a LoopKernel to run
    (default: all).

    Errors:
        IndexingError: an address outside its memory.
    """
    with np.errstate(all="ignore"):
        if isinstance(kernel, LoopKernel):
            _loop_kernel(kernel, words, memory, lower, items)
        elif isinstance(kernel, ContractKernel):
            _contract_kernel(kernel, words, memory, lower)
        elif isinstance(kernel, AttentionKernel):
            interpret_attention(kernel, words, memory)
        elif isinstance(kernel, AttentionGradientKernel):
            interpret_attention_gradient(kernel, words, memory)
        elif isinstance(kernel, ScanKernel):
            interpret_scan(kernel, words, lambda: Point(kernel.tape, words, memory, lower))
        elif isinstance(kernel, Host):
            interpret_host(kernel, words, memory)
        elif isinstance(kernel, ControlKernel):
            interpret_control(kernel, memory, lambda k, w, m: interpret(k, w, m, lower))
        else:
            _sort_kernel(kernel, words, memory)


# --- loop kernels --------------------------------------------------------------------------------


def _loop_kernel(
    kernel: LoopKernel, words: Words, memory: Memory, lower: Lower, items: range | None
) -> None:
    extents = [int(words[word]) for word in kernel.extents]
    for item in _items(kernel, extents, words) if items is None else items:
        if kernel.columns is not None:
            _clear(kernel, kernel.columns, extents, item, Point(kernel.tape, words, memory, lower))
        for point in _item_points(kernel, extents, item, words):
            lanes = 1 if kernel.lane is None else len(point[kernel.lane])
            here = Point(kernel.tape, words, memory, lower)
            here.scratch = np.full((lanes, SCRATCH if _uses_scratch(kernel) else 0), 0xCD, np.uint8)
            for axis, index in point.items():
                here.axes[axis] = np.asarray(index, np.int64).reshape(-1, 1)
            if lanes:
                _stages(kernel, extents, here)


def _uses_scratch(kernel: LoopKernel) -> bool:
    stores = [s for stage in kernel.stages if isinstance(stage, Map) for s in stage.stores]
    return any(store.buffer.word is None for store in stores)


def _items(kernel: LoopKernel, extents: Sequence[int], words: Sequence[Any]) -> range:
    if kernel.tile is not None:
        return range(math.prod(_tile_sizes(kernel, kernel.tile, extents, words)))
    if kernel.columns is not None:
        runs, slots = -(-extents[kernel.grid[0]] // BLOCK), slots_of(kernel, words, 0)[1]
        return range(runs * (LANES // len(slots)))
    if kernel.grain is not None:
        return range(-(-extents[kernel.grid[0]] // words[kernel.grain]))
    return range(math.prod(extents[axis] for axis in kernel.grid))


def _tile_sizes(
    kernel: LoopKernel, tile: Tile, extents: Sequence[int], words: Sequence[Any]
) -> list[int]:
    """Extents of the grid, then blocks of the tile's rows and columns."""
    pairs = ((tile.rows, tile.row_grain), (tile.columns, tile.column_grain))
    blocks = [-(-extents[axis] // words[grain]) for axis, grain in pairs]
    return [*(extents[axis] for axis in kernel.grid), *blocks]


def _tile_points(
    kernel: LoopKernel, tile: Tile, extents: Sequence[int], item: int, words: Sequence[Any]
) -> list[dict[int, Any]]:
    """Every row of an item's block, the columns as lanes."""
    sizes = _tile_sizes(kernel, tile, extents, words)
    *grid, row, column = (int(i) for i in np.unravel_index(item, sizes))
    outer = dict(zip(kernel.grid, grid, strict=True))
    rows, columns = (
        range(block * words[grain], min((block + 1) * words[grain], extents[axis]))
        for block, grain, axis in (
            (row, tile.row_grain, tile.rows), (column, tile.column_grain, tile.columns),
        )
    )  # fmt: skip
    return [{**outer, tile.rows: index, tile.columns: np.array(columns)} for index in rows]


def _item_points(
    kernel: LoopKernel, extents: Sequence[int], item: int, words: Sequence[Any]
) -> itertools.chain[dict[int, Any]] | list[dict[int, Any]]:
    """Index of every outer axis, for each turn of the loops around the stages."""
    if kernel.tile is not None:
        return _tile_points(kernel, kernel.tile, extents, item, words)
    if kernel.columns is not None:
        return rows_of_slots(kernel, kernel.columns, extents, item, words)
    axes = list(kernel.grid) + list(kernel.serial)
    if kernel.grain is not None:
        grain = words[kernel.grain]
        first = item * grain
        low_high = range(first, min(first + grain, extents[kernel.grid[0]]))
        ranges: list[Any] = [low_high]
        if kernel.grid[0] == kernel.lane:
            ranges = [[np.array(low_high, np.int64)]]
    else:
        sizes = [extents[axis] for axis in kernel.grid]
        ranges = [[int(i)] for i in np.unravel_index(item, sizes)]
    ranges += [range(extents[axis]) for axis in kernel.serial]
    if kernel.lane is not None and kernel.lane not in kernel.grid:
        axes.append(kernel.lane)
        ranges.append([np.arange(extents[kernel.lane])])
    return [dict(zip(axes, indices, strict=True)) for indices in itertools.product(*ranges)]


def _clear(
    kernel: LoopKernel, columns: Columns, extents: Sequence[int], item: int, here: Point
) -> None:
    run, slots = slots_of(kernel, here.words, item)
    sizes = [extents[axis] for axis in columns.clear.axes]
    grids = np.indices(sizes).reshape(len(sizes), 1, math.prod(sizes))
    for slot in slots:
        _bind(here, [columns.run, columns.slot], [np.array([[run]]), np.array([[slot]])])
        _bind(here, columns.clear.axes, list(grids))
        if 0 not in sizes:
            here.store(columns.clear.stores)


def _stages(kernel: LoopKernel, extents: Sequence[int], here: Point) -> None:
    outer = dict(here.axes)
    joined = next((s.joined for s in kernel.stages if isinstance(s, Fold)), 1)
    for number, stage in enumerate(kernel.stages):
        sizes = [extents[axis] for axis in stage.axes]
        if isinstance(stage, Map) and stage.ordered:
            for indices in itertools.product(*(range(size) for size in sizes)):
                _bind(here, stage.axes, [np.array([[i]]) for i in indices])
                here.store(stage.stores)
        else:
            if sizes:
                sizes = _walk(kernel, stage.axes, sizes, joined, here)
            if isinstance(stage, Map):
                if 0 not in sizes:
                    here.store(stage.stores)
            else:
                here.results[number] = _fold(stage, sizes, here)
        here.axes = dict(outer)


def _walk(
    kernel: LoopKernel, axes: Sequence[int], sizes: Sequence[int], joined: int, here: Point
) -> list[int]:
    """Bind `axes`, the last `joined` of them as one; how many indices each then has."""
    last = sizes[-joined:]
    numbers = np.arange(math.prod(last))
    if kernel.run is not None:
        first = int(here.axes[kernel.run].flat[0]) * BLOCK
        numbers = numbers[first : first + BLOCK]
    counts = [*sizes[:-joined], len(numbers)]
    *outer, flat = np.indices(counts).reshape(len(counts), 1, math.prod(counts))
    inner = np.unravel_index(numbers[flat], last) if 0 not in counts else [flat] * joined
    _bind(here, axes, [*outer, *inner])
    return counts


def _bind(here: Point, axes: Sequence[int], indices: Sequence[Array]) -> None:
    for axis, index in zip(axes, indices, strict=True):
        here.axes[axis] = index.astype(np.int64)


def _fold(fold: Fold, sizes: Sequence[int], here: Point) -> NumpyValue:
    """One result for each lane, of shape (lanes, 1)."""
    value = here.value(fold.value, {})
    wide = BUILDER.convert(value, value.dtype.compute)
    shape = np.broadcast_shapes(here.shape, (1, math.prod(sizes)))
    data = np.broadcast_to(wide.data, shape)
    if fold.op.startswith("arg"):
        return BUILDER.value(_best(data, fold.op[3:])[:, None])
    if fold.op in ("max", "min"):
        return NumpyValue(_extreme(data, fold.op, wide.dtype)[:, None], wide.dtype)
    if fold.plain:
        function = np.add if fold.op == "add" else np.multiply
        total = np.full(shape[0], -0.0 if fold.op == "add" else 1, storage(wide.dtype))
        for column in data.T:
            total = function(total, column)
        return NumpyValue(np.asarray(total)[:, None], wide.dtype)
    rows = data.reshape(shape[0], -1, sizes[-1]) if sizes[-1] else data.reshape(shape[0], 0, 0)
    return NumpyValue(canonical(rows, fold.op, wide.dtype)[:, None], wide.dtype)


def canonical(rows: Array, op: str, dtype: DType) -> Array:
    """Sums or products of (lanes, outer, last) in the canonical order of `Fold`."""
    combine = np.add if op == "add" else np.multiply
    identity = np.asarray(0 if op == "add" else 1, storage(dtype))
    total = np.full(rows.shape[0], identity)
    for row, start in itertools.product(range(rows.shape[1]), range(0, rows.shape[2], BLOCK)):
        run = rows[:, row, start : start + BLOCK]
        partial = np.full((rows.shape[0], LANES), identity)
        for first in range(0, run.shape[1], LANES):
            part = run[:, first : first + LANES]
            partial[:, : part.shape[1]] = combine(partial[:, : part.shape[1]], part)
        for half in (8, 4, 2, 1):
            partial = combine(partial[:, :half], partial[:, half:])
        total = combine(total, partial[:, 0])
    return np.asarray(total)


def _extreme(data: Array, op: str, dtype: DType) -> Array:
    identity = dtype.min if op == "max" else dtype.max
    function = np.maximum if op == "max" else np.minimum
    best = function.reduce(data, axis=1, initial=np.asarray(identity, storage(dtype)))
    return np.asarray(best + 0 if dtype is not bool_ else best).astype(storage(dtype))


def _best(data: Array, op: str) -> Array:
    if not data.shape[1]:
        return np.zeros(data.shape[0], np.int64)
    return (np.argmax if op == "max" else np.argmin)(data, axis=1).astype(np.int64)


# --- contractions --------------------------------------------------------------------------------


def _contract_kernel(kernel: ContractKernel, words: Words, memory: Memory, lower: Lower) -> None:
    extents = [int(words[word]) for word in kernel.extents]
    for batch in itertools.product(*(range(size) for size in extents[: kernel.num_batch])):
        inner = np.indices(extents[kernel.num_batch :]).reshape(
            kernel.num_rows + 1, 1, math.prod(extents[kernel.num_batch :])
        )
        point = Point(kernel.tape, words, memory, lower)
        _bind(point, range(kernel.num_batch), [np.full((1, 1), index) for index in batch])
        _bind(point, range(kernel.num_batch, len(extents)), list(inner))
        total = _contract(kernel, words, memory, batch, inner[:-1, 0], inner[-1, 0])
        point.results[0] = NumpyValue(total[None], kernel.accumulator)
        if total.size:
            point.store(kernel.stores)


def _contract(
    kernel: ContractKernel,
    words: Words,
    memory: Memory,
    batch: Sequence[int],
    rows: Array,
    column: Array,
) -> Array:
    """The accumulator at every (row, column), in the canonical order."""

    def size(word: int | None) -> int:
        return 0 if word is None else 1 if word == UNIT else int(words[word])

    width = kernel.tile[1] * LANES
    a_base = np.full(column.shape, size(kernel.a_offset), np.int64)
    b_base = np.full(column.shape, size(kernel.b_offset), np.int64)
    for index, a_stride, b_stride in zip(batch, kernel.a_batch, kernel.b_batch, strict=True):
        a_base += index * size(a_stride)
        b_base += index * size(b_stride)
    for row, stride in zip(rows, kernel.a_rows, strict=True):
        a_base += row * size(stride)
    a_base += column if kernel.a_vector else 0
    b_base += column // width * size(kernel.b_panel) + column % width * size(kernel.b_line)
    length, block = size(kernel.run_length), size(kernel.k_block)
    b_k = width if kernel.b_form == "packed" else size(kernel.b_k)
    total = chain = np.zeros(column.shape, storage(kernel.accumulator))
    count = size(kernel.num_runs) * length
    first = batch[0] * block if kernel.split else 0
    end = min(first + block, count) if kernel.split else count
    for k in range(first, end):
        run, within = divmod(k, length)
        a_at = a_base + memory[kernel.a_runs][run] + within * size(kernel.a_k)
        b_at = b_base + memory[kernel.b_runs][run] + within * b_k
        a = _operand(memory, kernel.a, a_at, kernel.accumulator)
        b = _operand(memory, kernel.b, b_at, kernel.accumulator)
        chain = fused_multiply_add(np, a, b, chain)
        if (k + 1) % block == 0 or k + 1 == count:
            total = chain if k - first < block else np.asarray(total + chain)
            chain = np.zeros_like(total)
    return total


def _operand(memory: Memory, buffer: Buffer, address: Array, accumulator: DType) -> Array:
    assert buffer.word is not None
    array = memory[buffer.word]
    if address.size and (address.min() < 0 or address.max() >= array.size):
        raise IndexingError(f"interpret: an address outside word {buffer.word}, of {array.size}")
    return BUILDER.convert(BUILDER.value(array[address], buffer.dtype), accumulator).data


# --- sorting -------------------------------------------------------------------------------------


def _sort_kernel(kernel: SortKernel, words: Words, memory: Memory) -> None:
    assert kernel.keys.word is not None
    extent, count = int(words[kernel.extent]), int(words[kernel.count])
    if not extent:
        return
    raw = memory[kernel.keys.word].reshape(-1, extent)
    keys = BUILDER.convert(BUILDER.value(raw, kernel.keys.dtype), kernel.keys.dtype.compute).data
    if kernel.descending:  # equal keys keep their order: the mirror image is sorted
        order = extent - 1 - np.argsort(keys[:, ::-1], axis=1, kind="stable")[:, ::-1]
    else:
        order = np.argsort(keys, axis=1, kind="stable")
    order = order[:, :count]
    for buffer, found in ((kernel.order, order), (kernel.values, None)):
        if buffer is not None:
            assert buffer.word is not None
            data = np.take_along_axis(raw, order, 1) if found is None else found
            memory[buffer.word].reshape(-1)[:] = data.ravel()
