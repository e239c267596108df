"""Indices that are out of range: what finds them, and what to say of them."""

from __future__ import annotations

from collections.abc import Iterable

from ambos.core.dtype import int64, uint64
from ambos.graph.lines import line_of
from ambos.graph.node import Node
from ambos.ops.arithmetic import add, cast, greater_equal, less, where
from ambos.ops.indexing import Index
from ambos.ops.kinds import constant, constant_like
from ambos.ops.reductions import max_

LEAST, MOST = -(1 << 63), (1 << 63) - 1


def out_of_range(nodes: Iterable[Node]) -> dict[Node, Node]:
    """For every indexing node a bool scalar that says whether an index lies outside."""
    checks: dict[Node, Node] = {}
    for node in nodes:
        if not isinstance(node.op, Index) or node.value is not None:
            continue
        index, extent = node.op.bounds(node)
        known = limits(index)
        if index.size and not (known and 0 <= known[0] <= known[1] < extent):
            positive = cast(index, attrs=(uint64,))  # a negative index is a huge one: one maximum
            most = max_(positive, attrs=(tuple(range(index.rank)),))
            checks[greater_equal(most, constant_like(most, extent))] = node
    return checks


def limits(node: Node, depth: int = 8) -> tuple[int, int] | None:
    """The least and the largest value that integers (int64) can have, where that follows from how
    they are computed: what is clamped needs no check."""
    name, inputs = node.op.name, node.inputs
    if name == "constant" and isinstance(node.attrs[0], int):
        return node.attrs[0], node.attrs[0]
    if name == "iota":
        return 0, max(node.attrs[0] - 1, 0)
    if not depth:
        return None
    if name in ("reshape", "expand", "permute", "slice"):
        return limits(inputs[0], depth - 1)
    if name not in ("add", "maximum", "minimum"):
        return None
    one, other = (limits(source, depth - 1) for source in inputs)
    if name == "add":
        if one is None or other is None:
            return None
        low, high = one[0] + other[0], one[1] + other[1]
        return (low, high) if LEAST <= low <= high <= MOST else None  # it may go round
    (low, high), (low_too, high_too) = one or (LEAST, MOST), other or (LEAST, MOST)
    pick = min if name == "minimum" else max
    return pick(low, low_too), pick(high, high_too)


def wrapped(index: Node, extent: int) -> Node:
    """`index` with negative positions counted from the end."""
    zero, size = constant(0, int64, index.shape), constant(extent, int64, index.shape)
    return where(less(index, zero), add(index, size), index)


def as_given(index: Node) -> tuple[Node, bool]:
    """The positions as somebody gave them, and whether negative ones count from the end."""
    if index.op is where and index.inputs[1].op is add and index.inputs[0].op is less:
        given = index.inputs[2]
        if index.inputs[1].inputs[0] is given is index.inputs[0].inputs[0]:
            return given, True
    return index, False


def message_for(node: Node, which: str = "an index") -> str:
    """What to say of an index that is out of range: first the function that somebody called."""
    line = line_of(node)
    return complaint_of(node, which, line.call if line else "")


def complaint_of(node: Node, which: str = "an index", name: str = "") -> str:
    """The same of a program, which serves whoever computes the same: by the op."""
    assert isinstance(node.op, Index)
    index, extent = node.op.bounds(node)
    least = -extent if as_given(index)[1] else 0
    return (
        f"{name or node.op.name}: {which} is out of range for axis {node.attrs[0]} of size "
        f"{extent}; need {least} <= index < {extent}"
    )
