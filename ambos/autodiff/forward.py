"""Forward mode, graph to graph: tangents are nodes, so they differentiate again.

A tangent moves as its value does: of a function of complex numbers that has a derivative f' it is
f' times the tangent (JAX's convention), whereas the gradient is multiplied by conj(f'). With the
inner product Re(sum(conj(u) * v)) both are transposes of each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ambos.autodiff.reverse import op_of
from ambos.autodiff.together import control_of, parts_together
from ambos.core.errors import GradientError
from ambos.graph import lines
from ambos.graph.node import Node, toposort


def tangents(
    outputs: Sequence[Node], inputs: Sequence[Node], moved: Sequence[Node | None]
) -> list[Node | None]:
    """For each of `outputs` the sum over inputs of d output / d input * moved (None: zero), or
    None where no tracked path leads there.

    An input that depends on another counts as independent of it; untracked nodes block.
    """
    found: dict[Node, Node | None] = {}
    for node, tangent in zip(inputs, moved, strict=True):
        if tangent is not None and (tangent.shape != node.shape or tangent.dtype is not node.dtype):
            raise GradientError(
                f"jvp: the tangent given is {tangent.dtype.name}{list(tangent.shape)}; need "
                f"{node.dtype.name}{list(node.shape)}, like the input"
            )
        found[node] = tangent
    order = toposort(outputs, stop=lambda node: node in found or not node.tracked)
    whole = parts_together(node for node in order if node.tracked and node not in found)
    try:
        for node in order:
            if node in whole:
                found |= zip(whole[node], _tangents_of_parts(whole[node], found), strict=True)
            elif node not in found:
                found[node] = _tangent(node, [found.get(source) for source in node.inputs])
    finally:
        lines.differentiate(None)
    return [found[node] for node in outputs]


def _tangent(node: Node, below: Sequence[Node | None]) -> Node | None:
    op = op_of(node)
    if not node.tracked or not op.differentiable or all(tangent is None for tangent in below):
        return None
    lines.differentiate(node)
    return op.jvp(node, below)


def _tangents_of_parts(
    parts: Sequence[Node], found: Mapping[Node, Node | None]
) -> Sequence[Node | None]:
    """The tangents of results of one loop or branch."""
    first = parts[0]
    below = [found.get(source) for source in first.inputs]
    if all(tangent is None for tangent in below):
        return [None] * len(parts)
    lines.differentiate(first)
    every = control_of(first).push_forward(first.inputs, first.attrs[1], below, tangents)
    return [every[node.attrs[0]] for node in parts]
