"""Many examples at once, graph to graph: what a function makes of one example becomes what it makes
of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ambos.autodiff.reverse import op_of
from ambos.autodiff.together import control_of, parts_together
from ambos.graph import lines
from ambos.graph.node import Node, toposort, tracking
from ambos.graph.rewrite import rebuild


def batched(
    results: Sequence[Node], examples: Mapping[Node, Node], size: int
) -> list[tuple[Node, bool]]:
    """Each of `results` for `size` examples, and whether it depends on them: if so it has them
    along a new first axis, else it is as it was.

    `examples` holds, for nodes of one example, nodes of all, which have them in front. Gradients
    stop where they stopped.
    """
    new = dict(examples)
    same: dict[Node, Node] = {}  # of loops over examples, what does not depend on them
    order = toposort(results, stop=lambda node: node in new or node.value is not None)
    whole = parts_together(node for node in order if node not in new)
    enabled = tracking.enabled
    try:
        for node in order:
            if node in new:
                continue
            which = tuple(source in new for source in node.inputs)
            inputs = tuple(new.get(s) or same.get(s, s) for s in node.inputs)
            tracking.enabled = node.tracked
            if not any(which):
                if inputs != node.inputs:
                    same[node] = rebuild(node, inputs)
            else:
                lines.repeat(node)
                if op_of(node).kind != "control":
                    new[node] = op_of(node).batch(node, inputs, which, size)
                elif node in whole:
                    for part, (found, depends) in _parts(whole[node], inputs, which, size):
                        (new if depends else same)[part] = found
    finally:
        tracking.enabled = enabled
        lines.repeat(None)
    return [(new.get(node) or same.get(node, node), node in new) for node in results]


def _parts(
    parts: Sequence[Node], inputs: tuple[Node, ...], which: Sequence[bool], size: int
) -> list[tuple[Node, tuple[Node, bool]]]:
    """Each of `parts`, results of one loop or branch, with what it is of one for all examples, and
    whether it depends on them."""
    first = parts[0]
    tracking.enabled = any(node.tracked for node in parts)
    every = control_of(first).spread(inputs, first.attrs[1], which, size, batched)
    return [(node, every[node.attrs[0]]) for node in parts]
