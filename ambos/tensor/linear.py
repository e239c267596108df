"""Products with sums: matmul and its relatives, as contractions over labels."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape, agree, broadcast, normalize_axes
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops.contraction import Spec, contract, make_spec, plain
from ambos.ops.movement import permute
from ambos.ops.reductions import sum_
from ambos.tensor.einsum import contract_all
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import binary, common_dtype, convert, expand_to
from ambos.tensor.parts import conjugate_node


def _pair(x: Any, y: Any) -> tuple[Node, Node]:
    """Two operands of one dtype."""
    a, b = node_of(x), node_of(y)
    dtype = common_dtype((a, b))
    return convert(a, dtype), convert(b, dtype)


@public
def matmul(x: Any, y: Any) -> Tensor:
    """Matrix product over the last axis of `x` and the last but one of `y`; leading axes
    broadcast; vectors are rows on the left and columns on the right.

    Shapes: (..., m, k) @ (..., k, n) -> (..., m, n).
    Errors: ShapeError when the inner sizes differ or leading axes do not broadcast.

    Example:
        >>> import ambos as am
        >>> (am.ones(2, 3) @ am.ones(3, 4)).shape
        (2, 4)
    """
    return wrap(matmul_nodes(*_pair(x, y)))


def matmul_nodes(a: Node, b: Node) -> Node:
    """The product of two nodes of one dtype."""
    if a.rank == 0 or b.rank == 0:
        raise ShapeError(f"matmul: got shapes {a.shape} and {b.shape}; need at least one "
                         "dimension each: use * with scalars")  # fmt: skip
    if not agree(a.shape[-1], b.shape[-2] if b.rank > 1 else b.shape[0]):
        raise ShapeError(_mismatch(a, b))
    left, right, spec, shape = _plan(a.shape, b.shape)
    return reshaped(contract(reshaped(a, left), reshaped(b, right), attrs=(spec,)), shape)


@lru_cache(maxsize=4096)
def _plan(a: Shape, b: Shape) -> tuple[Shape, Shape, Spec, Shape]:
    """How shapes multiply: the operands' without broadcast axes, the contraction, the result's."""
    left = [] if len(a) == 1 else ["m"]
    right = [] if len(b) == 1 else ["n"]
    shape = broadcast("matmul", a[:-2], b[:-2])
    sizes = {"k": a[-1], "m": a[-2] if left else 1, "n": b[-1] if right else 1}
    labels = [f"b{i}" for i in range(len(shape))]
    sizes |= dict(zip(labels, shape, strict=True))
    # Broadcast axes of size 1 carry no label: nothing is repeated in memory.
    a_shape, a_batch = _drop_single(a, len(a) - 1 - len(left), labels)
    b_shape, b_batch = _drop_single(b, len(b) - 1 - len(right), labels)
    present = [label for label in labels if label in a_batch or label in b_batch]
    spec = make_spec(
        plain([*a_batch, *left, "k"]), [*b_batch, "k", *right], [*present, *left, *right], ["k"],
        sizes,
    )  # fmt: skip
    return a_shape, b_shape, spec, (*shape, *(sizes[label] for label in (*left, *right)))


def _drop_single(shape: Shape, count: int, labels: list[str]) -> tuple[Shape, list[str]]:
    """`shape` without leading axes of size 1, and the labels of those that are left."""
    used = labels[len(labels) - count :]
    kept = [i for i in range(count) if shape[i] != 1]
    return (*(shape[i] for i in kept), *shape[count:]), [used[i] for i in kept]


def _mismatch(a: Node, b: Node) -> str:
    if b.rank == 1:
        return (f"matmul: inner sizes differ: a {a.shape}, b {b.shape}; need a.shape[-1] == "
                "b.shape[0]")  # fmt: skip
    message = (
        f"matmul: inner sizes differ: a {a.shape}, b {b.shape}; need a.shape[-1] == b.shape[-2]"
    )
    if a.shape[-1] == b.shape[-1]:
        return f"{message}. Did you mean b.{'T' if b.rank == 2 else 'mT'}?"
    if a.rank > 1 and a.shape[-2] == b.shape[-2]:
        return f"{message}. Did you mean a.{'T' if a.rank == 2 else 'mT'}?"
    return message


def _ranked(op: str, node: Node, rank: int) -> Node:
    if node.rank != rank:
        words = {1: "a vector", 2: "a matrix", 3: "a batch of matrices (three dimensions)"}
        raise ShapeError(f"{op}: got {node.shape}; need {words[rank]}")
    return node


@public
def mm(x: Any, y: Any) -> Tensor:
    """Product of two matrices."""
    a, b = _pair(x, y)
    return wrap(matmul_nodes(_ranked("mm", a, 2), _ranked("mm", b, 2)))


@public
def bmm(x: Any, y: Any) -> Tensor:
    """Products of two batches of matrices."""
    a, b = _pair(x, y)
    return wrap(matmul_nodes(_ranked("bmm", a, 3), _ranked("bmm", b, 3)))


@public
def mv(x: Any, y: Any) -> Tensor:
    """Matrix times vector."""
    a, b = _pair(x, y)
    return wrap(matmul_nodes(_ranked("mv", a, 2), _ranked("mv", b, 1)))


@public
def dot(x: Any, y: Any) -> Tensor:
    """Inner product of vectors; with more dimensions NumPy's dot."""
    a, b = _pair(x, y)
    if a.rank == 0 or b.rank == 0:
        return wrap(binary(ops.multiply, a, b))
    if a.rank <= 1 or b.rank <= 2:
        return wrap(matmul_nodes(a, b))
    return tensordot(wrap(a), wrap(b), ([-1], [-2]))


@public
def vdot(x: Any, y: Any) -> Tensor:
    """Inner product of two tensors, flattened; of complex ones the first is conjugated."""
    a, b = _pair(x, y)
    a = conjugate_node(a)
    return dot(wrap(reshaped(a, (a.size,))), wrap(reshaped(b, (b.size,))))


@public
def vecdot(x: Any, y: Any, axis: int = -1) -> Tensor:
    """Inner products along an axis; of complex operands the first is conjugated.

    Errors: ShapeError where the operands' sizes differ there: that axis is not broadcast.
    """
    a, b = _pair(x, y)
    product = binary(ops.multiply, conjugate_node(a), b)
    axes = normalize_axes("vecdot", axis, product.rank)
    for at in axes:
        sizes = [((1,) * (product.rank - n.rank) + n.shape)[at] for n in (a, b)]
        if sizes[0] != sizes[1]:
            raise ShapeError(f"vecdot: {a.shape} and {b.shape} along axis {axis}; need equal sizes "
                             "there: expand one of them first")  # fmt: skip
    return wrap(sum_(product, attrs=(axes,)))


@public
def outer(x: Any, y: Any) -> Tensor:
    """Products of every element of `x` with every element of `y` (both flattened)."""
    a, b = _pair(x, y)
    shape = (a.size, b.size)
    left = expand_to(reshaped(a, (a.size, 1)), shape)
    return wrap(ops.multiply(left, expand_to(reshaped(b, (1, b.size)), shape)))


@public
def tensordot(x: Any, y: Any, axes: Any = 2) -> Tensor:
    """Products summed over axes: the last n of `x` with the first n of `y`, or two lists of axes.

    Example:
        >>> import ambos as am
        >>> am.tensordot(am.ones(2, 3, 4), am.ones(4, 3, 5), ([1, 2], [1, 0])).shape
        (2, 5)
    """
    a, b = _pair(x, y)
    if isinstance(axes, int):
        left, right = list(range(a.rank - axes, a.rank)), list(range(axes))
    else:
        left, right = (
            [v % n.rank for v in ([part] if isinstance(part, int) else part)]
            for part, n in zip(axes, (a, b), strict=True)
        )
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ShapeError(f"tensordot: axes {left} of {a.shape} and {right} of {b.shape} differ in "
                         "size; need equal sizes")  # fmt: skip
    rest_a = [i for i in range(a.rank) if i not in left]
    rest_b = [i for i in range(b.rank) if i not in right]
    inner = math.prod(a.shape[i] for i in left)
    rows, columns = [a.shape[i] for i in rest_a], [b.shape[i] for i in rest_b]
    a_matrix = reshaped(_permuted(a, (*rest_a, *left)), (math.prod(rows), inner))
    b_matrix = reshaped(_permuted(b, (*right, *rest_b)), (inner, math.prod(columns)))
    return wrap(reshaped(matmul_nodes(a_matrix, b_matrix), (*rows, *columns)))


def _permuted(node: Node, axes: tuple[int, ...]) -> Node:
    return node if axes == tuple(range(node.rank)) else permute(node, attrs=(axes,))


@public
def einsum(equation: str, *operands: Any) -> Tensor:
    """Einstein's summation: products of operands, summed over labels that the result lacks.

    Example:
        >>> import ambos as am
        >>> am.einsum("bij,bjk->bik", am.ones(2, 3, 4), am.ones(2, 4, 5)).shape
        (2, 3, 5)
    """
    arrays = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else (
        operands
    )  # fmt: skip
    if not isinstance(equation, str):
        raise ArgumentError(f"einsum: the equation is {type(equation).__name__}; need a string "
                            "such as 'ij,jk->ik'")  # fmt: skip
    nodes = [node_of(a) for a in arrays]
    if not nodes:
        raise ArgumentError("einsum: got no operands; need at least one")
    dtype = common_dtype(tuple(nodes))
    return wrap(contract_all(equation, [convert(n, dtype) for n in nodes]))


__all__ = [
    "bmm", "dot", "einsum", "matmul", "mm", "mv", "outer", "tensordot",
    "vdot", "vecdot",
]  # fmt: skip
