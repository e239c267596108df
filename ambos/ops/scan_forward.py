"""Scans of tangents and of many examples: the carry grows by what depends on them."""

from __future__ import annotations

from collections.abc import Sequence

from ambos.graph.node import Node
from ambos.ops.bodies import argument_like, filled, swapped
from ambos.ops.control_specs import Batched, ScanSpec, Tangents
from ambos.ops.kinds import repeated
from ambos.ops.steps import Carried, scanned, step_tangents


def scan_tangents(
    inputs: tuple[Node, ...], spec: ScanSpec, given: Sequence[Node | None], tangents: Tangents
) -> list[Node | None]:
    """The tangents of all results, from those `given` of the inputs: one loop over both."""
    body, count = spec.body, spec.num_carry
    constants, carry, xs = spec.split(body.arguments)
    value = dict(zip(body.arguments, inputs, strict=True))
    change = dict(zip(body.arguments, filled(given, inputs), strict=True))
    moving, found = step_tangents(body, carry, given, tangents)
    ends = dict(zip(carry, filled(found[:count], body.results[:count]), strict=True))
    also = [node for node in carry if node in moving]
    lasts, stacks = scanned(
        [Carried(node, value[node], end) for node, end in zip(carry, body.results, strict=False)]
        + [Carried(moving[node], change[node], ends[node]) for node in also],
        {node: value[node] for node in xs}
        | {moving[node]: change[node] for node in xs if node in moving},
        [*body.results[count:], *(t for t in found[count:] if t is not None)],
        spec.length, spec.reverse,
        {node: value[node] for node in constants}
        | {moving[node]: change[node] for node in constants if node in moving},
    )  # fmt: skip
    last = dict(zip(also, lasts[count:], strict=True))
    rest = iter(stacks[len(body.results) - count :])
    return [last.get(node) for node in carry] + [
        None if tangent is None else next(rest) for tangent in found[count:]
    ]


def scan_examples(
    inputs: tuple[Node, ...], spec: ScanSpec, which: Sequence[bool], size: int, batched: Batched
) -> list[tuple[Node, bool]]:
    """All results for `size` examples, and whether each depends on them. `which` of the inputs
    have the examples, in front."""
    body, count = spec.body, spec.num_carry
    constants, carry, xs = spec.split(body.arguments)
    value = dict(zip(body.arguments, inputs, strict=True))
    examples = {
        node: argument_like(node, (size, *node.shape))
        for node, has in zip(body.arguments, which, strict=True)
        if has
    }
    plain = set(body.arguments) - set(examples)
    while True:
        found = batched(body.results, examples, size)
        late = [node for node, (_, has) in zip(carry, found, strict=False)
                if has and node not in examples]  # fmt: skip
        if not late:
            break
        examples |= {node: argument_like(node, (size, *node.shape)) for node in late}

    def start(node: Node) -> Node:
        return repeated(value[node], size) if node in plain and node in examples else value[node]

    ends = [
        repeated(end, size) if node in examples and not has else end
        for node, (end, has) in zip(carry, found, strict=False)
    ]
    lasts, stacks = scanned(
        [Carried(examples.get(node, node), start(node), end)
         for node, end in zip(carry, ends, strict=True)],
        {examples.get(node, node): swapped(value[node]) if node in examples else value[node]
         for node in xs},
        [end for end, _ in found[count:]], spec.length, spec.reverse,
        {examples.get(node, node): value[node] for node in constants},
    )  # fmt: skip
    return [(last, node in examples) for node, last in zip(carry, lasts, strict=True)] + [
        (swapped(stack) if has else stack, has)
        for stack, (_, has) in zip(stacks, found[count:], strict=True)
    ]
