"""How far apart vectors are, and how alike their directions.

A distance is computed from the differences, in one pass that stores none of them: near vectors
lose no digits, and a distance has the same bits whatever other rows are asked for beside it.
Gradients of Euclidean ones are matrix products (256 by 256 rows of 64 take 0.4 of the time).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import broadcast, normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import reductions as folds
from ambos.ops.custom import CustomSpec, Rule, custom
from ambos.ops.indexing import take
from ambos.ops.kinds import Grads
from ambos.ops.movement import permute, slice_
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.linear import matmul_nodes
from ambos.tensor.names import public
from ambos.tensor.norms import norm_node
from ambos.tensor.operands import binary, common_dtype, convert, expand_to, floating, scalar
from ambos.tensor.own_rules import ForExamples, is_tracked
from ambos.tensor.reductions import root

MATRIX_MODES = ("use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist",
                "use_mm_for_euclid_dist_if_necessary")  # fmt: skip


def _pair(x: Any, y: Any) -> tuple[Node, Node]:
    """Two operands of one floating dtype."""
    a, b = node_of(x), node_of(y)
    dtype = floating(convert(a, common_dtype((a, b)))).dtype
    return convert(a, dtype), convert(b, dtype)


@public
def pairwise_distance(
    x: Any, y: Any, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False
) -> Tensor:
    """The norm of order p of x - y + eps over the last axis.

    Shapes: x and y (..., M), which broadcast; the result (...), or (..., 1) with keepdims.
    Errors: ShapeError where they do not broadcast.

    Example:
        >>> import ambos as am
        >>> am.pairwise_distance(am.tensor([3.0, 4.0]), am.zeros(2), eps=0.0).item()
        5.0
    """
    a, b = _pair(x, y)
    if max(a.rank, b.rank) == 0:
        raise ShapeError("pairwise_distance: both are scalars; need vectors")
    away = binary(ops.subtract, convert(a, a.dtype.compute), convert(b, b.dtype.compute))
    if eps:
        away = binary(ops.add, away, float(eps))
    found = convert(norm_node(away, float(p), away.rank - 1, False), a.dtype)
    return wrap(reshaped(found, (*found.shape, 1)) if keepdims else found)


@public
def cdist(
    x: Any, y: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary"
) -> Tensor:
    """The distance of order p between each row of `x` and each row of `y`.

    Euclidean distances go through a matrix product (fast, but near rows lose digits) only where
    `compute_mode="use_mm_for_euclid_dist"` says so; PyTorch's other modes are accepted and
    computed from differences. Gradients of Euclidean distances are matrix products: they lose the
    digits by which near rows are farther from others than from each other.

    Shapes: x (..., P, M), y (..., R, M), whose leading axes broadcast; the result (..., P, R).
    Errors: ShapeError, DTypeError; ArgumentError for a negative p.

    Example:
        >>> import ambos as am
        >>> am.cdist(am.tensor([[0.0, 0.0]]), am.tensor([[3.0, 4.0], [1.0, 0.0]])).tolist()
        [[5.0, 1.0]]
    """
    a, b = node_of(x), node_of(y)
    if not (a.dtype.is_floating and b.dtype.is_floating):
        raise DTypeError(f"cdist: got {a.dtype.name} and {b.dtype.name}; need floating dtypes: use "
                         "x.float()")  # fmt: skip
    a, b = _pair(x, y)
    if min(a.rank, b.rank) < 2 or a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"cdist: got {a.shape} and {b.shape}; need (..., P, M) and (..., R, M)")
    if not p >= 0:
        raise ArgumentError(f"cdist: p is {p}; need at least 0")
    if compute_mode not in MATRIX_MODES:
        raise ArgumentError(f"cdist: compute_mode is {compute_mode!r}; need one of "
                            f"{', '.join(MATRIX_MODES)}")  # fmt: skip
    lead = broadcast("cdist", a.shape[:-2], b.shape[:-2])
    dtype = a.dtype
    a, b = (convert(v, dtype.compute) for v in (a, b))
    if p == 2 and compute_mode == MATRIX_MODES[0]:
        return wrap(convert(_by_product(a, b), dtype))
    a, b = (expand_to(v, (*lead, *v.shape[-2:])) for v in (a, b))
    if a.shape[-1] == 0:
        return wrap(scalar(0, dtype, (*lead, a.shape[-2], b.shape[-2])))
    found = norm_node(_differences(a, b), float(p), a.rank, False)
    if p == 2 and is_tracked((a, b)):
        (found,) = custom.parts(found, a, b, spec=EUCLIDEAN)
    return wrap(convert(found, dtype))


def _differences(a: Node, b: Node) -> Node:
    """(..., P, R, M) of (..., P, M) and (..., R, M)."""
    shape = (*a.shape[:-1], *b.shape[-2:])
    left = reshaped(a, (*a.shape[:-1], 1, a.shape[-1]))
    right = reshaped(b, (*b.shape[:-2], 1, *b.shape[-2:]))
    return ops.subtract(expand_to(left, shape), expand_to(right, shape))


class Euclidean:
    """The derivatives of Euclidean distances between rows. What comes to a row is a sum of its
    differences from the others, each weighed by one number: the row times the sum of the weights,
    less the others' sum."""

    is_spent = False

    def pull_back(
        self, operands: Sequence[Node], given: Sequence[Node | None], needed: Sequence[bool],
        results: Sequence[Node],
    ) -> Grads:  # fmt: skip
        (a, b), (distance,), (g,) = operands, results, given
        assert g is not None, "it has one result"
        weight = _over(g, distance)
        turned = _transposed(weight)
        return (
            _drawn(a, b, weight) if needed[0] else None,
            _drawn(b, a, turned) if needed[1] else None,
        )

    def push_forward(
        self, operands: Sequence[Node], given: Sequence[Node | None], results: Sequence[Node]
    ) -> Sequence[Node | None]:
        a, b = operands
        left, right = (scalar(0, v.dtype, v.shape) if t is None else t
                       for v, t in zip(operands, given, strict=True))  # fmt: skip
        along = ops.multiply(_differences(a, b), _differences(left, right))
        return (_over(folds.sum_(along, attrs=((a.rank,),)), results[0]),)

    def for_examples(self, which: Sequence[bool], operands: Sequence[Node], size: int) -> Rule:
        return ForExamples(self, which, size, self.is_spent)


EUCLIDEAN = CustomSpec(1, Euclidean())


def _over(value: Node, distance: Node) -> Node:
    """value / distance; 0 where rows are equal, which is where a distance has no slope."""
    zero = scalar(0, distance.dtype, distance.shape)
    same = ops.equal(distance, zero)
    safe = ops.where(same, scalar(1, distance.dtype, distance.shape), distance)
    return ops.where(same, zero, ops.divide(value, safe))


def _drawn(a: Node, b: Node, weight: Node) -> Node:
    """The sum over j of weight[i, j] (a[i] - b[j]). Both are taken from b[0] first: what all rows
    are away from zero costs no digits, and a row's sum has the bits that it has alone."""
    if b.shape[-2]:
        stop = (*b.shape[:-2], 1, b.shape[-1])
        origin = slice_(b, attrs=((0,) * b.rank, stop, (1,) * b.rank))
        a, b = (ops.subtract(v, expand_to(origin, v.shape)) for v in (a, b))
    total = folds.sum_(weight, attrs=((weight.rank - 1,),))
    whole = expand_to(reshaped(total, (*total.shape, 1)), a.shape)
    return ops.subtract(ops.multiply(a, whole), matmul_nodes(weight, b))


def _transposed(node: Node) -> Node:
    return permute(node, attrs=((*range(node.rank - 2), node.rank - 1, node.rank - 2),))


def _by_product(a: Node, b: Node) -> Node:
    """sqrt(|a|^2 + |b|^2 - 2 a.b), of which rounding errors may not make a negative."""
    across = matmul_nodes(a, _transposed(b))
    squares = [folds.sum_(ops.multiply(v, v), attrs=((v.rank - 1,),)) for v in (a, b)]
    left, right = (
        expand_to(reshaped(s, (*s.shape[:-1], *end)), across.shape)
        for s, end in zip(squares, ((a.shape[-2], 1), (1, b.shape[-2])), strict=True)
    )
    total = ops.subtract(ops.add(left, right), binary(ops.multiply, across, 2.0))
    zero = scalar(0, total.dtype, total.shape)
    return root(ops.where(ops.less(total, zero), zero, total))


@public
def pdist(x: Any, p: float = 2.0) -> Tensor:
    """The distance of order p between each row and those after it, in order, as a vector.

    Shapes: (N, M) gives (N (N - 1) / 2,).
    Errors: ShapeError, DTypeError; ArgumentError for a negative p.

    Example:
        >>> import ambos as am
        >>> am.pdist(am.tensor([[0.0], [1.0], [3.0]])).tolist()
        [1.0, 3.0, 2.0]
    """
    node = node_of(x)
    if node.rank != 2:
        raise ShapeError(f"pdist: got {node.shape}; need rows (N, M)")
    count = node.shape[0]
    every = cdist(x, x, p)._node
    places = np.ravel_multi_index(np.triu_indices(count, 1), (count, count))
    flat = reshaped(every, (count * count,))
    return wrap(take(flat, node_of(places.astype(np.int64)), attrs=(0,)))


@public
def cosine_similarity(x: Any, y: Any, axis: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along an axis; their lengths count as at least eps.

    Shapes: x and y broadcast; the axis disappears.
    Errors: ShapeError where they do not broadcast, ArgumentError for an axis that they lack.

    Example:
        >>> import ambos as am
        >>> am.cosine_similarity(am.tensor([[3.0, 4.0]]), am.tensor([[4.0, 3.0]])).numpy().round(3)
        array([0.96], dtype=float32)
    """
    a, b = _pair(x, y)
    shape, dtype = broadcast("cosine_similarity", a.shape, b.shape), a.dtype
    a, b = (expand_to(convert(v, dtype.compute), shape) for v in (a, b))
    if not shape:
        a, b, shape = reshaped(a, (1,)), reshaped(b, (1,)), (1,)
    at = normalize_axis("cosine_similarity", axis, len(shape))
    inner, *squares = (
        folds.sum_(ops.multiply(u, v), attrs=((at,),)) for u, v in ((a, b), (a, a), (b, b))
    )
    bounds = [_at_least(root(square), eps) for square in squares]
    return wrap(convert(ops.divide(inner, ops.multiply(*bounds)), dtype))


def _at_least(node: Node, bound: float) -> Node:
    low = scalar(bound, node.dtype, node.shape)
    return ops.where(ops.less(node, low), low, node)


__all__ = ["cdist", "cosine_similarity", "pairwise_distance", "pdist"]
