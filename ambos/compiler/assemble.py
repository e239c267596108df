"""Lowered kernels -> Program: name the kernels, place the buffers, resolve the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ambos.compiler.compiled import Compiled, Result
from ambos.compiler.donate import overwritable
from ambos.compiler.footprint import Owner, held_at_peak, owners
from ambos.compiler.kernels import kernel_of
from ambos.compiler.launches import Context, Step
from ambos.compiler.layout import Memory
from ambos.compiler.plan import plan_memory, resolve
from ambos.compiler.work import work_of
from ambos.core.dtype import DType
from ambos.core.program import Kernel, Launch, Program
from ambos.core.shape import Shape
from ambos.graph import Node, toposort
from ambos.graph.rewrite import Trail


@dataclass(slots=True)
class Unplaced:
    """All that is left of a graph once its kernels are written: memory has no place yet."""

    steps: list[Step]
    kernels: list[Kernel]  # of the steps
    sources: list[tuple[int, ...]]  # the nodes that each step computes, by number
    results: list[tuple[Memory, Shape, DType]]
    num_inputs: int
    renewed: list[tuple[Memory, Memory]]  # what may be written over what
    owners: list[tuple[Memory, Owner]]


def take_apart(
    roots: Sequence[Node], steps: Sequence[Step], context: Context, trail: Trail
) -> Unplaced:
    """A lowered graph without the graph."""
    found = (memory.input for memory in context.memories.values())
    num_inputs = 1 + max((number for number in found if number is not None), default=-1)
    known = numbered(roots, trail)
    places = places_of(steps, known)
    return Unplaced(
        list(steps),
        [kernel_of(step.kernel, step.label) for step in steps],
        [places[id(step.group)] for step in steps],
        [(context.memories[root], root.shape, root.dtype) for root in roots],
        num_inputs,
        [(context.memories[leaf], context.memories[root])
         for root, leaf in context.renewed.items()],
        owners(context, known),
    )  # fmt: skip


def assemble(found: Unplaced) -> Compiled:
    """The Program."""
    steps, outputs, results = found.steps, list[Memory](), []
    for memory, shape, dtype in found.results:
        if memory.output is None and memory.input is None:
            memory.output = len(outputs)
            outputs.append(memory)
        results.append(Result(memory.output, memory.input, shape, memory.strides, dtype))
    donated = tuple((target.output, source.input)
                    for source, target in overwritable(steps, found.renewed)
                    if target.output is not None and source.input is not None)  # fmt: skip
    placement = plan_memory(steps)
    launches = tuple(
        Launch(
            kernel, resolve(step, placement, found.num_inputs), step.items, step.scratch,
            step.serial, work_of(step, sources),
        )
        for step, kernel, sources in zip(steps, found.kernels, found.sources, strict=True)
    )  # fmt: skip
    program = Program(
        launches, found.num_inputs, tuple(m.nbytes for m in outputs), placement.arena_bytes,
        placement.tables, donated,
    )  # fmt: skip
    return Compiled(program, tuple(results), held_at_peak(steps, placement, found.owners))


def numbered(roots: Sequence[Node], trail: Trail) -> dict[Node, int]:
    """The numbers in `trail`; what rules have put in belongs to what it is for."""
    known = dict(trail)
    for node in reversed(toposort(roots)):
        if node in known:
            for source in node.inputs:
                known.setdefault(source, known[node])
    return known


def places_of(steps: Sequence[Step], known: Mapping[Node, int]) -> dict[int, tuple[int, ...]]:
    """For each step's group (by id) the numbers of all that it computes."""
    groups = {id(step.group): step.group for step in steps if step.group is not None}
    stored = {member for group in groups.values() for member in group.members}
    return {
        key: tuple(sorted({known[node] for node in group.nodes(stored) if node in known}))
        for key, group in groups.items()
    }
