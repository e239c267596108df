"""Which rows an item of a kernel with sums of columns goes over, as loops.Columns defines it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ambos.compiler.loops import BLOCK, LANES, Columns, LoopKernel


def slots_of(kernel: LoopKernel, words: Sequence[Any], item: int) -> tuple[int, range]:
    """The run and the slots of an item of a kernel with sums of columns."""
    assert kernel.grain is not None
    grain = words[kernel.grain]
    run, group = divmod(item, LANES // grain)
    return run, range(group * grain, (group + 1) * grain)


def rows_of_slots(
    kernel: LoopKernel, columns: Columns, extents: Sequence[int], item: int, words: Sequence[Any]
) -> list[dict[int, Any]]:
    run, slots = slots_of(kernel, words, item)
    rows = range(run * BLOCK, min((run + 1) * BLOCK, extents[kernel.grid[0]]))
    return [
        {
            kernel.grid[0]: row,
            columns.run: run,
            columns.slot: row % LANES,
            **dict(zip(kernel.serial, inner, strict=True)),
        }
        for row in rows
        if row % LANES in slots
        for inner in itertools.product(*(range(extents[axis]) for axis in kernel.serial))
    ]
