"""Indices that are out of range: what finds them, and what to say of them."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from ambos.core.dtype import int64, uint64
from ambos.graph.lines import line_of
from ambos.graph.node import Node
from ambos.ops.arithmetic import add, cast, greater, greater_equal, less, where
from ambos.ops.indexing import Index
from ambos.ops.kinds import constant, constant_like
from ambos.ops.reductions import max_

Limits = tuple[int, int]
LEAST, MOST = -(1 << 63), (1 << 63) - 1
ANY = LEAST, MOST


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


def limits(node: Node, depth: int = 8) -> Limits | None:
    """The least and the largest value that integers (int64) can have, where that follows from how
    they are computed: what is clamped needs no check, nor does a position of a maximum."""
    name, inputs = node.op.name, node.inputs
    if name == "constant" and isinstance(node.attrs[0], int):
        return node.attrs[0], node.attrs[0]
    if name == "iota":
        return 0, max(node.attrs[0] - 1, 0)
    if name in ("argmax", "argmin"):
        return 0, max(prod(inputs[0].shape[axis] for axis in node.attrs[0]) - 1, 0)
    if not depth:
        return None
    if name in ("reshape", "expand", "permute", "slice"):
        return limits(inputs[0], depth - 1)
    if name == "where":
        return _of_choice(inputs[0], inputs[1], inputs[2], depth - 1)
    if name not in ("add", "multiply", "maximum", "minimum"):
        return None
    one, other = (limits(source, depth - 1) for source in inputs)
    if name in ("add", "multiply"):
        if one is None or other is None:
            return None
        ends = [x + y if name == "add" else x * y for x in one for y in other]
        low, high = min(ends), max(ends)
        return (low, high) if LEAST <= low <= high <= MOST else None  # it may go round
    (low, high), (low_too, high_too) = one or ANY, other or ANY
    pick = min if name == "minimum" else max
    return pick(low, low_too), pick(high, high_too)


def _of_choice(condition: Node, one: Node, other: Node, depth: int) -> Limits:
    """Of `where(condition, one, other)`. Where `other` is what the condition compares, as clamping
    and counting from the end have it, it is taken on one side of the bound only."""
    low, high = limits(other, depth) or ANY
    if condition.op in (less, greater) and condition.inputs[0] is other:
        bound = limits(condition.inputs[1], depth) or ANY
        is_less = condition.op is less
        if low >= bound[1] if is_less else high <= bound[0]:
            return low, high  # the condition never holds
        low, high = (max(low, bound[0]), high) if is_less else (low, min(high, bound[1]))
    low_too, high_too = limits(one, depth) or ANY
    return min(low, low_too), max(high, high_too)


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
