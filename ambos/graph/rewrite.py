"""Rewriting by tables: an op's name leads to rules, each `rule(node) -> Node | None`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ambos.core.errors import CompilerError
from ambos.graph.node import Node, make, toposort

Rule = Callable[[Node], Node | None]
Table = Mapping[str, Sequence[Rule]]
MAX_STEPS = 64  # a node that still changes after so many rules means that two rules disagree


def rebuild(node: Node, inputs: tuple[Node, ...]) -> Node:
    """`node` on other inputs of the same shapes and dtypes."""
    if inputs == node.inputs:
        return node
    return make(node.op, inputs, node.attrs)


def substitute(roots: Sequence[Node], replacement: Mapping[Node, Node]) -> list[Node]:
    """`roots` with every occurrence of the keys replaced."""
    new = dict(replacement)
    for node in toposort(roots, stop=new.__contains__):
        if node not in new:
            new[node] = rebuild(node, tuple(new[i] for i in node.inputs))
    return [new[root] for root in roots]


def rewrite(roots: Sequence[Node], table: Table) -> list[Node]:
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
            for inner in toposort([node], stop=new.__contains__):
                if inner not in new:
                    new[inner] = settle(rebuild(inner, tuple(new[i] for i in inner.inputs)))
        return new[node]

    return [known(root) for root in roots]
