"""Running totals along an axis, and their inverse."""

from __future__ import annotations

from typing import Any

from ambos.core.arguments import positive
from ambos.core.dtype import bool_, int64, uint8
from ambos.core.errors import ArgumentError
from ambos.core.shape import normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import scan
from ambos.ops.movement import concat
from ambos.ops.scan import Scan
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, wrap
from ambos.tensor.movement import cut_axis
from ambos.tensor.names import public
from ambos.tensor.operands import convert, expand_to, scalar
from ambos.tensor.reductions import Extremes, summable


def _running(op: Scan, node: Node, axis: int | None) -> Tensor:
    if axis is None:
        node, axis = reshaped(node, (node.size,)), 0
    at = normalize_axis(op.name, axis, node.rank or 1)
    return wrap(op(node, attrs=(at, False)) if node.rank else node)


@public
def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Running totals along an axis (of the flattened tensor without one).

    Dtypes: signed integers and bool give int64, unsigned ones uint64, others stay, unless `dtype`
        says which.

    Example:
        >>> import ambos as am
        >>> am.cumsum(am.tensor([1, 2, 3]), 0).tolist()
        [1, 3, 6]
    """
    return _running(scan.cumsum, summable(node_of(x), dtype), axis)


@public
def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Running products along an axis (of the flattened tensor without one).

    Dtypes: signed integers and bool give int64, unsigned ones uint64, others stay, unless `dtype`
        says which.

    Example:
        >>> import ambos as am
        >>> am.cumprod(am.tensor([1, 2, 3, 4]), 0).tolist()
        [1, 2, 6, 24]
    """
    return _running(scan.cumprod, summable(node_of(x), dtype), axis)


@public
def cumulative_sum(
    x: Any, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Running totals along an axis (which only a vector need not name), after a zero with
    `include_initial` (Array API).

    Example:
        >>> import ambos as am
        >>> am.cumulative_sum(am.tensor([1, 2, 3]), include_initial=True).tolist()
        [0, 1, 3, 6]
    """
    return _cumulative("cumulative_sum", cumsum, 0, x, axis, dtype, include_initial)


@public
def cumulative_prod(
    x: Any, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Running products along an axis (which only a vector need not name), after a one with
    `include_initial` (Array API)."""
    return _cumulative("cumulative_prod", cumprod, 1, x, axis, dtype, include_initial)


def _cumulative(
    name: str, run: Any, initial: int, x: Any, axis: int | None, dtype: Any, include: bool
) -> Tensor:
    node = node_of(x)
    if axis is None and node.rank != 1:
        raise ArgumentError(f"{name}: no axis for {node.shape}; need axis=, but for a vector")
    at = normalize_axis(name, 0 if axis is None else axis, node.rank)
    found = node_of(run(x, at, dtype))
    if include:
        shape = tuple(1 if a == at else n for a, n in enumerate(node.shape))
        found = concat(scalar(initial, found.dtype, shape), found, attrs=(at,))
    return wrap(found)


@public
def cummax(x: Any, dim: int = -1, *, axis: Any = None) -> Any:
    """Running maxima along an axis; NaN stays. `axis=` gives values (NumPy), `dim=` or a positional
    axis the pair (values, indices) (PyTorch), which says where each was met last. The gradient goes
    there.

    Example:
        >>> import ambos as am
        >>> found = am.cummax(am.tensor([1, 3, 2]), 0)
        >>> found.values.tolist(), found.indices.tolist()
        ([1, 3, 3], [0, 1, 1])
    """
    return _extreme(scan.cummax, x, dim, axis)


@public
def cummin(x: Any, dim: int = -1, *, axis: Any = None) -> Any:
    """Running minima along an axis; see `cummax` for axis and dim."""
    return _extreme(scan.cummin, x, dim, axis)


def _extreme(op: Scan, x: Any, dim: int, axis: Any) -> Any:
    given = node_of(x)
    at = normalize_axis(op.name, dim if axis is None else axis, given.rank or 1)
    if given.rank == 0:
        return wrap(given) if axis is not None else Extremes(wrap(given), wrap(scalar(0, int64)))
    node = convert(given, uint8) if given.dtype is bool_ else given
    found = op(node, attrs=(at, False))
    values = wrap(convert(found, given.dtype))
    return values if axis is not None else Extremes(values, wrap(scan.found_at(found)))


@public
def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Differences of neighbours along an axis, n times; with what `prepend` and `append` say before
    and behind (tensors, or numbers for one element).

    Shapes: the axis is n shorter, and empty where n is larger.
    Errors: ArgumentError for a negative n.

    Example:
        >>> import ambos as am
        >>> am.diff(am.tensor([1, 4, 9]), prepend=0).tolist()
        [1, 3, 5]
    """
    node = node_of(x)
    at = normalize_axis("diff", axis, node.rank)
    n = positive("diff: n", n, 0)
    if n == 0:
        return wrap(node)
    single = tuple(1 if a == at else extent for a, extent in enumerate(node.shape))
    parts = [_beside(part, node, single) for part in (prepend, append)]
    whole = [part for part in (parts[0], node, parts[1]) if part is not None]
    node = concat(*whole, attrs=(at,)) if len(whole) > 1 else node
    for extent in range(node.shape[at], max(node.shape[at] - n, 0), -1):
        later, earlier = cut_axis(node, at, 1, extent), cut_axis(node, at, 0, extent - 1)
        node = (ops.not_equal if node.dtype is bool_ else ops.subtract)(later, earlier)
    return wrap(node)


def _beside(part: Any, node: Node, single: tuple[int, ...]) -> Node | None:
    """What comes before or behind `node`, in its dtype; a number or scalar fills one place."""
    if part is None:
        return None
    given = operand_of(part)
    if not isinstance(given, Node):
        return scalar(given, node.dtype, single)
    return convert(given if given.rank else expand_to(given, single), node.dtype)


__all__ = ["cummax", "cummin", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "diff"]
