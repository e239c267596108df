"""Parts whose place is a tensor and whose size is known: `dynamic_slice` and its like, with JAX's
names and rules. A part that would reach over an end is moved back inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.arguments import integer
from ambos.core.dtype import int64
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import Shape, normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops.bounds import wrapped
from ambos.ops.indexing import put, take
from ambos.ops.kinds import constant
from ambos.ops.sources import iota
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.movement import cut_axis
from ambos.tensor.names import public
from ambos.tensor.operands import convert, expand_to

Start = int | Node  # where a part begins along one axis, inside


@public
def dynamic_slice(x: Any, start_indices: Any, slice_sizes: Sequence[int]) -> Tensor:
    """The part of `x` of shape `slice_sizes` that begins at `start_indices`, which are tensors or
    integers, one for each axis, or one tensor of them.

    Negative positions count from the end; then each is moved so that the part lies inside. So
    nothing is ever out of range, whatever the values, under `am.jit` and inside loops too.

    Errors: ShapeError for sizes that do not fit into `x`; ArgumentError for another number of
        positions or sizes than axes; DTypeError for positions that are no integers.

    Example:
        >>> import ambos as am
        >>> am.dynamic_slice(am.arange(6).reshape(2, 3), (am.tensor(0), am.tensor(1)), (2, 2))
        tensor([[1, 2],
                [4, 5]])
        >>> am.dynamic_slice(am.arange(5), [am.tensor(4)], (3,)).tolist()
        [2, 3, 4]
    """
    node = node_of(x)
    sizes = _sizes("dynamic_slice", node, slice_sizes)
    starts = _starts("dynamic_slice", node.shape, start_indices, sizes)
    return wrap(_part(node, starts, sizes))


@public
def dynamic_slice_in_dim(x: Any, start_index: Any, slice_size: int, axis: int = 0) -> Tensor:
    """`dynamic_slice` along one axis.

    Example:
        >>> import ambos as am
        >>> am.dynamic_slice_in_dim(am.arange(5), am.tensor(1), 2).tolist()
        [1, 2]
    """
    node, at = _axis("dynamic_slice_in_dim", x, axis)
    sizes = _sizes("dynamic_slice_in_dim", node, _with(node.shape, at, slice_size))
    starts = _along("dynamic_slice_in_dim", node.shape, at, start_index, sizes)
    return wrap(_part(node, starts, sizes))


@public
def dynamic_index_in_dim(x: Any, index: Any, axis: int = 0, keepdims: bool = True) -> Tensor:
    """The slice of `x` at one position along an axis, which stays with size 1 if `keepdims`.

    Example:
        >>> import ambos as am
        >>> am.dynamic_index_in_dim(am.arange(5), am.tensor(-2), keepdims=False).item()
        3
    """
    node, at = _axis("dynamic_index_in_dim", x, axis)
    sizes = _sizes("dynamic_index_in_dim", node, _with(node.shape, at, 1))
    starts = _along("dynamic_index_in_dim", node.shape, at, index, sizes)
    found = _part(node, starts, sizes)
    return wrap(found if keepdims else reshaped(found, (*sizes[:at], *sizes[at + 1 :])))


@public
def dynamic_update_slice(x: Any, update: Any, start_indices: Any) -> Tensor:
    """A copy of `x` in which `update` stands at `start_indices`, which are as for `dynamic_slice`.

    Errors: as those of `dynamic_slice`; DTypeError where `update` has another dtype than `x`.

    Example:
        >>> import ambos as am
        >>> am.dynamic_update_slice(am.zeros(4), am.ones(2), [am.tensor(3)]).tolist()
        [0.0, 0.0, 1.0, 1.0]
    """
    node, new = _update("dynamic_update_slice", x, update)
    sizes = _sizes("dynamic_update_slice", node, new.shape)
    return wrap(_updated(node, new, _starts("dynamic_update_slice", node.shape, start_indices,
                                            sizes)))  # fmt: skip


@public
def dynamic_update_slice_in_dim(x: Any, update: Any, start_index: Any, axis: int) -> Tensor:
    """`dynamic_update_slice` along one axis.

    Example:
        >>> import ambos as am
        >>> am.dynamic_update_slice_in_dim(am.zeros(4), am.ones(2), am.tensor(1), 0).tolist()
        [0.0, 1.0, 1.0, 0.0]
    """
    node, new = _update("dynamic_update_slice_in_dim", x, update)
    at = normalize_axis("dynamic_update_slice_in_dim", axis, node.rank)
    sizes = _sizes("dynamic_update_slice_in_dim", node, new.shape)
    starts = _along("dynamic_update_slice_in_dim", node.shape, at, start_index, sizes)
    return wrap(_updated(node, new, starts))


@public
def dynamic_update_index_in_dim(x: Any, update: Any, index: Any, axis: int) -> Tensor:
    """A copy of `x` with another slice at one position along an axis; `update` may lack the axis.

    Example:
        >>> import ambos as am
        >>> am.dynamic_update_index_in_dim(am.zeros(3), am.tensor(7.0), am.tensor(1), 0).tolist()
        [0.0, 7.0, 0.0]
    """
    node, new = _update("dynamic_update_index_in_dim", x, update)
    at = normalize_axis("dynamic_update_index_in_dim", axis, node.rank)
    if new.rank == node.rank - 1:
        new = reshaped(new, (*new.shape[:at], 1, *new.shape[at:]))
    need = _with(node.shape, at, 1)
    if new.shape != need:
        raise ShapeError(f"dynamic_update_index_in_dim: the update is {node_of(update).shape} for "
                         f"{node.shape}; need {need}, or that without axis {at}")  # fmt: skip
    starts = _along("dynamic_update_index_in_dim", node.shape, at, index, need)
    return wrap(_updated(node, new, starts))


# --- arguments -----------------------------------------------------------------------------------


def _axis(op: str, x: Any, axis: int) -> tuple[Node, int]:
    node = node_of(x)
    return node, normalize_axis(op, axis, node.rank)


def _update(op: str, x: Any, update: Any) -> tuple[Node, Node]:
    node, new = node_of(x), node_of(update)
    if new.dtype is not node.dtype:
        raise DTypeError(f"{op}: the update is {new.dtype.name} for {node.dtype.name}; need one "
                         f"dtype: update.to({node.dtype.name!r})")  # fmt: skip
    return node, new


def _with(shape: Shape, axis: int, size: Any) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _sizes(op: str, node: Node, given: Any) -> Shape:
    """How large the part is."""
    if not isinstance(given, (tuple, list)) or len(given) != node.rank:
        raise ArgumentError(f"{op}: the part is {given!r} of {node.shape}; need a size for each "
                            "axis")  # fmt: skip
    sizes = tuple(integer(f"{op}: a size", size) for size in given)
    if any(not 0 <= size <= extent for size, extent in zip(sizes, node.shape, strict=True)):
        raise ShapeError(f"{op}: the part is {sizes} of {node.shape}; need sizes that fit inside")
    return sizes


def _starts(op: str, shape: Shape, given: Any, sizes: Shape) -> list[Start]:
    """Where the part begins along each axis."""
    if isinstance(given, Tensor) and given.ndim == 1:
        given = [given[number] for number in range(given.shape[0])]
    elif isinstance(given, Tensor) or not isinstance(given, (tuple, list)):
        given = [given]
    if len(given) != len(shape):
        raise ArgumentError(f"{op}: got {len(given)} positions for {shape}; need one for each axis")
    return [_inside(op, *each) for each in zip(given, shape, sizes, strict=True)]


def _along(op: str, shape: Shape, axis: int, start: Any, sizes: Shape) -> list[Start]:
    """The same where it begins somewhere along one axis only."""
    return [_inside(op, start, shape[at], sizes[at]) if at == axis else 0
            for at in range(len(shape))]  # fmt: skip


def _inside(op: str, start: Any, extent: int, size: int) -> Start:
    """A position, moved so that `size` elements of `extent` follow."""
    most = extent - size
    if not isinstance(start, Tensor) and hasattr(start, "__index__"):
        place = start.__index__()
        return min(max(place + extent if place < 0 else place, 0), most)
    node = node_of(start)
    if not node.dtype.is_integer:
        raise DTypeError(f"{op}: a position is {node.dtype.name}; need integers: use .long()")
    if node.size != 1:
        raise ShapeError(f"{op}: a position is {node.dtype.name}{list(node.shape)}; need a scalar")
    place = wrapped(convert(reshaped(node, ()), int64), extent)
    return ops.minimum(ops.maximum(place, constant(0, int64)), constant(most, int64))


# --- in the graph --------------------------------------------------------------------------------


def _part(node: Node, starts: Sequence[Start], sizes: Shape) -> Node:
    for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        if isinstance(start, int):
            node = cut_axis(node, axis, start, start + size)
        elif size < node.shape[axis]:
            places = ops.add(iota(attrs=(size,)), expand_to(start, (size,)))
            node = take(node, places, attrs=(axis,))
    return node


def _updated(node: Node, new: Node, starts: Sequence[Start]) -> Node:
    """`new` at `starts`, and `node` elsewhere."""
    cut = [axis for axis in range(node.rank) if new.shape[axis] != node.shape[axis]]
    if not cut or 0 in new.shape:
        return new if not cut else node
    if len(cut) == 1 and new.shape[cut[0]] == 1:
        return put(node, expand_to(_as_node(starts[cut[0]]), (1,)), new, attrs=(cut[0],))
    is_new = None
    for axis in cut:
        extent, size = node.shape[axis], new.shape[axis]
        place = ops.subtract(iota(attrs=(extent,)), expand_to(_as_node(starts[axis]), (extent,)))
        low, high = constant(0, int64, (extent,)), constant(size - 1, int64, (extent,))
        nearest = ops.minimum(ops.maximum(place, low), high)
        new = take(new, nearest, attrs=(axis,))
        line = reshaped(ops.equal(place, nearest), (extent,) + (1,) * (node.rank - axis - 1))
        hit = expand_to(line, node.shape)
        is_new = hit if is_new is None else ops.bitwise_and(is_new, hit)
    assert is_new is not None
    return ops.where(is_new, new, node)


def _as_node(start: Start) -> Node:
    return constant(start, int64) if isinstance(start, int) else start


__all__ = [
    "dynamic_index_in_dim", "dynamic_slice", "dynamic_slice_in_dim", "dynamic_update_index_in_dim",
    "dynamic_update_slice", "dynamic_update_slice_in_dim",
]  # fmt: skip
