"""Nodes that stand for one tensor. Equal expressions are one node, and so are a tensor and a view
of it that changes nothing; what is said of one tensor alone must not be said of the others."""

from __future__ import annotations

from typing import Any

from ambos.graph.node import Node, apart, part, twin
from ambos.ops.control import Control
from ambos.ops.movement import reshape
from ambos.tensor.array import Array
from ambos.tensor.counting import has_node_alone
from ambos.tensor.live import handles, leaf_handle, register_leaf
from ambos.tensor.resting import peek
from ambos.tensor.tracing import current


def alias(node: Node, tracked: bool = True) -> Node:
    """A node of its own identity with the value of `node`, through which gradients flow on (if it
    is `tracked`).

    Differentiating by the alias leaves out what reaches `node` by other ways (a closure, another
    argument that is the same tensor), and an outer transform sees through it.
    """
    return apart(reshape, (node.shape,), node, tracked)


def set_apart(handle: Any) -> None:
    """Let `handle`, where gradients pass, hold a node that stands for it and for nothing that was
    not computed from it."""
    if has_node_alone(handle):  # it was made just now: nobody has to be asked
        part(handle._node)
        return
    node = handle._node
    new = _own(handle, node)
    if new is node:
        return
    if current.trace is None:
        new.value = node.value
    handle._move(new)
    if leaf_handle(node) is handle:
        register_leaf(handle)


def _own(handle: Any, node: Node) -> Node:
    """What `handle` holds in place of `node`, which it is where that stands for it alone."""
    leaf, was_met = leaf_handle(node), part(node)
    holders = [other for other in _live() if peek(other) is node]
    is_others = leaf is not None and leaf is not handle
    if not is_others and all(other is handle for other in holders):
        return node
    # Was it written more than once? The parts of a loop stay those of one.
    if was_met and not isinstance(node.op, Control):
        return twin(node)
    # Else one is a view that changes nothing, which is younger, and hands on its gradient.
    return node if not is_others and holders[0] is handle else alias(node)


def _live() -> list[Any]:
    """Every live handle that has a node, older ones before younger ones."""
    trace = current.trace
    inside = [] if trace is None else [reference() for reference in trace.pending]
    every = [*handles(), *(handle for handle in inside if handle is not None)]
    return [handle for handle in every if not isinstance(handle._kept, Array)]
