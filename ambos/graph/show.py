"""Graphs as text: one line a node, operands by number."""

from __future__ import annotations

from collections.abc import Sequence

from ambos.graph.node import Node, toposort


def show(roots: Sequence[Node]) -> str:
    """A listing of the graph below `roots`, which are marked with `*`.

    Example of a line: `%3* = add(%1, %2)  float32[2, 3]`.
    """
    order = toposort(roots)
    number = {node: i for i, node in enumerate(order)}
    marked = set(roots)
    lines = []
    for node in order:
        operands = ", ".join(f"%{number[i]}" for i in node.inputs)
        attrs = "".join(f" {a!r}" for a in node.attrs)
        star = "*" if node in marked else ""
        kind = f"{node.dtype.name}{list(node.shape)}"
        lines.append(f"%{number[node]}{star} = {node.op.name}({operands}){attrs}  {kind}")
    return "\n".join(lines)
