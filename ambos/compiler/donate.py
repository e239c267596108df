"""Results that may be written over the input which they renew: parameters, moments, statistics.

A kernel may write element i of a result where element i of an input lies if nothing reads that
element later: every reader runs earlier, or is the writing kernel itself and reads element i for
no other purpose than to write element i.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ambos.compiler import loops
from ambos.compiler.fuse import Group, is_leaf
from ambos.compiler.launches import Step
from ambos.compiler.layout import Memory, Ref
from ambos.graph.node import Node, toposort


def readers(groups: Sequence[Group], leaves: set[Node]) -> dict[Node, set[Group]]:
    """For each of `leaves` the groups that read it."""
    found: dict[Node, set[Group]] = {leaf: set() for leaf in leaves}
    for group in groups:
        own = set(group.members)
        below = toposort(own, stop=lambda n: n in group.inputs and n not in own)  # noqa: B023
        for node in below:
            if is_leaf(node) and node in leaves:
                found[node].add(group)
    return found


def last_after_readers(groups: Sequence[Group], renewed: Mapping[Node, Node]) -> list[Group]:
    """The same groups in an order that also lets whoever reads an input run before the group that
    renews it, where dependencies allow."""
    read_by = readers(groups, set(renewed.values()))
    group_of = {member: group for group in groups for member in group.members}
    awaited: dict[Group, set[Group]] = {}
    for root, leaf in renewed.items():
        writer = group_of.get(root)
        if writer is not None:
            awaited.setdefault(writer, set()).update(read_by[leaf] - {writer})
    result: list[Group] = []
    placed: set[Group] = set()
    waiting = list(groups)
    while waiting:
        ready = [g for g in waiting if {group_of[s] for s in g.inputs} - {g} <= placed]
        chosen = next((g for g in ready if awaited.get(g, placed) <= placed), ready[0])
        result.append(chosen)
        placed.add(chosen)
        waiting.remove(chosen)
    return result


def may_overwrite(steps: Sequence[Step], source: Memory, target: Memory) -> bool:
    """May `target` lie where `source` lies?"""
    if (source.dtype, source.shape, source.strides) != (target.dtype, target.shape, target.strides):
        return False
    writer = next((n for n, step in enumerate(steps) if _mentions(step, target)), None)
    if writer is None or any(_mentions(step, source) for step in steps[writer + 1 :]):
        return False
    return not _mentions(steps[writer], source) or _is_elementwise(steps[writer], source, target)


def _mentions(step: Step, memory: Memory) -> bool:
    return any(isinstance(word, Ref) and word.memory is memory for word in step.words)


def _is_elementwise(step: Step, source: Memory, target: Memory) -> bool:
    """Does the step read of `source` only the element that it is about to write?"""
    kernel = step.kernel
    if isinstance(kernel, loops.LoopKernel):
        stores = [s for stage in kernel.stages if isinstance(stage, loops.Map)
                  for s in stage.stores]  # fmt: skip
    elif isinstance(kernel, loops.ContractKernel):
        if any(_memory(step, operand) is source for operand in (kernel.a, kernel.b)):
            return False
        stores = list(kernel.stores)
    else:
        return False
    written = [_place(step, s) for s in stores if _memory(step, s.buffer) is target]
    read = [_place(step, i) for i in kernel.tape
            if isinstance(i, loops.Load) and _memory(step, i.buffer) is source]  # fmt: skip
    return len(written) == 1 and all(place == written[0] for place in read)


def _memory(step: Step, buffer: loops.Buffer) -> Memory | None:
    word = None if buffer.word is None else step.words[buffer.word]
    return word.memory if isinstance(word, Ref) else None


def _place(step: Step, access: loops.Load | loops.Store) -> Any:
    """What decides the address, sizes filled in; None for one that depends on data."""
    index, words = access.index, step.words
    if index.gathers or access.buffer.word is None:
        return object()
    start = words[access.buffer.word]
    assert isinstance(start, Ref)
    item = access.buffer.dtype.itemsize
    offset = 0 if index.offset is None else words[index.offset]
    assert isinstance(offset, int)
    terms = sorted((axis, 1 if w == loops.UNIT else words[w]) for axis, w in index.terms)
    return start.offset + offset * item, tuple(terms)
