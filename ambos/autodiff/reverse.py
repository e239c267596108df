"""Reverse mode, graph to graph: gradients are nodes, so they differentiate again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ambos.autodiff.shares import total_of
from ambos.autodiff.together import control_of, given_parts, parts_together
from ambos.core.errors import GradientError
from ambos.graph import lines
from ambos.graph.node import Node, toposort
from ambos.ops.complex.bridge import conj
from ambos.ops.kinds import Grads, Op, constant_like


def gradients(
    outputs: Sequence[Node],
    seeds: Sequence[Node],
    wanted: Sequence[Node],
    turn: Callable[[Node, Node], Node] = lambda node, total: total,
) -> list[Node | None]:
    """For each of `wanted` the sum over outputs of seed * d output / d wanted, or None where no
    tracked path leads there.

    Only nodes on a path from a wanted node to an output are visited; untracked nodes block. `turn`
    makes of the gradient of a node the one to go on with.
    """
    for output, seed in zip(outputs, seeds, strict=True):
        if output.shape != seed.shape or output.dtype is not seed.dtype:
            raise GradientError(
                f"backward: the gradient given is {seed.dtype.name}{list(seed.shape)}; need "
                f"{output.dtype.name}{list(output.shape)}, like the output"
            )
    order = toposort(outputs, stop=lambda node: not node.tracked)
    leads = set(wanted)
    for node in order:
        if node.tracked and node not in leads and any(i in leads for i in node.inputs):
            leads.add(node)
    shares: dict[Node, list[Node]] = {}
    for output, seed in zip(outputs, seeds, strict=True):
        shares.setdefault(output, []).append(seed)
    total: dict[Node, Node] = {}
    whole = parts_together(node for node in order if node.tracked)
    try:
        for node in reversed(order):
            if node in shares:
                total[node] = turn(node, total_of(shares.pop(node)))
            elif node not in whole:
                continue
            if node not in leads or not node.inputs:
                continue
            if not op_of(node).differentiable:
                continue
            lines.differentiate(node)
            needed = [source in leads and source.tracked for source in node.inputs]
            if op_of(node).kind != "control":
                found = shares_of(node, total[node])
            elif node in whole:
                found = shares_of_parts(whole[node], total, needed)
            else:  # all parts at once, when the last of them is met
                continue
            for source, share, is_needed in zip(node.inputs, found, needed, strict=True):
                if is_needed and share is not None:
                    shares.setdefault(source, []).append(share)
    finally:
        lines.differentiate(None)
    return [total.get(node) for node in wanted]


def op_of(node: Node) -> Op:
    assert isinstance(node.op, Op)
    return node.op


def shares_of(node: Node, g: Node) -> Grads:
    """The gradients of a node's inputs. Rules multiply by the derivative, as real numbers want it;
    the gradient by a complex input is multiplied by its conjugate (PyTorch's convention)."""
    op = op_of(node)
    if not (op.analytic and g.dtype.is_complex):
        return op.vjp(node, g)
    return tuple(None if share is None else conj(share) for share in op.vjp(node, conj(g)))


def shares_of_parts(
    parts: Sequence[Node], total: dict[Node, Node], needed: Sequence[bool]
) -> Grads:
    """The gradients of the inputs of a loop or branch, of which `parts` are results."""
    given = given_parts(parts, total)
    if not any(g is not None for g in given):
        return (None,) * len(needed)
    first = parts[0]
    return control_of(first).pull_back(first.inputs, first.attrs[1], given, needed, gradients)


def ones_like(node: Node) -> Node:
    """The seed of a backward pass."""
    return constant_like(node, 1)
