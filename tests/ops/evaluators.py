"""Ways to compute a graph, for tests that hold for all of them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ambos.core.config import config
from ambos.core.dtype import bfloat16
from ambos.graph import substitute, toposort
from ambos.graph.node import Node
from ambos.ops.sources import data
from ambos.tensor.array import Array
from ambos.tensor.realize import realize
from ambos.testing import reference

Evaluate = Callable[[Sequence[Node]], list[np.ndarray]]


def on_device(values: np.ndarray, node: Node) -> Array:
    """A NumPy array as a node's value."""
    if node.dtype is not bfloat16:
        return Array.from_numpy(values)
    bits = Array.from_numpy((values.view(np.uint32) >> 16).astype(np.uint16))
    return Array(bits.storage, bits.offset, bits.shape, bits.strides, bfloat16)


def compiled(nodes: Sequence[Node]) -> list[np.ndarray]:
    """One fused Program; leaves may hold NumPy arrays."""
    moved = {
        node: data.leaf(on_device(node.value, node), node.shape, node.dtype, node.tracked)
        for node in toposort(nodes)
        if isinstance(node.value, np.ndarray | np.generic)
    }
    roots = substitute(nodes, moved)
    realize(roots)
    return [np.array(node.value.numpy()) for node in roots]


@contextmanager
def configured(**fields: Any) -> Iterator[None]:
    """Other settings, for a moment."""
    before = {name: getattr(config, name) for name in fields}
    try:
        for name, value in fields.items():
            setattr(config, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(config, name, value)


def unfused(nodes: Sequence[Node]) -> list[np.ndarray]:
    """One Program a node."""
    with configured(fuse=False):
        return compiled(nodes)


def narrow(nodes: Sequence[Node]) -> list[np.ndarray]:
    """One thread, and vectors as narrow as on the oldest processor that we know (AVX2)."""
    cpu = "x86-64-v3" if platform.machine() == "x86_64" else "native"
    with configured(threads=1, cpu=cpu):
        return compiled(nodes)


EVALUATORS: dict[str, Evaluate] = {
    "reference": reference.evaluate,
    "compiled": compiled,
    "unfused": unfused,
    "narrow": narrow,
}
