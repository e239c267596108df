"""Checks that hold for every graph; run between passes in tests and under AMBOS_DEBUG."""

from __future__ import annotations

from collections.abc import Sequence

from ambos.core.errors import CompilerError
from ambos.graph.node import Node, toposort


def verify(roots: Sequence[Node], stage: str = "graph") -> None:
    """Raise CompilerError unless each node's shape and dtype are what its op infers."""
    for node in toposort(roots):
        if not node.inputs:
            continue
        shape, dtype = node.op.infer(node.inputs, node.attrs)
        if shape != node.shape or dtype is not node.dtype:
            raise CompilerError(
                f"{stage}: {node.op.name} holds {node.dtype.name}{list(node.shape)} but infers "
                f"{dtype.name}{list(shape)}"
            )
