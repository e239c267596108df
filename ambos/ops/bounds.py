"""Indices that are out of range: what finds them, and what to say of them."""

from __future__ import annotations

from collections.abc import Iterable

from ambos.core.dtype import uint64
from ambos.graph.node import Node
from ambos.ops.arithmetic import cast, greater_equal
from ambos.ops.indexing import Index
from ambos.ops.kinds import constant_like
from ambos.ops.reductions import max_


def out_of_range(nodes: Iterable[Node]) -> dict[Node, Node]:
    """For every indexing node a bool scalar that says whether an index lies outside."""
    checks: dict[Node, Node] = {}
    for node in nodes:
        if not isinstance(node.op, Index) or node.value is not None:
            continue
        index, extent = node.op.bounds(node)
        if index.size:
            positive = cast(index, attrs=(uint64,))  # a negative index is a huge one: one maximum
            most = max_(positive, attrs=(tuple(range(index.rank)),))
            checks[greater_equal(most, constant_like(most, extent))] = node
    return checks


def message_for(node: Node, which: str = "an index") -> str:
    """What to say of an index that is out of range."""
    assert isinstance(node.op, Index)
    _, extent = node.op.bounds(node)
    return (
        f"{node.op.name}: {which} is out of range for axis {node.attrs[0]} of size {extent}; "
        f"need 0 <= index < {extent}"
    )
