"""Scaled dot-product attention."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.arguments import share
from ambos.core.dtype import bool_
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import Shape, agree, broadcast, size_of
from ambos.graph.node import Node
from ambos.nn.functional.dropout import dropout
from ambos.nn.functional.shared import nodes, same_dtype
from ambos.ops.arithmetic import multiply, where
from ambos.ops.attention import attention, weighted, weights
from ambos.ops.kinds import constant, constant_like
from ambos.ops.movement import reshape
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.operands import expand_to

NAME = "scaled_dot_product_attention"
SMALLEST = 2.0**-100  # scale: it must not vanish in float32, since 0 times infinity is not a number


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """softmax(query @ key.T * scale + mask) @ value, without storing the matrix of scores.

    `attn_mask` is bool (True: the key takes part) or floating (added to the scaled scores). With
    `is_causal` query i sees keys 0 to i. `scale` defaults to 1/sqrt(E). With `enable_gqa` each
    head of keys and values serves a run of neighbouring heads of queries. A query that sees no key
    gives zeros. Weights are dropped with probability `dropout_p`, in training or not; then, and
    where gradients of gradients are recorded, the matrix is stored.

    Shapes: query (..., H, L, E), key (..., H, S, E), value (..., H, S, Ev); the mask broadcasts to
        (..., H, L, S); the result is (..., H, L, Ev).
    Dtypes: floating, one for all; half precisions are computed in float32.
    Errors: ShapeError, DTypeError; ArgumentError for a mask together with is_causal.
    Source: Vaswani et al. (2017), "Attention is all you need"; Dao et al. (2022), "FlashAttention".

    Example:
        >>> import ambos as am
        >>> x = am.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> scaled_dot_product_attention(x, x, x, is_causal=True).numpy().round(3)
        array([[1.  , 0.  ],
               [0.33, 0.67]], dtype=float32)
    """
    q, k, v = nodes(query, key, value)
    same_dtype(NAME, q, key=k, value=v)
    if attn_mask is not None and is_causal:
        raise ArgumentError(f"{NAME}: got attn_mask and is_causal=True; need one of them: "
                            "put the causal part into the mask")  # fmt: skip
    lead, kept = _lead(q, k, v, enable_gqa)
    queries, keys = q.shape[-2], k.shape[-2]
    mask = None if attn_mask is None else _mask(attn_mask, q, (*lead, queries, keys))
    factor = 1 / math.sqrt(q.shape[-1] or 1) if scale is None else float(scale)
    if not factor > SMALLEST:  # the kernels look for the largest score before they scale
        q, factor = multiply(q, constant_like(q, factor)), 1.0
    q = _matrices(q, lead)
    k, v = _matrices(k, kept), _matrices(v, kept)
    masks = () if mask is None else (_matrices(mask, lead),)
    if share(f"{NAME}: dropout_p", dropout_p):
        p = wrap(weights(q, k, masks[0] if masks else None, (factor, is_causal)))
        result = weighted(dropout(p, dropout_p)._node, v)
    else:
        result = attention(q, k, v, *masks, attrs=(factor, is_causal))
    return wrap(_reshaped(result, (*lead, queries, v.shape[-1])))


def _lead(q: Node, k: Node, v: Node, grouped: bool) -> tuple[Shape, Shape]:
    """The leading dimensions of the queries, and those of keys and values, after broadcasting."""
    shapes = f"query {q.shape}, key {k.shape}, value {v.shape}"
    if min(q.rank, k.rank, v.rank) < 2 or q.shape[-1] != k.shape[-1]:
        raise ShapeError(f"{NAME}: {shapes}; need (..., L, E), (..., S, E) and (..., S, Ev)")
    if not agree(k.shape[-2], v.shape[-2]):
        raise ShapeError(f"{NAME}: {shapes}; need as many keys as values: "
                         "key.shape[-2] == value.shape[-2]")  # fmt: skip
    if not grouped:
        heads = [x.shape[-3] for x in (q, k) if x.rank > 2]
        fix = "; use enable_gqa=True where heads of queries share one of keys"
        try:
            lead = broadcast(NAME, q.shape[:-2], k.shape[:-2], v.shape[:-2])
        except ShapeError:
            hint = fix if len(heads) == 2 and heads[1] and heads[0] % heads[1] == 0 else ""
            raise ShapeError(f"{NAME}: {shapes}; need leading dimensions that "
                             f"broadcast{hint}") from None  # fmt: skip
        return lead, lead
    if min(q.rank, k.rank, v.rank) < 3:
        raise ShapeError(f"{NAME}: {shapes}; enable_gqa needs heads: (..., H, L, E)")
    count, shared = q.shape[-3], k.shape[-3]
    if v.shape[-3] != shared or shared == 0 or count % shared:
        raise ShapeError(f"{NAME}: {shapes}; enable_gqa needs as many heads of keys as of values, "
                         "and a multiple of them for queries")  # fmt: skip
    lead = broadcast(NAME, q.shape[:-3], k.shape[:-3], v.shape[:-3])
    return (*lead, count), (*lead, shared)


def _mask(given: Any, q: Node, shape: Shape) -> Node:
    """What is added to the scores, expanded to `shape`."""
    (mask,) = nodes(given)
    if mask.dtype is bool_:
        zeros = constant(0, q.dtype, mask.shape)
        mask = where(mask, zeros, constant_like(zeros, -math.inf))
    if mask.dtype is not q.dtype:
        raise DTypeError(f"{NAME}: attn_mask is {mask.dtype.name}; need bool or "
                         f"{q.dtype.name}: use attn_mask.to(query.dtype)")  # fmt: skip
    missing = len(shape) - mask.rank
    padded = (1,) * missing + mask.shape
    if missing < 0 or any(n not in (1, full) for n, full in zip(padded, shape, strict=True)):
        raise ShapeError(f"{NAME}: attn_mask is {mask.shape}; need a shape that broadcasts to "
                         f"{shape}")  # fmt: skip
    return expand_to(mask, shape)


def _matrices(x: Node, lead: Shape) -> Node:
    """`x` as (batch, heads, rows, columns)."""
    x = expand_to(x, (*lead, *x.shape[-2:]))
    heads = lead[-1] if lead else 1
    return _reshaped(x, (size_of(lead[:-1]), heads, *x.shape[-2:]))


def _reshaped(x: Node, shape: Shape) -> Node:
    return x if x.shape == shape else reshape(x, attrs=(shape,))
