"""How much arithmetic a recorded graph asks for: floating-point operations of contractions.

What PyTorch's FlopCounterMode and fvcore count: matrix products, convolutions (every tap, borders
included, also those of transposed ones) and attention, a product and its addition as two
operations. Elementwise arithmetic, reductions and linear algebra are left out: they are bound by
memory, not by arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ambos.graph.body import Body
from ambos.graph.node import Node, toposort
from ambos.ops.contraction import Spec
from ambos.ops.control_specs import BranchSpec, LoopSpec, ScanSpec


def flops_of(nodes: Iterable[Node]) -> int:
    """The operations of these nodes. A loop counts as often as its length says, a `while_loop`,
    whose length nobody knows, once; of branches the longest one."""
    total, seen = 0, set()
    for node in nodes:
        inside = _spec(node)
        if inside is None:
            total += _flops(node)
            continue
        key = (node.op, node.inputs, *node.attrs[1:])  # a loop has one node for each result
        if key not in seen:
            seen.add(key)
            total += _inside(inside)
    return total


def _spec(node: Node) -> ScanSpec | LoopSpec | BranchSpec | None:
    spec = node.attrs[1] if len(node.attrs) > 1 else None
    return spec if isinstance(spec, (ScanSpec, LoopSpec, BranchSpec)) else None


def _inside(spec: ScanSpec | LoopSpec | BranchSpec) -> int:
    counts = [_body(body) for body in spec.bodies]
    if isinstance(spec, ScanSpec):
        return spec.length * counts[0]
    return max(counts) if isinstance(spec, BranchSpec) else sum(counts)


def _body(body: Body) -> int:
    return flops_of(toposort(body.results))


def _flops(node: Node) -> int:
    if node.op.name == "contract":
        spec: Spec = node.attrs[0]
        return 2 * math.prod(size for _, size in spec.extents)
    if node.op.name == "attention":
        q, k, v = node.inputs[:3]
        return 2 * math.prod(q.shape[:3]) * k.shape[2] * (q.shape[3] + v.shape[3])
    return 0
