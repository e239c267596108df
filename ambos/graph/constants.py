"""Which nodes are numbers rather than data."""

from __future__ import annotations

from typing import Any

VARIABLES = ("data", "input", "argument")


def is_constant(node: Any) -> bool:
    """Is this a number, or one spread over a shape?

    Such nodes are shared by all lines and graphs that write the number. So none of them owns a
    line, and none keeps a value: a graph in which a number has become data is another graph.
    """
    while node.op.kind == "move" and len(node.inputs) == 1 and not node.tracked:
        node = node.inputs[0]
    return node.op.kind == "source" and node.op.name not in VARIABLES and not node.inputs
