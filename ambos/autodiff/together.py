"""Results of one loop or branch, which a pass treats together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ambos.graph.node import Node
from ambos.ops.control import Control, same_parts


def control_of(node: Node) -> Control:
    """The op of a loop or branch."""
    assert isinstance(node.op, Control)
    return node.op


def parts_together(order: Iterable[Node]) -> dict[Node, list[Node]]:
    """For the first part of each loop or branch in `order` all of its parts there. All that any
    part reads comes before the first, all that reads a part comes behind it."""
    groups: dict[object, list[Node]] = {}
    for node in order:
        if isinstance(node.op, Control):
            groups.setdefault(same_parts(node), []).append(node)
    return {parts[0]: parts for parts in groups.values()}


def given_parts(parts: Sequence[Node], known: Mapping[Node, Node]) -> list[Node | None]:
    """What is `known` of each result, by its number; None for the others."""
    first = parts[0]
    count = len(control_of(first).results(first.inputs, first.attrs[1]))
    found: list[Node | None] = [None] * count
    for node in parts:
        found[node.attrs[0]] = known.get(node)
    return found
