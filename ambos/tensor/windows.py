"""Sliding windows along one axis, and their transpose."""

from __future__ import annotations

from typing import Any

from ambos.ops.movement import overlap_add, window
from ambos.tensor.handle import Tensor, node_of, wrap
from ambos.tensor.names import public


@public
def unfold(x: Any, axis: int, size: int, step: int) -> Tensor:
    """Sliding windows along one axis, as a new last axis (PyTorch's Tensor.unfold)."""
    node = node_of(x)
    at = axis % node.rank
    return wrap(window(node, attrs=((at,), (size,), (step,), (1,))))


@public
def fold_windows(x: Any, axis: int, extent: int, step: int) -> Tensor:
    """The transpose of `unfold`: overlapping windows added up along an axis of `extent`."""
    node = node_of(x)
    at = axis % (node.rank - 1)
    shape = tuple(extent if axis == at else n for axis, n in enumerate(node.shape[:-1]))
    return wrap(overlap_add(node, shape, (at,), (node.shape[-1],), (step,), (1,)))


__all__ = ["fold_windows", "unfold"]
