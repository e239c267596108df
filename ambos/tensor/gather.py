"""Reading and adding at computed positions."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ambos.core.dtype import as_dtype, bool_, int64
from ambos.core.errors import DTypeError, IndexingError, ShapeError
from ambos.core.shape import broadcast, normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import indexing as index_ops
from ambos.ops.bounds import wrapped
from ambos.ops.sources import iota
from ambos.tensor.checks import require_range
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, wrap
from ambos.tensor.indexing import getitem
from ambos.tensor.movement import cut_axis
from ambos.tensor.names import public
from ambos.tensor.operands import convert, expand_to, scalar


def positions(op: str, indices: Any) -> Node:
    """`indices` as int64."""
    node = node_of(np.asarray(indices, np.int64) if isinstance(indices, list) else indices)
    if not node.dtype.is_integer:
        raise DTypeError(f"{op}: indices are {node.dtype.name}; need integers: use .long()")
    return convert(node, int64)


@public
def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Elements along an axis at integer positions, whose axes replace that axis; without an axis
    from the flattened tensor. Negative positions count from the end.

    Errors: IndexingError, when the result is looked at, for positions outside the axis.

    Example:
        >>> import ambos as am
        >>> am.take(am.tensor([10, 20, 30]), [2, 0]).tolist()
        [30, 10]
    """
    node, index = node_of(x), positions("take", indices)
    if axis is None:
        node, axis = reshaped(node, (node.size,)), 0
    at = normalize_axis("take", axis, node.rank)
    return wrap(index_ops.take(node, wrapped(index, node.shape[at]), attrs=(at,)))


@public
def index_select(x: Any, axis: int, indices: Any) -> Tensor:
    """Elements along an axis at the positions of an integer vector (none negative)."""
    node, index = node_of(x), positions("index_select", indices)
    at = normalize_axis("index_select", axis, node.rank or 1)
    if node.rank == 0:  # a scalar counts as a vector of one, and stays a scalar
        if index.size != 1:
            raise ShapeError(f"index_select: indices are {index.shape} for a scalar; need one")
        found = index_ops.take(reshaped(node, (1,)), reshaped(index, (1,)), attrs=(0,))
        return wrap(reshaped(found, ()))
    return wrap(index_ops.take(node, reshaped(index, (index.size,)), attrs=(at,)))


def embed(weight: Node, index: Node) -> Node:
    """Rows of `weight` at `index` (none negative), for embeddings."""
    return index_ops.take(weight, convert(index, int64), attrs=(0,))


def _check_gather(op: str, node: Node, index: Node, at: int) -> None:
    if index.rank != node.rank or builtins.any(
        i > n for a, (i, n) in enumerate(zip(index.shape, node.shape, strict=True)) if a != at
    ):
        raise ShapeError(f"{op}: indices are {index.shape} for {node.shape}; need as many "
                         f"dimensions, and sizes within it but for axis {at}")  # fmt: skip


@public
def gather(x: Any, axis: int, indices: Any) -> Tensor:
    """result[i, j] = x[indices[i, j], j] for axis 0, and so on (PyTorch's gather).

    Example:
        >>> import ambos as am
        >>> am.gather(am.tensor([[1, 2], [3, 4]]), 1, am.tensor([[1], [0]])).tolist()
        [[2], [3]]
    """
    node, index = node_of(x), positions("gather", indices)
    if node.rank == 0:  # a scalar counts as a vector of one
        line = index_ops.gather(reshaped(node, (1,)), reshaped(index, (index.size,)), attrs=(0,))
        return wrap(reshaped(line, index.shape))
    at = normalize_axis("gather", axis, node.rank)
    if not index.size:  # nothing is read: any shape fits, as in PyTorch
        return wrap(scalar(0, node.dtype, index.shape))
    _check_gather("gather", node, index, at)
    return wrap(index_ops.gather(node, index, attrs=(at,)))


@public
def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Tensor:
    """Like `gather`, but other axes broadcast and negative positions count from the end."""
    node, index = node_of(x), positions("take_along_axis", indices)
    if axis is None:
        node, axis = reshaped(node, (node.size,)), 0
    at = normalize_axis("take_along_axis", axis, node.rank)
    if index.rank != node.rank:
        raise ShapeError(f"take_along_axis: indices are {index.shape} for {node.shape}; need as "
                         "many dimensions")  # fmt: skip
    shape = tuple(
        i if a == at else builtins.max(i, n)
        for a, (i, n) in enumerate(zip(index.shape, node.shape, strict=True))
    )
    source = tuple(node.shape[at] if a == at else n for a, n in enumerate(shape))
    index = wrapped(expand_to(index, shape), node.shape[at])
    return gather(wrap(expand_to(node, source)), at, wrap(index))


def scatter_parts(
    op: str, x: Any, axis: int, indices: Any, updates: Any
) -> tuple[Node, int, Node, Node]:
    """The operands of a scatter: what is written to, the axis, the positions, what is written."""
    node, index = node_of(x), positions(op, indices)
    given = operand_of(updates)
    if node.rank == 0:  # a scalar counts as a vector of one
        node = reshaped(node, (1,))
        index = reshaped(index, (index.size,))
        given = reshaped(given, (given.size,)) if isinstance(given, Node) else given
    at = normalize_axis(op, axis, node.rank)
    if not index.size:  # nothing is written: any shape fits, as in PyTorch
        none = tuple(0 if a == at else n for a, n in enumerate(node.shape))
        return node, at, reshaped(index, none), scalar(0, node.dtype, none)
    _check_gather(op, node, index, at)
    if isinstance(given, Node):
        new = given
        if new.dtype is not node.dtype:
            raise DTypeError(f"{op}: updates are {new.dtype.name} for {node.dtype.name}; need one "
                             "dtype: convert them")  # fmt: skip
        if new.rank != index.rank or builtins.any(
            i > n for i, n in zip(index.shape, new.shape, strict=True)
        ):
            raise ShapeError(f"{op}: updates are {new.shape} for indices {index.shape}; need at "
                             "least as many along every axis")  # fmt: skip
        for a, extent in enumerate(index.shape):
            new = cut_axis(new, a, 0, extent)
    else:
        new = scalar(given, node.dtype, index.shape)
    return node, at, index, new


@public
def scatter_add(x: Any, axis: int, indices: Any, updates: Any) -> Tensor:
    """A copy of `x` with updates[i, j] added at [indices[i, j], j] for axis 0, and so on."""
    node, at, index, new = scatter_parts("scatter_add", x, axis, indices, updates)
    found = index_ops.scatter_elements(node, index, new, attrs=(at,))
    return wrap(reshaped(found, node_of(x).shape))


@public
def index_fill(x: Any, axis: int, indices: Any, value: Any) -> Tensor:
    """A copy of `x` with `value` at positions along an axis."""
    node, index = node_of(x), positions("index_fill", indices)
    if node.rank == 0:  # a scalar counts as a vector of one
        node = reshaped(node, (1,))
    at = normalize_axis("index_fill", axis, node.rank)
    extent = node.shape[at]
    hits = index_ops.scatter_add(
        scalar(0, int64, (extent,)), wrapped(reshaped(index, (index.size,)), extent),
        scalar(1, int64, (index.size,)), attrs=(0,),
    )  # fmt: skip
    line = reshaped(convert(hits, bool_), tuple(extent if a == at else 1 for a in
                                                range(node.rank)))  # fmt: skip
    given = operand_of(value)
    new = convert(given, node.dtype) if isinstance(given, Node) else scalar(given, node.dtype)
    if new.size != 1:
        raise ShapeError(f"index_fill: the value is {new.shape}; need one number")
    new = expand_to(reshaped(new, ()), node.shape)
    return wrap(reshaped(ops.where(expand_to(line, node.shape), new, node), node_of(x).shape))


@public
def masked_fill(x: Any, mask: Any, value: Any) -> Tensor:
    """`value`, one number, where the mask holds, else `x`; mask and `x` broadcast.

    Errors: ShapeError for a value with axes: use am.where.
    """
    node, chosen = node_of(x), node_of(mask)
    if chosen.dtype is not bool_:
        raise DTypeError(f"masked_fill: the mask is {chosen.dtype.name}; need bool: compare it")
    given = operand_of(value)
    new = convert(given, node.dtype) if isinstance(given, Node) else scalar(given, node.dtype)
    if new.rank:
        raise ShapeError(f"masked_fill: the value is {new.shape}; need one number: use "
                         "am.where(mask, value, x)")  # fmt: skip
    shape = broadcast("masked_fill", node.shape, chosen.shape)
    return wrap(ops.where(*(expand_to(one, shape) for one in (chosen, new, node))))


@public
def masked_select(x: Any, mask: Any) -> Tensor:
    """The elements where the mask holds, as a vector (the mask is looked at)."""
    node, chosen = node_of(x), node_of(mask)
    shape = broadcast("masked_select", node.shape, chosen.shape)
    return getitem(wrap(expand_to(node, shape)), wrap(expand_to(chosen, shape)))


@public
def one_hot(x: Any, num_classes: int, dtype: Any = int64, axis: int = -1) -> Tensor:
    """1 at the position that each element names along a new axis, 0 elsewhere (int64, as in
    PyTorch; say dtype=am.float32 for targets).

    Errors: IndexingError for a class below 0 or above num_classes - 1, where `x` is already
        computed. (One that is still to be computed gives zeros.)

    Example:
        >>> import ambos as am
        >>> am.one_hot(am.tensor([0, 2]), 3).tolist()
        [[1, 0, 0], [0, 0, 1]]
    """
    index = positions("one_hot", x)
    require_range(
        node_of(x), 0, num_classes, IndexingError,
        lambda found: f"one_hot: class {found} with {num_classes} classes; need 0 <= class < "
        f"{num_classes}",
    )  # fmt: skip
    at = normalize_axis("one_hot", axis, index.rank + 1)
    shape = (*index.shape[:at], num_classes, *index.shape[at:])
    single = (*index.shape[:at], 1, *index.shape[at:])
    line = reshaped(iota(attrs=(num_classes,)), (num_classes,) + (1,) * (index.rank - at))
    same = ops.equal(expand_to(reshaped(index, single), shape), expand_to(line, shape))
    return wrap(convert(same, as_dtype(dtype)))


__all__ = [
    "gather", "index_fill", "index_select", "masked_fill", "masked_select",
    "one_hot", "scatter_add", "take", "take_along_axis",
]  # fmt: skip
