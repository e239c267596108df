"""Attention of several heads, with the projections in front of it and behind."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.dtype import bool_
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.core.shape import Shape
from ambos.nn.functional.attention import scaled_dot_product_attention
from ambos.nn.functional.dropout import dropout
from ambos.nn.functional.linear import linear
from ambos.nn.functional.shared import as_tensor, real
from ambos.ops.attention import weighted, weights
from ambos.tensor.creation import zeros
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.joining import concat
from ambos.tensor.movement import broadcast_to
from ambos.tensor.padding import pad
from ambos.tensor.pointwise import where

NAME = "multi_head_attention_forward"


def multi_head_attention_forward(
    query: Any, key: Any, value: Any, embed_dim_to_check: int, num_heads: int, in_proj_weight: Any,
    in_proj_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float,
    out_proj_weight: Any, out_proj_bias: Any, training: bool = True, key_padding_mask: Any = None,
    need_weights: bool = True, attn_mask: Any = None, use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None, k_proj_weight: Any = None, v_proj_weight: Any = None,
    static_k: Any = None, static_v: Any = None, average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Queries, keys and values projected, attended to head by head, and the result projected; and
    the weights of attention (as a mean over heads with `average_attn_weights`), or None without
    `need_weights`, which is faster: nothing of the size L * S is stored then.

    `in_proj_weight` holds the three projections one after the other, or they come one by one with
    `use_separate_proj_weight`. `bias_k` and `bias_v` are one more key and value, `add_zero_attn`
    adds one of zeros, `static_k` and `static_v` are taken in place of projected ones. Masks are
    bool (True: left out) or floating (added to the scores). `is_causal` says that `attn_mask` is
    causal. A query that sees no key gives zeros in place of what heads compute.

    Shapes: query (L, N, E), key (S, N, Ek), value (S, N, Ev), or all without N; attn_mask (L, S)
        or (N * num_heads, L, S), key_padding_mask (N, S) or (S,); static ones (N * num_heads, S,
        E / num_heads); results (L, N, E) and (N, L, S) or (N, num_heads, L, S).
    Dtypes: floating, one for all.
    Errors: ShapeError, DTypeError; ArgumentError for heads that do not divide E.
    Source: Vaswani et al. (2017), "Attention is all you need".

    Example:
        >>> import ambos as am
        >>> x, w = am.ones(3, 1, 2), am.eye(2)
        >>> y, share = multi_head_attention_forward(
        ...     x, x, x, 2, 1, am.concat([w, w, w]), None, None, None, False, 0.0, w, None
        ... )
        >>> y.shape, share.shape
        ((3, 1, 2), (1, 3, 3))
    """
    given = [real(NAME, x) for x in (query, key, value)]
    alone = given[0].ndim == 2
    _check(given, embed_dim_to_check, num_heads)
    if is_causal and attn_mask is None:
        raise ArgumentError(f"{NAME}: is_causal without attn_mask; need the mask that it speaks of")
    q, k, v = (x.unsqueeze(1) if alone else x for x in given)
    length, batch, width = q.shape
    separate = (q_proj_weight, k_proj_weight, v_proj_weight)
    packed = None if use_separate_proj_weight else in_proj_weight
    q, k, v = _projected((q, k, v), packed, separate, in_proj_bias, width)
    statics = (static_k, static_v)
    added = _check_added(bias_k, bias_v, statics) + bool(add_zero_attn)
    heads = (batch, num_heads)
    q = _split(q, heads)
    k, v = (
        _keys(role, x, bias, static, heads, add_zero_attn)
        for role, x, bias, static in zip("kv", (k, v), (bias_k, bias_v), statics, strict=True)
    )
    mask = _mask(attn_mask, key_padding_mask, (*heads, length, k.shape[2]), added, q)
    found, share = _attended(q, k, v, mask, dropout_p if training else 0.0, need_weights)
    rows = found.permute(2, 0, 1, 3).reshape(length, batch, width)
    result = linear(rows, out_proj_weight, out_proj_bias)
    if share is not None and average_attn_weights:
        share = share.mean(1)
    if alone:
        result, share = result.squeeze(1), None if share is None else share.squeeze(0)
    return result, share


def _check(given: list[Tensor], width: int, heads: int) -> None:
    q, k, v = (x.shape for x in given)
    if len(q) not in (2, 3) or not len(q) == len(k) == len(v):
        raise ShapeError(f"{NAME}: query {q}, key {k}, value {v}; need three of (length, batch, "
                         "features), or of (length, features)")  # fmt: skip
    if k[:-1] != v[:-1] or q[1:-1] != k[1:-1]:
        raise ShapeError(f"{NAME}: query {q}, key {k}, value {v}; need as many keys as values, and "
                         "one batch")  # fmt: skip
    if q[-1] != width:
        raise ShapeError(f"{NAME}: the query is {q}; need embed_dim_to_check = {width} features")
    if heads < 1 or width % heads:
        raise ArgumentError(f"{NAME}: num_heads is {heads} for {width} features; need a divisor")


def _projected(
    given: tuple[Tensor, ...], packed: Any, separate: tuple[Any, ...], bias: Any, width: int
) -> list[Tensor]:
    """Queries, keys and values, each through its own projection."""
    if packed is None:
        if any(w is None for w in separate):
            raise ArgumentError(f"{NAME}: a projection is missing; need in_proj_weight, or "
                                "q_proj_weight, k_proj_weight and v_proj_weight")  # fmt: skip
        parts = list(separate)
    else:
        parts = _thirds("in_proj_weight", packed, width)
    shifts = [None] * 3 if bias is None else _thirds("in_proj_bias", bias, width)
    return [linear(x, w, b) for x, w, b in zip(given, parts, shifts, strict=True)]


def _thirds(role: str, value: Any, width: int) -> list[Any]:
    whole = as_tensor(value)
    if whole.ndim < 1 or whole.shape[0] != 3 * width:
        raise ShapeError(f"{NAME}: {role} is {whole.shape}; need {3 * width} rows")
    return [whole[i * width : (i + 1) * width] for i in range(3)]


def _split(x: Tensor, heads: Shape) -> Tensor:
    """(length, batch, features) as (batch, heads, length, features / heads)."""
    found: Tensor = x.reshape(x.shape[0], *heads, x.shape[2] // heads[1]).permute(1, 2, 0, 3)
    return found


def _check_added(bias_k: Any, bias_v: Any, statics: tuple[Any, Any]) -> bool:
    """Is a key added that was learnt?"""
    if (bias_k is None) != (bias_v is None):
        raise ArgumentError(f"{NAME}: one of bias_k and bias_v; need both or none")
    if bias_k is not None and any(x is not None for x in statics):
        raise ArgumentError(f"{NAME}: bias_k and bias_v with static keys or values, which nothing "
                            "is added to; need one or the other")  # fmt: skip
    return bias_k is not None


def _keys(role: str, x: Tensor, bias: Any, static: Any, heads: Shape, add_zero: bool) -> Tensor:
    """Keys or values as (batch, heads, S, features / heads), with what is added to them."""
    size = x.shape[2] // heads[1]
    if static is not None:
        x = _static(f"static_{role}", static, (*heads, size))
    else:
        if bias is not None:
            x = concat([x, broadcast_to(bias, (1, *x.shape[1:]))])
        x = _split(x, heads)
    return concat([x, zeros(*heads, 1, size, dtype=x.dtype)], 2) if add_zero else x


def _attended(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rate: float, need_weights: bool
) -> tuple[Tensor, Tensor | None]:
    """What heads find, and the weights that they give, where these are wanted."""
    if not need_weights:
        return scaled_dot_product_attention(q, k, v, mask, rate), None
    full = None if mask is None else broadcast_to(mask, (*q.shape[:3], k.shape[2]))._node
    scale = (1 / math.sqrt(q.shape[3]), False)
    share = dropout(wrap(weights(q._node, k._node, full, scale)), rate)
    return wrap(weighted(share._node, v._node)), share


def _static(role: str, value: Any, shape: Shape) -> Tensor:
    found = real(NAME, value)
    batch, heads, size = shape
    if found.ndim != 3 or (found.shape[0], found.shape[2]) != (batch * heads, size):
        raise ShapeError(f"{NAME}: {role} is {found.shape}; need ({batch * heads}, length, {size})")
    return found.reshape(batch, heads, -1, size)


def _mask(attn: Any, padding: Any, shape: Shape, added: int, like: Tensor) -> Tensor | None:
    """Both masks as one that is added to scores and broadcasts to (batch, heads, L, S). Keys that
    were added are seen by all."""
    batch, heads, length, keys = shape
    parts = []
    if attn is not None:
        mask, own = as_tensor(attn), (length, keys - added)
        if mask.shape not in (own, (batch * heads, *own)):
            raise ShapeError(f"{NAME}: attn_mask is {mask.shape}; need {own} or "
                             f"{(batch * heads, *own)}")  # fmt: skip
        parts.append(mask if mask.ndim == 2 else mask.reshape(batch, heads, *own))
    if padding is not None:
        mask = as_tensor(padding)
        if mask.shape != (batch, keys - added) and (batch != 1 or mask.shape != (keys - added,)):
            raise ShapeError(f"{NAME}: key_padding_mask is {mask.shape}; need "
                             f"{(batch, keys - added)}")  # fmt: skip
        parts.append(mask.reshape(batch, 1, 1, keys - added))
    for mask in parts:
        if mask.dtype not in (bool_, like.dtype):
            raise DTypeError(f"{NAME}: a mask is {mask.dtype.name}; need bool or {like.dtype.name}")
    if not parts:
        return None
    scores = [where(m, -math.inf, 0.0).to(like.dtype) if m.dtype is bool_ else m for m in parts]
    return pad(scores[0] if len(scores) == 1 else scores[0] + scores[1], (0, added))
