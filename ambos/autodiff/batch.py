"""Many examples at once, graph to graph: what a function makes of one example becomes what it makes
of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ambos.autodiff.reverse import op_of
from ambos.graph import lines
from ambos.graph.node import Node, toposort, tracking


def batched(
    results: Sequence[Node], examples: Mapping[Node, Node], size: int
) -> list[tuple[Node, bool]]:
    """Each of `results` for `size` examples, and whether it depends on them: if so it has them
    along a new first axis, else it is as it was.

    `examples` holds, for nodes of one example, nodes of all, which have them in front. Gradients
    stop where they stopped.
    """
    new = dict(examples)
    order = toposort(results, stop=lambda node: node in new or node.value is not None)
    enabled = tracking.enabled
    try:
        for node in order:
            if node in new:
                continue
            which = tuple(source in new for source in node.inputs)
            if any(which):
                inputs = tuple(new.get(source, source) for source in node.inputs)
                tracking.enabled = node.tracked
                lines.repeat(node)
                new[node] = op_of(node).batch(node, inputs, which, size)
    finally:
        tracking.enabled = enabled
        lines.repeat(None)
    return [(new.get(node, node), node in new) for node in results]
