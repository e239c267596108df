"""The order of kernels."""

from __future__ import annotations

import ambos as am
from ambos.compiler.arrange import Arrangement
from ambos.compiler.fuse import fuse
from ambos.graph.node import pending
from ambos.graph.rewrite import substitute
from ambos.ops.sources import input_


def test_an_update_takes_no_memory_but_its_result() -> None:
    """So it need not wait: its product is never stored, and its operands are in the caches now."""
    x, w = am.rand(40, 24), am.rand(24, 16)
    roots = [(w - 0.1 * (x.T @ (x @ w)))._node]
    leaves = [node for node in pending(roots) if node.value is not None]
    inputs = {n: input_.leaf(i, n.value.strides, n.shape, n.dtype) for i, n in enumerate(leaves)}
    roots = substitute(roots, inputs)
    groups = fuse(roots)
    forward, update = groups[-2:]
    assert [group.kind for group in (forward, update)] == ["contract", "contract"]
    arrangement = Arrangement(groups, roots, {})
    assert arrangement.growth(forward) == 40 * 16 * 4
    assert arrangement.growth(update) == -40 * 16 * 4
