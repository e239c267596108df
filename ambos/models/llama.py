"""LLaMA: a decoder with rotary positions, root-mean-square norms, gated linear units and, in later
versions, fewer heads for keys and values than for queries.

Source: Touvron et al. (2023), "LLaMA: open and efficient foundation language models"; Grattafiori
et al. (2024), "The Llama 3 herd of models". Names and keys as in Hugging Face's transformers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos import nn
from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError
from ambos.models.building import builder
from ambos.models.decoding import Attend, Cache, CacheSizes, Growing, merge, split, whole
from ambos.models.generation import Generates
from ambos.nn import functional as F
from ambos.nn import init
from ambos.tensor.creation import arange
from ambos.tensor.handle import Tensor

__all__ = ["LlamaConfig", "LlamaForCausalLM", "LlamaModel", "llama2_7b", "llama3_8b", "llama_7b"]


@dataclass(frozen=True)
class LlamaConfig(metaclass=Checked):
    """Sizes of a LLaMA, under the names of its `config.json`."""

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: Mapping[str, Any] | None = None
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        if self.num_attention_heads % self.groups:
            raise ArgumentError(
                f"LlamaConfig: num_attention_heads is {self.num_attention_heads} and "
                f"num_key_value_heads {self.groups}; need a multiple"
            )

    @property
    def groups(self) -> int:
        """Heads of keys and values."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def size(self) -> int:
        """Features of a head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads


def frequencies(config: LlamaConfig) -> np.ndarray:
    """By how much each pair of features turns from one position to the next.

    Errors: ArgumentError for a kind of scaling other than "linear" and "llama3".
    """
    pairs = np.arange(0, config.size, 2, dtype=np.float32)
    turns = config.rope_theta ** -(pairs / config.size)
    scaling = config.rope_scaling
    if scaling is None:
        return turns.astype(np.float32)
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "linear":
        return (turns / scaling["factor"]).astype(np.float32)
    if kind != "llama3":
        raise ArgumentError(f"LlamaConfig: rope_scaling has the type {kind!r}; need 'linear' or "
                            "'llama3'")  # fmt: skip
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    rounds = scaling["original_max_position_embeddings"] * turns / (2 * math.pi)
    smooth = np.clip((rounds - low) / (high - low), 0, 1)  # slow turns are slowed, fast ones stay
    return ((1 - smooth) * turns / scaling["factor"] + smooth * turns).astype(np.float32)


class LlamaAttention(nn.Module):
    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.size = layer, config.size
        wide, narrow = config.num_attention_heads * self.size, config.groups * self.size
        bias = config.attention_bias
        self.q_proj = nn.Linear(config.hidden_size, wide, bias)
        self.k_proj = nn.Linear(config.hidden_size, narrow, bias)
        self.v_proj = nn.Linear(config.hidden_size, narrow, bias)
        self.o_proj = nn.Linear(wide, config.hidden_size, bias)

    def forward(self, x: Tensor, angles: Tensor, attend: Attend) -> Tensor:
        q, k, v = (
            split(project(x), project.out_features // self.size)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = F.rotary_embedding(q, angles), F.rotary_embedding(k, angles)
        return self.o_proj(merge(attend(self.layer, q, k, v)))


class LlamaMLP(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        width, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_proj = nn.Linear(width, inner, bias)
        self.up_proj = nn.Linear(width, inner, bias)
        self.down_proj = nn.Linear(inner, width, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class LlamaDecoderLayer(nn.Module):
    def __init__(self, config: LlamaConfig, layer: int) -> None:
        super().__init__()
        self.self_attn = LlamaAttention(config, layer)
        self.mlp = LlamaMLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, angles: Tensor, attend: Attend) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), angles, attend)
        return x + self.mlp(self.post_attention_layernorm(x))


class LlamaModel(nn.Module):
    """The stack without a head: hidden states of every token.

    Shapes: input_ids (batch, tokens), integers; the result is (batch, tokens, hidden_size).
    Errors: IndexingError for a token out of range.
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([
            LlamaDecoderLayer(config, layer) for layer in range(config.num_hidden_layers)
        ])  # fmt: skip
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.frequencies = frequencies(config)  # no buffer: in half precision angles would be wrong

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Tensor:
        return self.run(input_ids, arange(input_ids.shape[-1]), whole(attention_mask, True))

    def run(self, input_ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """`positions` (tokens,) or (batch, tokens)."""
        angles = positions.float().unsqueeze(-1) * Tensor(self.frequencies)
        if angles.ndim == 3:
            angles = angles.unsqueeze(1)  # the same for every head
        x = self.embed_tokens(input_ids)
        for layer in self.layers:
            x = layer(x, angles, attend)
        return self.norm(x)


class LlamaForCausalLM(Generates, nn.Module):
    """LLaMA with a head that says the next token.

    Shapes: input_ids (batch, tokens), attention_mask the same (0 for padding); the result are
        logits (batch, tokens, vocab_size).
    Errors: as LlamaModel.

    Example:
        >>> model = llama_7b(
        ...     vocab_size=50,
        ...     hidden_size=8,
        ...     intermediate_size=16,
        ...     num_hidden_layers=1,
        ...     num_attention_heads=4,
        ...     num_key_value_heads=2,
        ... )
        >>> model.model.layers[0].self_attn.k_proj
        Linear(in_features=8, out_features=4, bias=False)
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = LlamaModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                init.normal_(module.weight, std=config.initializer_range)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Tensor:
        return self.lm_head(self.model(input_ids, attention_mask))

    # What generation asks for

    @property
    def most_tokens(self) -> int:
        return self.config.max_position_embeddings

    @property
    def cache_sizes(self) -> CacheSizes:
        config = self.config
        return CacheSizes(config.num_hidden_layers, config.groups, config.size)

    def decode(self, tokens: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        growing = Growing(cache, tokens.shape[1])
        x = self.model.run(tokens, growing.positions, growing.attend)
        return self.lm_head(x[:, -1]), growing.cache


@builder
def llama_7b(**config: Any) -> LlamaForCausalLM:
    """LLaMA, 7 billion parameters; settings are those of LlamaConfig."""
    return LlamaForCausalLM(LlamaConfig(**config))


@builder
def llama2_7b(**config: Any) -> LlamaForCausalLM:
    """Llama 2, 7 billion parameters."""
    sizes = {"max_position_embeddings": 4096, "rms_norm_eps": 1e-5}
    return LlamaForCausalLM(LlamaConfig(**sizes | config))


@builder
def llama3_8b(**config: Any) -> LlamaForCausalLM:
    """Llama 3, 8 billion parameters."""
    sizes: dict[str, Any] = {
        "vocab_size": 128256, "intermediate_size": 14336, "num_key_value_heads": 8,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**sizes | config))
