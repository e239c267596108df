"""How far apart vectors are, and how alike their directions.

A distance is computed from the differences, in one pass that stores none of them: near vectors
lose no digits, and a distance has the same bits whatever other rows are asked for beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import broadcast, normalize_axis
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import reductions as folds
from ambos.ops.indexing import take
from ambos.tensor.handle import Tensor, node_of, reshaped, wrap
from ambos.tensor.linear import matmul_nodes
from ambos.tensor.movement import permute_dims
from ambos.tensor.names import public
from ambos.tensor.norms import norm_node
from ambos.tensor.operands import binary, common_dtype, convert, expand_to, floating, scalar
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
    computed from differences.

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
    rows, columns, width = a.shape[-2], b.shape[-2], a.shape[-1]
    shape = (*lead, rows, columns, width)
    left = expand_to(reshaped(a, (*a.shape[:-1], 1, width)), shape)
    right = expand_to(reshaped(b, (*b.shape[:-2], 1, columns, width)), shape)
    if width == 0:
        return wrap(scalar(0, dtype, shape[:-1]))
    away = ops.subtract(left, right)
    return wrap(convert(norm_node(away, float(p), len(shape) - 1, False), dtype))


def _by_product(a: Node, b: Node) -> Node:
    """sqrt(|a|^2 + |b|^2 - 2 a.b), of which rounding errors may not make a negative."""
    across = matmul_nodes(a, permute_dims(wrap(b), [*range(b.rank - 2), b.rank - 1,
                                                    b.rank - 2])._node)  # fmt: skip
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
