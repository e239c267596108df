"""Immutable expression graphs: nodes, rewriting, verification, printing."""

from ambos.graph.node import Node, consumers, leaf, make, toposort, tracking
from ambos.graph.rewrite import rebuild, rewrite, substitute
from ambos.graph.show import show
from ambos.graph.verify import verify

__all__ = [
    "Node", "consumers", "leaf", "make", "rebuild", "rewrite", "show", "substitute", "toposort",
    "tracking", "verify",
]  # fmt: skip
