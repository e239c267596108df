"""Multi-head attention as a layer."""

from __future__ import annotations

from typing import Any

from ambos.core.arguments import flag, positive, share
from ambos.core.errors import ArgumentError
from ambos.nn import functional as F
from ambos.nn import init
from ambos.nn.functional.shared import as_tensor
from ambos.nn.linear import Linear
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter, unset
from ambos.tensor.handle import Tensor


class MultiheadAttention(Module):
    """Attention of queries to keys and values, in several heads side by side.

    Shapes: query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim), all without N or, with
        `batch_first`, N first; to (L, N, embed_dim) and the weights (N, L, S), which are None
        without `need_weights` and (N, heads, L, S) without `average_attn_weights`.
    Errors: ShapeError where an input or mask does not fit; ArgumentError.
    Source: Vaswani et al. (2017), "Attention is all you need".

    Example:
        >>> import ambos as am
        >>> layer = MultiheadAttention(8, 2, batch_first=True)
        >>> x = am.ones(3, 5, 8)
        >>> [y.shape for y in layer(x, x, x)]
        [(3, 5, 8), (3, 5, 5)]
    """

    in_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.embed_dim = positive("MultiheadAttention: embed_dim", embed_dim)
        self.num_heads = positive("MultiheadAttention: num_heads", num_heads)
        if embed_dim % num_heads:
            raise ArgumentError(
                f"MultiheadAttention: embed_dim is {embed_dim} for {num_heads} heads; need a "
                "multiple of num_heads"
            )
        self.head_dim = embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else positive("MultiheadAttention: kdim", kdim)
        self.vdim = embed_dim if vdim is None else positive("MultiheadAttention: vdim", vdim)
        self.dropout = share("MultiheadAttention: dropout", dropout)
        self.add_zero_attn = flag("MultiheadAttention: add_zero_attn", add_zero_attn)
        self.batch_first = flag("MultiheadAttention: batch_first", batch_first)
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        width = self.embed_dim
        together = self._qkv_same_embed_dim
        shapes = {
            "q_proj_weight": None if together else (width, width),
            "k_proj_weight": None if together else (width, self.kdim),
            "v_proj_weight": None if together else (width, self.vdim),
            "in_proj_weight": (3 * width, width) if together else None,
            "in_proj_bias": (3 * width,) if bias else None,
        }
        for name, shape in shapes.items():
            self.register_parameter(name, None if shape is None else unset(shape, device, dtype))
        self.out_proj = Linear(width, width, bias, device, dtype)
        for name in ("bias_k", "bias_v"):
            added = unset((1, 1, width), device, dtype) if add_bias_kv else None
            self.register_parameter(name, added)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """PyTorch's initial values."""
        for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_weight"):
            weight = self._parameters[name]
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for added in (self.bias_k, self.bias_v):
            if added is not None:
                init.xavier_normal_(added)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        query, key, value = as_tensor(query), as_tensor(key), as_tensor(value)
        turned = self.batch_first and query.ndim == 3
        if turned:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        result, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight,
            self.in_proj_bias, self.bias_k, self.bias_v, self.add_zero_attn, self.dropout,
            self.out_proj.weight, self.out_proj.bias, self.training, key_padding_mask,
            need_weights, attn_mask, not self._qkv_same_embed_dim, self.q_proj_weight,
            self.k_proj_weight, self.v_proj_weight, average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )  # fmt: skip
        return (result.transpose(0, 1) if turned else result), weights
