"""A body of a loop or branch as a Program of its own, in which every result has a row-major block
of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ambos.compiler.woven import Woven
from ambos.core.dtype import int32
from ambos.core.program import Complaint, Control, Program
from ambos.core.shape import row_major
from ambos.graph.body import Body
from ambos.graph.node import Node, toposort
from ambos.graph.rewrite import Trail, substitute
from ambos.ops.arithmetic import where
from ambos.ops.bounds import complaint_of, out_of_range
from ambos.ops.kinds import constant
from ambos.ops.movement import detach
from ambos.ops.sources import input_


@dataclass(frozen=True, slots=True)
class ControlKernel:
    """What a loop or branch launches, and for those who look inside the steps of each part
    (`compiler.launches.Step`), whose words stand in the same order as those of the part's launches.
    `woven` is what the launch is as one kernel, where it is one.
    """

    control: Control
    woven: Woven | None
    steps: tuple[tuple[object, ...], ...] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Inside:
    """A compiled body. `outputs` are the Program's output numbers of the results that were asked
    for; `check` is the one of an int32 that is not 0 where one of `complaints` is due."""

    program: Program
    steps: tuple[object, ...]
    outputs: tuple[int, ...]
    check: int | None
    complaints: tuple[Complaint, ...]


def graph_of(
    body: Body, wanted: Sequence[int], trail: Trail
) -> tuple[list[Node], tuple[Complaint, ...]]:
    """Results `wanted` of a body whose arguments are numbered inputs, and one more if indices are
    to be checked: the number of the first complaint, from 1, or 0."""
    roots = [body.results[number] for number in wanted]
    checks = out_of_range(toposort(roots))
    complaints = tuple(
        Complaint(complaint_of(node), (trail[node],) if node in trail else ())
        for node in checks.values()
    )
    if checks:
        due = constant(0, int32)
        for number, check in reversed(list(enumerate(checks, 1))):
            due = where(check, constant(number, int32), due)
        roots.append(due)
    leaves = {
        node: input_.leaf(number, row_major(node.shape), node.shape, node.dtype)
        for number, node in enumerate(body.arguments)
    }
    return substitute(roots, leaves, trail), complaints


def apart(roots: Sequence[Node]) -> list[Node]:
    """The same values as nodes of which none is an input or occurs twice."""
    found: list[Node] = []
    for root in roots:
        while root in found or root.op.name == "input":
            root = detach(root)
        found.append(root)
    return found
