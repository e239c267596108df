"""Weighted sums of a few elements along an axis: what resizing an image is, one axis at a time.

A sparse matrix times the axis, given by rows. Its transpose is given as well, by rows, so that the
gradient gathers like the result does: nothing is scattered, and lanes lie along memory.
"""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import DType, int64
from ambos.core.errors import DTypeError, ShapeError
from ambos.core.shape import Shape
from ambos.graph.node import Attrs, Node
from ambos.ops.arithmetic import cast, multiply
from ambos.ops.indexing import take
from ambos.ops.kinds import Grads, Op
from ambos.ops.movement import expand, reshape
from ambos.ops.reductions import sum_


class Blend(Op):
    """Element o along an axis is the sum over t of weight[t, o] * x[index[t, o]]; attrs: (axis,).
    Inputs: x, index, weight, and index and weight of the transposed map, from the result to x.
    Indices are constants within the axis, and weights are constants: they get no gradient."""

    kind, accepts, linear = "blend", "f", (0,)

    def ref(np: Any, x: Any, index: Any, weight: Any, back: Any, factor: Any, axis: int) -> Any:
        picked = np.take(x, index, axis)
        single = [1] * axis + list(weight.shape) + [1] * (x.ndim - axis - 1)
        return np.sum(picked * weight.reshape(single), axis, dtype=x.dtype)

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]:
        (x, index, weight, back, factor), (axis,) = inputs, attrs
        if not 0 <= axis < x.rank or index.rank != 2 or back.rank != 2:
            raise ShapeError(f"blend: axis {axis} of {x.shape}, indices {index.shape} and "
                             f"{back.shape}; need an axis of x, and (taps, elements)")  # fmt: skip
        if (index.shape, back.shape) != (weight.shape, factor.shape) or (
            back.shape[1] != x.shape[axis]
        ):
            raise ShapeError(f"blend: weights {weight.shape} and {factor.shape} for indices "
                             f"{index.shape} and {back.shape}; need one each, and the transpose "
                             f"of an axis of {x.shape[axis]}")  # fmt: skip
        if {index.dtype, back.dtype} != {int64} or {weight.dtype, factor.dtype} != {x.dtype}:
            names = [node.dtype.name for node in inputs]
            raise DTypeError(f"blend: got {names}; need indices in int64 and the rest in one "
                             "dtype")  # fmt: skip
        return (*x.shape[:axis], index.shape[1], *x.shape[axis + 1 :]), x.dtype

    def vjp(self, node: Node, g: Node) -> Grads:
        _, index, weight, back, factor = node.inputs
        return blend(g, back, factor, index, weight, attrs=node.attrs), None, None, None, None


def gathered(node: Node) -> Node:
    """A blend in terms of reads at computed places, which any loop may hold. Half precisions are
    multiplied and added in float32, and rounded once."""
    (x, index, weight, *_), (axis,) = node.inputs, node.attrs
    compute = x.dtype.compute
    picked, factor = _as(take(x, index, attrs=(axis,)), compute), _as(weight, compute)
    single = (*(1 for _ in x.shape[:axis]), *index.shape, *(1 for _ in x.shape[axis + 1 :]))
    product = multiply(picked, expand(reshape(factor, attrs=(single,)), attrs=(picked.shape,)))
    if index.shape[0] == 1:
        return _as(reshape(product, attrs=(node.shape,)), node.dtype)
    return _as(sum_(product, attrs=((axis,),)), node.dtype)


def _as(x: Node, dtype: DType) -> Node:
    return x if x.dtype is dtype else cast(x, attrs=(dtype,))


blend = Blend()
