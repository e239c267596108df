"""Sliding windows along one axis, and their transpose."""

from __future__ import annotations

from typing import Any

from ambos.core.arguments import positive
from ambos.core.errors import ShapeError
from ambos.core.shape import normalize_axis
from ambos.ops.movement import overlap_add, window
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.movement import cut_axis
from ambos.tensor.names import public


@public
def unfold(x: Any, axis: int, size: int, step: int) -> Tensor:
    """Sliding windows along one axis, as a new last axis (PyTorch's Tensor.unfold). A scalar
    counts as a vector of one.

    Errors: ArgumentError for a size below 0 or a step below 1, ShapeError for windows that are
        longer than the axis.

    Example:
        >>> import ambos as am
        >>> am.unfold(am.arange(5), 0, 3, 2).tolist()
        [[0, 1, 2], [2, 3, 4]]
    """
    node = node_of(x)
    at = normalize_axis("unfold", axis, node.rank or 1)
    positive("unfold: size", size, 0)
    positive("unfold: step", step)
    if node.rank:
        return wrap(window(node, attrs=((at,), (size,), (step,), (1,))))
    if size > 1:
        raise ShapeError(f"unfold: a window of {size} on a scalar; need at most 1")
    return wrap(cut_axis(reshaped(node, (1,)), 0, 0, size))


@public
def fold_windows(x: Any, axis: int, extent: int, step: int) -> Tensor:
    """The transpose of `unfold`: overlapping windows added up along an axis of `extent`."""
    node = node_of(x)
    at = normalize_axis("fold_windows", axis, node.rank - 1)
    shape = tuple(extent if axis == at else n for axis, n in enumerate(node.shape[:-1]))
    return wrap(overlap_add(node, shape, (at,), (node.shape[-1],), (step,), (1,)))


__all__ = ["fold_windows", "unfold"]
