"""Recording a scan from what happens at one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ambos.graph.body import Body
from ambos.graph.node import Node, toposort
from ambos.graph.rewrite import substitute
from ambos.ops.bodies import argument_like, depending, enclose
from ambos.ops.control_specs import ScanSpec, Tangents
from ambos.ops.kinds import op


class Carried(NamedTuple):
    """An argument of the step, what it is at the first, and what the step leaves in it."""

    argument: Node
    start: Node
    end: Node


def scanned(
    carry: Sequence[Carried], xs: Mapping[Node, Node], ys: Sequence[Node], length: int,
    reverse: bool = False, outside: Mapping[Node, Node] | None = None,
) -> tuple[tuple[Node, ...], tuple[Node, ...]]:  # fmt: skip
    """(last carry, ys of all steps) of a loop whose step is the graph between the arguments (of
    `carry`, and of `xs` with their values at all steps) and the results.

    What does not depend on the arguments is computed outside, once. `outside` holds the values of
    arguments of another loop's step.
    """
    ends = [*(carried.end for carried in carry), *ys]
    read = set(toposort(ends))
    xs = {argument: whole for argument, whole in xs.items() if argument in read}
    arguments = [*(carried.argument for carried in carry), *xs]
    operands, body = enclose(arguments, ends, depending(arguments, ends).__contains__)
    values = substitute(operands, outside or {})
    starts = [carried.start for carried in carry]
    spec = ScanSpec(body, len(operands), len(carry), length, reverse)
    parts = op("scan").parts(*values, *starts, *xs.values(), spec=spec)
    return parts[: len(carry)], parts[len(carry) :]


def step_tangents(
    body: Body, carry: Sequence[Node], given: Sequence[Node | None], tangents: Tangents
) -> tuple[dict[Node, Node], list[Node | None]]:
    """(tangents of the step's arguments, as arguments of their own; tangents of its results).

    Moving are the arguments that a tangent is `given` for, and those of the `carry` that a step
    sets in motion."""
    moving = {
        node: argument_like(node)
        for node, tangent in zip(body.arguments, given, strict=True)
        if tangent is not None
    }
    while True:
        found = tangents(body.results, list(moving), list(moving.values()))
        late = [node for node, tangent in zip(carry, found, strict=False)
                if tangent is not None and node not in moving]  # fmt: skip
        if not late:
            return moving, found
        moving |= {node: argument_like(node) for node in late}
