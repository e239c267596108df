"""What must hold for a graph: the same bits fused and op by op, and what each op declares.

Op by op, every node has a value. Each is compared with its op's NumPy reference on the values that
its operands have here, so that a difference in the last place of one op cannot grow through the
next fifty and needs no tolerance there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ambos.graph import show, substitute, toposort
from ambos.graph.node import Node
from ambos.ops.sources import data
from ambos.tensor.realize import realize
from ambos.testing import reference
from tests.fuzz.tolerance import agree, same_numbers
from tests.ops.evaluators import configured

Values = np.ndarray[Any, Any]


def computed(roots: Sequence[Node], fuse: bool) -> list[Any]:
    """The values (Arrays) of `roots`, afresh."""
    for node in toposort(roots):
        if node.op is not data:
            node.value = None
    with configured(fuse=fuse):
        realize(roots)
    return [node.value for node in roots]


def values_of(node: Node, array: Any) -> Values:
    return reference.stored(array, node.dtype)


def differences(roots: Sequence[Node]) -> list[str]:
    """Which roots are other bits fused than op by op, and which ops are not as their reference."""
    fused = computed(roots, fuse=True)
    alone = computed(roots, fuse=False)
    wrong = [
        f"root {number}: fused and op by op differ"
        for number, (node, a, b) in enumerate(zip(roots, fused, alone, strict=True))
        if not same_numbers(values_of(node, a), values_of(node, b)).all()
    ]
    return wrong + unlike_reference(roots)


def unlike_reference(roots: Sequence[Node]) -> list[str]:
    """What the op by op values, which lie at the nodes, do not share with the references."""
    wrong: list[str] = []
    known: dict[Node, Values] = {}
    for node in toposort(roots):
        inputs = [known[source] for source in node.inputs]
        if node.value is None or node.op is data:
            known[node] = reference.compute(node, inputs)
            continue
        known[node] = values_of(node, node.value)
        expected = reference.compute(node, inputs)
        if not agree(node, known[node], expected, inputs):
            wrong.append(f"{described(node)}: {first_difference(known[node], expected, inputs)}")
    return wrong


def described(node: Node) -> str:
    kinds = [f"{i.dtype.name}{list(i.shape)}" for i in node.inputs]
    return f"{node.op.name}({', '.join(kinds)}){node.attrs}"


def first_difference(found: Values, expected: Values, inputs: Sequence[Values]) -> str:
    """Where, and of what."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return f"is {found.dtype}{found.shape}, not {expected.dtype}{expected.shape}"
    places = np.argwhere(~same_numbers(found, expected))[:3]
    given = [i for i in inputs if i.shape == found.shape]
    return "; ".join(
        f"at {tuple(map(int, p))} {found[tuple(p)]!r}, not {expected[tuple(p)]!r}, of "
        f"{[i[tuple(p)] for i in given]}"
        for p in places
    )


def smallest(roots: Sequence[Node]) -> Node | None:
    """A small part of a graph that is not the same fused as op by op: the first node that is not,
    and below it data in place of whatever the difference does not need."""
    for node in toposort(roots):
        if node.inputs and _unequal(node):
            break
    else:
        return None
    for below in reversed(toposort([node])[:-1]):
        if below.op is data or below not in set(toposort([node])):
            continue
        computed([below], fuse=False)
        given = data.leaf(below.value, below.shape, below.dtype, below.tracked)
        (less,) = substitute([node], {below: given})
        if _unequal(less):
            node = less
    return node


def _unequal(node: Node) -> bool:
    pair = [values_of(node, computed([node], fuse)[0]) for fuse in (True, False)]
    return not same_numbers(*pair).all()


def report(roots: Sequence[Node], wrong: Sequence[str]) -> str:
    """A finding in words."""
    lines = list(wrong)
    if any("fused" in line for line in wrong):
        part = smallest(roots)
        lines.append(show([part]) if part is not None else "only all together: " + show(roots))
    return "\n".join(lines)
