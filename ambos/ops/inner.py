"""Contractions in which nothing is read twice: inner products and products without a sum.

A contraction's kernel earns its keep where rows of one operand meet columns of the other. Where
every label of the result is in both operands (`i,i->`, `bi,bi->b`), or none is summed
(`i,j->ij`), these are by definition a product and a sum, in the order of `sum`: kernels of a
reduction visit every element once, in vectors and over work items. The rule looks at labels only,
never at their sizes, so no bit depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence

from ambos.graph.node import Node
from ambos.ops.arithmetic import cast, multiply
from ambos.ops.contraction import Label, Spec, is_inner
from ambos.ops.movement import expand, permute, reshape
from ambos.ops.reductions import sum_


def inner_product(node: Node) -> Node | None:
    """A contraction without both rows and columns, or without a sum, as a product (and a sum).
    Half precisions are multiplied and added in float32, and rounded once."""
    spec: Spec = node.attrs[0]
    if not is_inner(spec):
        return None
    order = (*spec.out, *spec.contracted)
    a, b = (
        spread(x if x.dtype is x.dtype.compute else cast(x, attrs=(x.dtype.compute,)), labels,
                order, spec.sizes())
        for x, labels in zip(node.inputs, (spec.a_labels, spec.b), strict=True)
    )  # fmt: skip
    result = multiply(a, b)
    if spec.contracted:
        result = sum_(result, attrs=(tuple(range(len(spec.out), len(order))),))
    return result if result.dtype is node.dtype else cast(result, attrs=(node.dtype,))


def spread(
    x: Node, labels: Sequence[Label], order: Sequence[Label], sizes: dict[Label, int]
) -> Node:
    """`x` with one axis for each label of `order`; those that it lacks repeat it."""
    moved = tuple(labels.index(label) for label in order if label in labels)
    if moved != tuple(range(x.rank)):
        x = permute(x, attrs=(moved,))
    single = tuple(sizes[n] if n in labels else 1 for n in order)
    x = x if x.shape == single else reshape(x, attrs=(single,))
    shape = tuple(sizes[n] for n in order)
    return x if x.shape == shape else expand(x, attrs=(shape,))
