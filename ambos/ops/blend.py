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
from ambos.ops.indexing import element_wise, gather, take
from ambos.ops.kinds import Grads, Op, for_each
from ambos.ops.movement import detach, expand, reshape
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

    def batch(
        self, node: Node, inputs: tuple[Node, ...], batched: tuple[bool, ...], size: int
    ) -> Node:
        (axis,) = node.attrs
        if not any(batched[1:]):
            return blend(*inputs, attrs=(axis + 1,))
        x, index, weight, *_ = for_each(inputs, batched, size)
        _, taps, count = index.shape
        outer, inner = x.shape[: axis + 1], x.shape[axis + 2 :]
        shape = (*outer, taps * count, *inner)
        picked = gather(x, element_wise(index, shape, axis + 1), attrs=(axis + 1,))
        factor = element_wise(_as(detach(weight), x.dtype.compute), shape, axis + 1)
        parts = (*outer, taps, count, *inner)
        picked, factor = (reshape(part, attrs=(parts,)) for part in (picked, factor))
        return _total(picked, factor, axis + 1)

    def vjp(self, node: Node, g: Node) -> Grads:
        _, index, weight, back, factor = node.inputs
        return blend(g, back, factor, index, weight, attrs=node.attrs), None, None, None, None


def gathered(node: Node) -> Node:
    """A blend in terms of reads at computed places, which any loop may hold."""
    (x, index, weight, *_), (axis,) = node.inputs, node.attrs
    picked = take(x, index, attrs=(axis,))
    single = (*(1 for _ in x.shape[:axis]), *index.shape, *(1 for _ in x.shape[axis + 1 :]))
    factor = reshape(_as(weight, x.dtype.compute), attrs=(single,))
    return _total(picked, expand(factor, attrs=(picked.shape,)), axis)


def _total(picked: Node, factor: Node, axis: int) -> Node:
    """The sum of the products along `axis`. Half precisions are multiplied and added in float32,
    and rounded once."""
    product = multiply(_as(picked, factor.dtype), factor)
    if picked.shape[axis] == 1:
        rest = (*picked.shape[:axis], *picked.shape[axis + 1 :])
        return _as(reshape(product, attrs=(rest,)), picked.dtype)
    return _as(sum_(product, attrs=((axis,),)), picked.dtype)


def _as(x: Node, dtype: DType) -> Node:
    return x if x.dtype is dtype else cast(x, attrs=(dtype,))


blend = Blend()
