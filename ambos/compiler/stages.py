"""Which stages of a kernel share a pass over their axes.

Folds over the same axes run together unless one needs another's result, and a map just before
them joins in when what they read of its writing was written at the same point: softmax stores
exp(x - max) and sums it in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ambos.compiler.loops import Fold, Instr, LoopKernel, Map, Result, closure, loads, roots


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass: a map, or folds (stages `numbers`), or a map whose points the folds follow."""

    map: Map | None
    folds: tuple[Fold, ...]
    numbers: tuple[int, ...]


def passes(kernel: LoopKernel) -> list[Pass]:
    """The kernel's stages, in order, in as few passes as can be."""
    found: list[Pass] = []
    number = 0
    while number < len(kernel.stages):
        stage = kernel.stages[number]
        before = stage if isinstance(stage, Map) else None
        first = number if before is None else number + 1
        folds = _together(kernel, first)
        if before is not None and not (folds and _joins(kernel.tape, before, folds)):
            folds = ()
        numbers = tuple(range(first, first + len(folds)))
        found.append(Pass(before, folds, numbers))
        number = first + len(folds)
    return found


def _together(kernel: LoopKernel, first: int) -> tuple[Fold, ...]:
    """The folds from stage `first` on that can share a pass."""
    group: list[Fold] = []
    for stage in kernel.stages[first:]:
        if not isinstance(stage, Fold):
            break
        if group and not _alike(stage, group[0]):
            break
        needed = (kernel.tape[number] for number in closure(kernel.tape, roots(stage)))
        if any(isinstance(i, Result) and i.stage >= first for i in needed):
            break
        group.append(stage)
    return tuple(group)


def _alike(a: Fold, b: Fold) -> bool:
    """Do they walk the same axes in the same way?"""
    return (a.axes, a.plain, a.joined) == (b.axes, b.plain, b.joined)


def _joins(tape: Sequence[Instr], stage: Map, folds: Sequence[Fold]) -> bool:
    """Whether `folds` may read what `stage` writes at the same point, at the time it does."""
    if stage.ordered or stage.axes != folds[0].axes:
        return False
    written = {store.buffer.word for store in stage.stores}
    read = loads(tape, (fold.value for fold in folds)).values()
    shared = [load for load in read if load.buffer.word in written]
    for load in shared:
        stores = [store for store in stage.stores if store.buffer.word == load.buffer.word]
        if len(stores) != 1 or load.mask is not None:
            return False
        store = stores[0]
        same = (store.buffer, store.index) == (load.buffer, load.index)
        if not same or store.mask is not None or store.combine:
            return False
    # What the map read before it wrote must not be taken for what the folds read after.
    words = {load.buffer.word for load in shared}
    return not any(load.buffer.word in words for load in loads(tape, roots(stage)).values())
