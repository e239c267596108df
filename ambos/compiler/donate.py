"""Results that may be written over the input which they renew: parameters, moments, statistics.

A kernel may write element i of a result where element i of an input lies if nothing reads that
element later: every reader runs earlier, or is the writing kernel itself, reads element i only
where it writes element i, and has read it for the last time when it does. A kernel that goes over
a row several times stores in one pass what another may need: `lower_loop` puts such stores last,
and what a kernel really does is looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ambos.compiler import loops
from ambos.compiler.group import Group, is_leaf
from ambos.compiler.inside import ControlKernel
from ambos.compiler.launches import Step
from ambos.compiler.layout import Memory, Ref
from ambos.compiler.stages import passes
from ambos.core.program import Host
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


def overwritable(
    steps: Sequence[Step], pairs: Sequence[tuple[Memory, Memory]]
) -> list[tuple[Memory, Memory]]:
    """Those of `pairs` (source, target) where `target` may lie where `source` lies.

    What Python computes may fail, and loops may: nothing is overwritten before the last of that is
    done."""
    uses: dict[int, list[int]] = {}  # id of a memory -> the steps that mention it, in order
    for number, step in enumerate(steps):
        for identity in {id(word.memory) for word in step.words if isinstance(word, Ref)}:
            uses.setdefault(identity, []).append(number)
    risky = max((n for n, step in enumerate(steps) if _may_fail(step)), default=-1)
    found = []
    for source, target in pairs:
        alike = (source.dtype, source.shape, source.strides)
        if alike != (target.dtype, target.shape, target.strides) or id(target) not in uses:
            continue
        writer, read = uses[id(target)][0], uses.get(id(source), [-1])[-1]
        if writer < risky:
            continue
        if read < writer or (read == writer and _is_elementwise(steps[writer], source, target)):
            found.append((source, target))
    return found


def _may_fail(step: Step) -> bool:
    kernel = step.kernel
    return isinstance(kernel, Host) or (
        isinstance(kernel, ControlKernel) and kernel.control.may_fail
    )


def _is_elementwise(step: Step, source: Memory, target: Memory) -> bool:
    """Does the step read of `source` only the element that it is about to write?"""
    kernel = step.kernel
    if isinstance(kernel, loops.LoopKernel):
        stores = [s for stage in kernel.stages if isinstance(stage, loops.Map)
                  for s in stage.stores]  # fmt: skip
        if _is_read_later(step, kernel, source, target):
            return False
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


def _is_read_later(step: Step, kernel: loops.LoopKernel, source: Memory, target: Memory) -> bool:
    """Does a pass read `source` after `target` was stored?"""

    def read(roots: Iterable[int]) -> set[int]:
        found = loops.loads(kernel.tape, roots).items()
        return {number for number, load in found if _memory(step, load.buffer) is source}

    stored = False
    for part in passes(kernel):
        needed = read(fold.value for fold in part.folds)
        own: set[int] = set() if part.map is None else read(loops.roots(part.map))
        if stored and needed | own:
            return True
        if part.map is not None and any(
            _memory(step, store.buffer) is target for store in part.map.stores
        ):
            if needed - own:  # folds read after the map stored, except what it had read as well
                return True
            stored = True
    return False


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
