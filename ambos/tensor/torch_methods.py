"""Methods with PyTorch's meaning where the function of the same name has the Array API's."""

from __future__ import annotations

from collections.abc import Iterable

from ambos.core.shape import normalize_axes
from ambos.tensor import reductions
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.movement import without_ones
from ambos.tensor.names import public
from ambos.tensor.reductions import Axis, freedom


@public
def squeeze(x: Tensor, axis: int | Iterable[int] | None = None) -> Tensor:
    """Without axes of size 1 (all of them, or those named); named axes of other sizes stay."""
    node = x._node
    if axis is not None and node.rank == 0:
        return wrap(node)
    return wrap(without_ones(node, normalize_axes("squeeze", axis, node.rank)))


@public
def var(
    x: Tensor, axis: Axis = None, correction: float | None = None, keepdims: bool = False,
    unbiased: bool | None = None,
) -> Tensor:  # fmt: skip
    """Variance over axes; `correction` (1 by default) is taken off the count. `unbiased=False` is
    correction 0."""
    return reductions.var(x, *freedom("var", axis, correction, unbiased), keepdims)


@public
def std(
    x: Tensor, axis: Axis = None, correction: float | None = None, keepdims: bool = False,
    unbiased: bool | None = None,
) -> Tensor:  # fmt: skip
    """Standard deviation over axes; see `var` for `correction`."""
    return reductions.std(x, *freedom("std", axis, correction, unbiased), keepdims)
