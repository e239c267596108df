"""Kernels of loops for a few elements: point by point instead of in vectors of LANES."""

from __future__ import annotations

from dataclasses import replace

from ambos.compiler.loops import Fold, LoopKernel, Map

GRAIN = 1 << 20  # takes in all there is


def narrow(kernel: LoopKernel) -> LoopKernel:
    """The kernel that does the same to few elements, in its first work item. The canonical order of
    a fold is that of vectors, so that a kernel with folds stays as it is."""
    if kernel.columns is not None or any(isinstance(stage, Fold) for stage in kernel.stages):
        return kernel
    maps = (stage for stage in kernel.stages if isinstance(stage, Map))
    stages = tuple(replace(stage, ordered=True) for stage in maps)
    grid, serial, grain = kernel.grid, kernel.serial, kernel.grain
    if kernel.tile is not None:
        axes = kernel.tile.rows, kernel.tile.columns
        serial = axes if grid else axes[1:]
        grain = None if grid else kernel.tile.row_grain
        grid = grid or axes[:1]
    elif kernel.lane is not None and kernel.lane not in grid:
        serial = (*serial, kernel.lane)
    return replace(
        kernel, grid=grid, serial=serial, grain=grain, stages=stages, lane=None, tile=None,
        ahead=None,
    )  # fmt: skip
