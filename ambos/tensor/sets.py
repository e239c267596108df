"""Sets of values: which there are, how often, and where.

How many values there are depends on the values: these functions look at their argument, compute at
once, and `am.jit` says so.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ambos.core.dtype import bool_, int64
from ambos.core.shape import Shape, normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import complex as bridge
from ambos.ops import indexing as index_ops
from ambos.ops.movement import concat
from ambos.ops.reductions import any_
from ambos.ops.scan import cumsum
from ambos.ops.sources import iota
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.movement import cut_axis, moveaxis
from ambos.tensor.names import public
from ambos.tensor.operands import convert, scalar
from ambos.tensor.positions import places_where


class UniqueAll(NamedTuple):
    """See `unique_all`."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """See `unique_counts`."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """See `unique_inverse`."""

    values: Tensor
    inverse_indices: Tensor


class Runs:
    """The rows of a matrix, in order or as they come, cut where neighbours differ. NaN differs from
    NaN. Each run is told by its first row: of equal rows the one that came first."""

    def __init__(self, rows: Node, in_order: bool) -> None:
        self.rows, (self.count, width) = rows, rows.shape
        self.order = iota(attrs=(self.count,))
        if in_order and self.count:
            for column in reversed(range(width)):  # stable: the first column decides last
                values = reshaped(cut_axis(rows, 1, column, column + 1), (self.count,))
                parts = (bridge.imag, bridge.real) if rows.dtype.is_complex else (None,)
                for part in parts:  # complex numbers are ordered by their real parts first
                    keys = index_ops.take(part(values) if part else values, self.order, attrs=(0,))
                    step = index_ops.argsort(keys, attrs=(self.count, False))
                    self.order = index_ops.take(self.order, step, attrs=(0,))
        self.begins = self._begins()
        fix = "am.sort(x) has the values in order, as many as there are"
        self.starts = places_where(self.begins, "unique", fix)

    def _begins(self) -> Node:
        """Which of the ordered rows differ from the one before them?"""
        if self.count < 2:
            return scalar(True, bool_, (self.count,))
        ordered = index_ops.take(self.rows, self.order, attrs=(0,))
        one, other = (cut_axis(ordered, 0, n, self.count - 1 + n) for n in (0, 1))
        differs = any_(ops.not_equal(one, other), attrs=((1,),))
        return concat(scalar(True, bool_, (1,)), differs, attrs=(0,))

    @property
    def indices(self) -> Node:
        """Where each run's first row was."""
        return index_ops.take(self.order, self.starts, attrs=(0,))

    @property
    def inverse(self) -> Node:
        """The number of the run that each row went to."""
        if not self.count:
            return self.order
        ends = cumsum(convert(self.begins, int64), attrs=(0, False))
        number = ops.subtract(ends, scalar(1, int64, ends.shape))
        nobody = scalar(0, int64, (self.count,))
        return index_ops.scatter_elements(nobody, self.order, number, attrs=(0,))

    @property
    def counts(self) -> Node:
        """How long each run is."""
        behind = scalar(self.count, int64, (1,))
        bounds = concat(self.starts, behind, attrs=(0,))
        runs = self.starts.size
        return ops.subtract(cut_axis(bounds, 0, 1, runs + 1), cut_axis(bounds, 0, 0, runs))


def _flat_runs(x: Any) -> tuple[Node, Runs]:
    node = node_of(x)
    return node, Runs(reshaped(node, (node.size, 1)), in_order=True)


def _values(node: Node, runs: Runs) -> Tensor:
    return wrap(index_ops.take(reshaped(node, (node.size,)), runs.indices, attrs=(0,)))


@public
def unique_all(x: Any) -> UniqueAll:
    """The distinct values in order, where each is found first, the number of each element's value,
    and how often each occurs. Every NaN is a value of its own, 0.0 and -0.0 are one (Array API).

    Example:
        >>> import ambos as am
        >>> found = am.unique_all(am.tensor([3, 1, 3]))
        >>> found.values.tolist(), found.indices.tolist(), found.counts.tolist()
        ([1, 3], [1, 0], [1, 2])
    """
    node, runs = _flat_runs(x)
    inverse = wrap(reshaped(runs.inverse, node.shape))
    return UniqueAll(_values(node, runs), wrap(runs.indices), inverse, wrap(runs.counts))


@public
def unique_counts(x: Any) -> UniqueCounts:
    """The distinct values in order, and how often each occurs."""
    node, runs = _flat_runs(x)
    return UniqueCounts(_values(node, runs), wrap(runs.counts))


@public
def unique_inverse(x: Any) -> UniqueInverse:
    """The distinct values in order, and the number of each element's value."""
    node, runs = _flat_runs(x)
    return UniqueInverse(_values(node, runs), wrap(reshaped(runs.inverse, node.shape)))


@public
def unique_values(x: Any) -> Tensor:
    """The distinct values in order.

    Example:
        >>> import ambos as am
        >>> am.unique_values(am.tensor([3, 1, 3])).tolist()
        [1, 3]
    """
    return _values(*_flat_runs(x))


@public
def unique(
    x: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None, *, return_index: bool = False,
) -> Any:  # fmt: skip
    """The distinct values in order (`sorted` or not), or the distinct slices along an axis; with
    whatever is asked for: where each is found first, the number of each element's value, counts.

    Example:
        >>> import ambos as am
        >>> values, counts = am.unique(am.tensor([3, 1, 3]), return_counts=True)
        >>> values.tolist(), counts.tolist()
        ([1, 3], [1, 2])
    """
    return _found(x, axis, True, (return_index, return_inverse, return_counts))


@public
def unique_consecutive(
    x: Any, return_inverse: bool = False, return_counts: bool = False, axis: int | None = None
) -> Any:
    """Like `unique`, but only neighbours that are equal become one, and nothing is sorted.

    Example:
        >>> import ambos as am
        >>> am.unique_consecutive(am.tensor([1, 1, 2, 1])).tolist()
        [1, 2, 1]
    """
    return _found(x, axis, False, (False, return_inverse, return_counts))


def _found(x: Any, axis: int | None, in_order: bool, wanted: tuple[bool, bool, bool]) -> Any:
    node = node_of(x)
    inner: Shape = ()
    if axis is not None:
        at = normalize_axis("unique", axis, node.rank)
        node = node_of(moveaxis(wrap(node), at, 0))
        inner = node.shape[1:]
    count = node.shape[0] if axis is not None else node.size
    rows = reshaped(node, (count, node.size // max(1, count)))
    runs = Runs(rows, in_order)
    values = index_ops.take(rows, runs.indices, attrs=(0,))
    values = reshaped(values, (runs.starts.size, *inner))
    result = wrap(values) if axis is None else moveaxis(wrap(values), 0, axis)
    inverse = runs.inverse if axis is not None else reshaped(runs.inverse, node.shape)
    extras = [
        wrap(part) for part, asked in zip((runs.indices, inverse, runs.counts), wanted, strict=True)
        if asked
    ]  # fmt: skip
    return (result, *extras) if extras else result


__all__ = [
    "unique", "unique_all", "unique_consecutive", "unique_counts", "unique_inverse",
    "unique_values",
]  # fmt: skip
