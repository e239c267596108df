"""What lies in memory when a program needs most of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from ambos.compiler.compiled import Held
from ambos.compiler.launches import Context, Step
from ambos.compiler.layout import Memory, Ref
from ambos.compiler.plan import Placement
from ambos.core.shape import Shape
from ambos.graph.node import Node


class Owner(NamedTuple):
    """The node that a block of memory holds: its shape, its number (-1: none), its op."""

    shape: Shape
    number: int
    op: str


def held_at_peak(
    steps: Sequence[Step], placement: Placement, owners: Iterable[tuple[Memory, Owner]]
) -> tuple[Held, ...]:
    """The temporary buffers of the step at which they are largest together, and every result, by
    decreasing size."""
    memories: dict[int, Memory] = {}
    for step in steps:
        for word in step.words:
            if isinstance(word, Ref):
                memories[id(word.memory)] = word.memory
    peak = busiest(
        ((*placement.spans[key], memories[key].nbytes) for key in placement.offsets), len(steps)
    )
    known = {id(memory): owner for memory, owner in owners}
    found = []
    for key, memory in memories.items():
        first, last = placement.spans.get(key, (0, -1))
        if memory.output is not None or first <= peak <= last:
            shape, number, op = known.get(key, (memory.shape, -1, ""))
            found.append(Held(memory.nbytes, memory.dtype, shape, number, memory.output, op))
    return tuple(sorted(found, key=lambda held: -held.nbytes))


def busiest(blocks: Iterable[tuple[int, int, int]], count: int) -> int:
    """The first of `count` places at which `blocks`, each (first place, last place, bytes), are
    largest together."""
    change = [0] * (count + 1)
    for first, last, nbytes in blocks:
        change[first] += nbytes
        change[last + 1] -= nbytes
    totals = list(accumulate(change))
    return totals.index(max(totals))


def owners(context: Context, numbers: Mapping[Node, int]) -> list[tuple[Memory, Owner]]:
    """What each block of memory holds (of several parts, the whole)."""
    found: dict[int, tuple[Memory, Owner]] = {}
    for node, memory in context.memories.items():
        if memory.whole is None:
            owner = Owner(node.shape, numbers.get(node, -1), node.op.name)
            found.setdefault(id(memory), (memory, owner))
    return list(found.values())
