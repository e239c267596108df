"""Rewriting by tables: an op's name leads to rules, each `rule(node) -> Node | None`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence

from ambos.core.errors import CompilerError
from ambos.graph.lines import line_of
from ambos.graph.node import Node, make, toposort

Rule = Callable[[Node], Node | None]
Table = Mapping[str, Sequence[Rule]]
Trail = MutableMapping[Node, int]  # what a node stands for: a place in the graph it came from
MAX_STEPS = 64  # a node that still changes after so many rules means that two rules disagree


def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
    """`node` on other inputs of the same shapes and dtypes. Where gradients stopped, they stop; it
    was recorded where `node` was."""
    if inputs == node.inputs:
        return node
    new = make(node.op, inputs, node.attrs, False if stops_gradients(node) else None)
    line = line_of(node)
    if line is not None:
        new.line = line
    return new


def stops_gradients(node: Node) -> bool:
    """Was `node` recorded so that gradients do not flow on to its inputs?"""
    return not node.tracked and any(source.tracked for source in node.inputs)


def carry(trail: Trail | None, new: Mapping[Node, Node]) -> None:
    """What stands in for a node stands for the same place (the first, where there are several)."""
    if trail is not None:
        for old, node in new.items():
            place = trail.get(old)
            if place is not None:
                trail.setdefault(node, place)


def substitute(
    roots: Sequence[Node], replacement: Mapping[Node, Node], trail: Trail | None = None
) -> list[Node]:
    """`roots` with every occurrence of the keys replaced."""
    new = dict(replacement)
    for node in toposort(roots, stop=new.__contains__):
        if node not in new:
            new[node] = rebuild(node, tuple(new[i] for i in node.inputs))
    carry(trail, new)
    return [new[root] for root in roots]


def rewrite(roots: Sequence[Node], table: Table, trail: Trail | None = None) -> list[Node]:
    """Apply `table` bottom-up until nothing changes."""
    new: dict[Node, Node] = {}

    def settle(node: Node) -> Node:
        for _ in range(MAX_STEPS):
            for rule in table.get(node.op.name, ()):
                changed = rule(node)
                if changed is not None and changed is not node:
                    break
            else:
                return node
            # What a rule builds may hold fresh nodes below its top: settle those as well.
            node = rebuild(changed, tuple(known(i) for i in changed.inputs))
        raise CompilerError(f"rewrite: the rules for {node.op.name} never settle")

    def known(node: Node) -> Node:
        if node not in new:
            # Mostly everything below is settled: then there is nothing to sort.
            is_next = all(source in new for source in node.inputs)
            for inner in [node] if is_next else toposort([node], stop=new.__contains__):
                if inner not in new:
                    new[inner] = settle(rebuild(inner, tuple([new[i] for i in inner.inputs])))
        return new[node]

    found = [known(root) for root in roots]
    carry(trail, new)
    return found
