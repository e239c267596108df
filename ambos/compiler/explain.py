"""What the compiler would make of a graph, and why it stopped fusing where it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ambos.compiler.compiled import NOTHING_RENEWED, Renewal
from ambos.compiler.group import Group
from ambos.compiler.launches import Context, Step
from ambos.compiler.layout import Memory
from ambos.compiler.pipeline import plan_graph
from ambos.compiler.reasons import Reasons
from ambos.core.features import Features
from ambos.core.program import Launch, Program
from ambos.graph.node import Node, toposort
from ambos.graph.rewrite import Trail


@dataclass(frozen=True, slots=True)
class Buffer:
    """A node that a group writes to memory, and why it is not fused away."""

    node: Node
    nbytes: int
    is_result: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """A group: what it computes (in order), writes and launches; `apart` are the earlier groups
    (by number) that some of its nodes read from and could not join, and why."""

    computed: tuple[Node, ...]
    buffers: tuple[Buffer, ...]
    launches: tuple[Launch, ...]
    apart: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A Program and the groups that it came from, in the order in which they run."""

    program: Program
    groups: tuple[Explained, ...]


def explain_graph(
    roots: Sequence[Node], features: Features, threads: int, trail: Trail,
    renewal: Renewal = NOTHING_RENEWED, budget: int | None = None,
) -> Schedule:  # fmt: skip
    """Plan `roots` as `compile_graph` does, and keep what is usually thrown away."""
    reasons = Reasons()
    lowered, compiled = plan_graph(roots, features, threads, trail, renewal, budget, reasons)
    (roots, steps, context), program = lowered, compiled.program
    groups = list({id(step.group): step.group for step in steps if step.group}.values())
    stored = {member for group in groups for member in group.members}
    position = {node: i for i, node in enumerate(toposort(roots))}
    number = {id(group): i for i, group in enumerate(groups)}
    found = []
    for group in groups:
        computed = sorted(group.nodes(stored), key=position.__getitem__)
        launches = [
            launch for launch, step in zip(program.launches, steps, strict=True)
            if step.group is group
        ]  # fmt: skip
        found.append(
            Explained(
                tuple(computed),
                tuple(written(group, steps, context, reasons)),
                tuple(launches),
                boundaries(group, number, reasons),
            )
        )
    return Schedule(program, tuple(found))


def written(
    group: Group, steps: Sequence[Step], context: Context, reasons: Reasons
) -> list[Buffer]:
    """The members of `group` that go to memory."""
    found = []
    for node in group.members:
        memory: Memory | None = context.memories.get(node)
        if memory is not None and node in context.needed:
            why = tuple(reasons.stored.get(node, ())) or ("read by another kernel",)
            found.append(Buffer(node, memory.nbytes, memory.output is not None, why))
    return found


def boundaries(
    group: Group, number: dict[int, int], reasons: Reasons
) -> tuple[tuple[int, str], ...]:
    """Which groups this one reads from without being part of them."""
    found: dict[tuple[int, str], None] = {}
    for node in group.members:
        for other, why in reasons.apart.get(node, ()):
            if other is not group and id(other) in number:
                found[number[id(other)], why] = None
    return tuple(sorted(found))
