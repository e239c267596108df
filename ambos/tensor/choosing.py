"""Which elements: members of a set, positions that hold, choices of several."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ambos.core.arguments import positive
from ambos.core.dtype import bool_, int64
from ambos.core.errors import ArgumentError, DTypeError, IndexingError, ShapeError
from ambos.core.shape import size_of
from ambos.ops import arithmetic as ops
from ambos.ops import indexing as index_ops
from ambos.ops.scan import cumsum
from ambos.tensor.gather import take, take_along_axis
from ambos.tensor.handle import Tensor, node_of, operand_of, reshaped, shape_of, wrap
from ambos.tensor.joining import stack
from ambos.tensor.movement import cut_axis
from ambos.tensor.names import public
from ambos.tensor.operands import align, convert, scalar
from ambos.tensor.positions import unraveled
from ambos.tensor.searching import nonzero, searchsorted


@public
def argwhere(x: Any) -> Tensor:
    """Positions of elements that are not zero, one row each, in row-major order. Looks at `x`.

    Example:
        >>> import ambos as am
        >>> am.argwhere(am.tensor([[0, 5], [7, 0]])).tolist()
        [[0, 1], [1, 0]]
    """
    found: Tensor = nonzero(x, as_tuple=False)
    return found


@public
def nonzero_static(x: Any, *, size: int, fill_value: int = -1) -> Tensor:
    """The first `size` positions of elements that are not zero, one row each; rows that are left
    hold `fill_value`. Does not look at `x`, so that it may stand in a recorded function.

    Example:
        >>> import ambos as am
        >>> am.nonzero_static(am.tensor([0, 5, 7]), size=3).tolist()
        [[1], [2], [-1]]
    """
    node = node_of(x)
    if size < 0:
        raise ArgumentError(f"nonzero_static: size is {size}; need at least 0")
    if not node.rank or not size or not node.size:
        return wrap(scalar(fill_value, int64, (size, node.rank)))
    mask = reshaped(convert(node, bool_), (node.size,))
    ends = cumsum(convert(mask, int64), attrs=(0, False))
    one, last = scalar(1, int64, ends.shape), scalar(size, int64, ends.shape)
    target = ops.where(mask, ops.minimum(ops.subtract(ends, one), last), last)
    writer = cut_axis(index_ops.last_writer(target, attrs=(0, size + 1)), 0, 0, size)
    nobody = scalar(0, int64, (size,))
    places = ops.maximum(ops.subtract(writer, scalar(1, int64, (size,))), nobody)
    fill = scalar(fill_value, int64, (size,))
    found = [
        wrap(ops.where(ops.greater(writer, nobody), axis, fill))
        for axis in unraveled(places, node.shape)
    ]
    return stack(found, 1)


@public
def unravel_index(indices: Any, shape: Any) -> tuple[Tensor, ...]:
    """Row-major positions in `shape` as one index an axis.

    Errors: IndexingError for positions outside; a tensor of them is looked at.

    Example:
        >>> import ambos as am
        >>> [axis.tolist() for axis in am.unravel_index(am.tensor([5, 0]), (2, 3))]
        [[1, 0], [2, 0]]
    """
    node = node_of(indices)
    sizes = (int(shape),) if isinstance(shape, int) else shape_of("unravel_index", tuple(shape))
    if not node.dtype.is_integer:
        raise DTypeError(f"unravel_index: indices are {node.dtype.name}; need integers: .long()")
    if any(n < 0 for n in sizes):
        raise ShapeError(f"unravel_index: {sizes} has a negative size; need sizes >= 0")
    if node.size:
        low, high = (int(v) for v in wrap(node).aminmax())
        if low < 0 or high >= size_of(sizes):
            raise IndexingError(f"unravel_index: position {low if low < 0 else high} in {sizes}; "
                                f"need 0 <= position < {size_of(sizes)}")  # fmt: skip
    return tuple(wrap(axis) for axis in unraveled(convert(node, int64), sizes))


@public
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Is each element equal to any of `test_elements` (`invert`: to none)? NaN is equal to nothing.

    Example:
        >>> import ambos as am
        >>> am.isin(am.tensor([1, 2, 3]), am.tensor([2, 5])).tolist()
        [False, True, False]
    """
    given, known = operand_of(elements), node_of(operand_of(test_elements))
    known = reshaped(known, (known.size,))
    shape = node_of(given).shape
    if not known.size:
        return wrap(scalar(invert, bool_, shape))
    flat = align("isin", (given, reshaped(cut_axis(known, 0, 0, 1), ())))
    x, dtype = flat[0], flat[0].dtype
    number = x if dtype is not bool_ else convert(x, int64)
    row = index_ops.sort(convert(known, number.dtype), attrs=(known.size, False))
    place = searchsorted(wrap(row), wrap(number)).clip(0, known.size - 1)
    found = index_ops.take(row, place._node, attrs=(0,))
    return wrap((ops.not_equal if invert else ops.equal)(found, number))


@public
def take_along_dim(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Elements along an axis at positions of their own, other axes broadcast; without an axis from
    the flattened tensor (PyTorch's name for `take_along_axis`).

    Example:
        >>> import ambos as am
        >>> x = am.tensor([[30, 10, 20]])
        >>> am.take_along_dim(x, x.argsort(), 1).tolist()
        [[10, 20, 30]]
    """
    index = node_of(indices)
    if axis is None:
        return take_along_axis(x, wrap(reshaped(index, (index.size,))), None)
    return take_along_axis(x, wrap(index), axis)


@public
def combinations(x: Any, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Every choice of `r` elements of a vector, one row each, in the order of itertools.

    Example:
        >>> import ambos as am
        >>> am.combinations(am.tensor([1, 2, 3])).tolist()
        [[1, 2], [1, 3], [2, 3]]
    """
    node = node_of(x)
    if node.rank != 1:
        raise ShapeError(f"combinations: got {node.shape}; need a vector")
    r = positive("combinations: r", r, 0)
    if r == 0:
        return wrap(scalar(0, node.dtype, (0,)))
    if r > node.shape[0] and not with_replacement:
        return wrap(scalar(0, node.dtype, (0, r)))
    if r >= 1 << 30:
        raise ArgumentError(f"combinations: r is {r}; need less than 2**30")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    chosen = list(choose(range(node.shape[0]), r))
    if not chosen:
        return wrap(scalar(0, node.dtype, (0, r)))
    return take(x, wrap(node_of(np.array(chosen, np.int64))), axis=0)


__all__ = [
    "argwhere", "combinations", "isin", "nonzero_static", "take_along_dim", "unravel_index",
]  # fmt: skip
