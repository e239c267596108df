"""T5: every task as text in, text out; positions are told by biases of the scores.

Source: Raffel et al. (2020), "Exploring the limits of transfer learning with a unified text-to-text
transformer". Names and keys as in Hugging Face's transformers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ambos import nn
from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError
from ambos.models.building import builder
from ambos.models.decoding import Attend, Cache, CacheSizes, Growing, Memory, merge, split, whole
from ambos.models.generation import Transduces
from ambos.nn import functional as F
from ambos.nn import init
from ambos.tensor.creation import arange
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where

__all__ = ["T5Config", "T5ForConditionalGeneration", "t5_base", "t5_large", "t5_small"]


@dataclass(frozen=True)
class T5Config(metaclass=Checked):
    """Sizes of a T5, under the names of its `config.json`."""

    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int | None = None
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: str = "relu"
    tie_word_embeddings: bool = True
    decoder_start_token_id: int = 0
    n_positions: int = 512

    def __post_init__(self) -> None:
        if self.feed_forward_proj not in ("relu", "gated-gelu"):
            raise ArgumentError(f"T5Config: feed_forward_proj is {self.feed_forward_proj!r}; need "
                                "'relu' or 'gated-gelu'")  # fmt: skip

    @property
    def decoder_layers(self) -> int:
        return self.num_layers if self.num_decoder_layers is None else self.num_decoder_layers

    def norm(self) -> nn.RMSNorm:
        return nn.RMSNorm(self.d_model, self.layer_norm_epsilon)


def bucket(distance: Tensor, both_ways: bool, buckets: int, farthest: int) -> Tensor:
    """The number of the bias for a key at `distance` from the query: near ones have one each, those
    farther away share, in steps that grow."""
    first: Tensor | int = 0
    if both_ways:
        buckets //= 2
        first = (distance > 0).long() * buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    steps = (distance.clamp(min=1).float() / exact).log() / math.log(farthest / exact)
    far = (exact + (steps * (buckets - exact)).long()).clamp(max=buckets - 1)
    return first + where(distance < exact, distance, far)


class T5Attention(nn.Module):
    """Attention without scale or biases of its projections; the first layer's has the table of
    biases that all use."""

    def __init__(self, config: T5Config, layer: int, is_decoder: bool, has_table: bool) -> None:
        super().__init__()
        self.layer, self.num_heads, self.is_decoder = layer, config.num_heads, is_decoder
        self.buckets = config.relative_attention_num_buckets
        self.farthest = config.relative_attention_max_distance
        inner, width = config.num_heads * config.d_kv, config.d_model
        self.q, self.k, self.v = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, width, bias=False)
        init.normal_(self.q.weight, std=(width * config.d_kv) ** -0.5)
        for part in (self.k, self.v):
            init.normal_(part.weight, std=width**-0.5)
        init.normal_(self.o.weight, std=inner**-0.5)
        if has_table:
            self.relative_attention_bias = nn.Embedding(self.buckets, config.num_heads)
            init.normal_(self.relative_attention_bias.weight, std=width**-0.5)

    def bias(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(1, heads, queries, keys), by their places."""
        distance = keys - queries.unsqueeze(1)
        numbers = bucket(distance, not self.is_decoder, self.buckets, self.farthest)
        return self.relative_attention_bias(numbers).permute(2, 0, 1).unsqueeze(0)

    def heads(self, x: Tensor) -> Tensor:
        return split(x, self.num_heads)

    def remember(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of an encoder's states."""
        return self.heads(self.k(states)), self.heads(self.v(states))

    def among(self, x: Tensor, bias: Tensor, attend: Attend) -> Tensor:
        q, k, v = (self.heads(project(x)) for project in (self.q, self.k, self.v))
        mixed = attend(self.layer, q, k, v, bias=bias, scale=1.0)
        return self.o(merge(mixed))

    def across(self, x: Tensor, memory: Memory) -> Tensor:
        mixed = memory.attend(self.layer, self.heads(self.q(x)), scale=1.0)
        return self.o(merge(mixed))


class T5LayerSelfAttention(nn.Module):
    def __init__(self, config: T5Config, layer: int, is_decoder: bool) -> None:
        super().__init__()
        self.SelfAttention = T5Attention(config, layer, is_decoder, has_table=layer == 0)
        self.layer_norm = config.norm()
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor, bias: Tensor, attend: Attend) -> Tensor:
        return x + self.dropout(self.SelfAttention.among(self.layer_norm(x), bias, attend))


class T5LayerCrossAttention(nn.Module):
    def __init__(self, config: T5Config, layer: int) -> None:
        super().__init__()
        self.EncDecAttention = T5Attention(config, layer, is_decoder=True, has_table=False)
        self.layer_norm = config.norm()
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        return x + self.dropout(self.EncDecAttention.across(self.layer_norm(x), memory))


class T5DenseActDense(nn.Module):
    """Two linear layers with a ReLU between."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.wi = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        init.normal_(self.wi.weight, std=config.d_model**-0.5)
        init.normal_(self.wo.weight, std=config.d_ff**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.wo(self.dropout(F.relu(self.wi(x))))


class T5DenseGatedActDense(nn.Module):
    """The same with a gate, as in T5 1.1.

    Source: Shazeer (2020), "GLU variants improve transformer".
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wi_1 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout_rate)
        for part in (self.wi_0, self.wi_1):
            init.normal_(part.weight, std=config.d_model**-0.5)
        init.normal_(self.wo.weight, std=config.d_ff**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        gate = F.gelu(self.wi_0(x), approximate="tanh")
        return self.wo(self.dropout(gate * self.wi_1(x)))


class T5LayerFF(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        gated = config.feed_forward_proj == "gated-gelu"
        self.DenseReluDense = (T5DenseGatedActDense if gated else T5DenseActDense)(config)
        self.layer_norm = config.norm()
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.DenseReluDense(self.layer_norm(x)))


class T5Block(nn.Module):
    def __init__(self, config: T5Config, layer: int, is_decoder: bool) -> None:
        super().__init__()
        across = [T5LayerCrossAttention(config, layer)] if is_decoder else []
        first = T5LayerSelfAttention(config, layer, is_decoder)
        self.layer = nn.ModuleList([first, *across, T5LayerFF(config)])

    def forward(self, x: Tensor, bias: Tensor, attend: Attend, memory: Memory | None) -> Tensor:
        first, *across, last = self.layer
        x = first(x, bias, attend)
        for layer in across:
            x = layer(x, memory)
        return last(x)


class T5Stack(nn.Module):
    """The encoder or the decoder."""

    def __init__(self, config: T5Config, embed_tokens: nn.Embedding, is_decoder: bool) -> None:
        super().__init__()
        self.embed_tokens = embed_tokens
        count = config.decoder_layers if is_decoder else config.num_layers
        self.block = nn.ModuleList([T5Block(config, i, is_decoder) for i in range(count)])
        self.final_layer_norm = config.norm()
        self.dropout = nn.Dropout(config.dropout_rate)

    def forward(
        self, input_ids: Tensor, queries: Tensor, keys: Tensor, attend: Attend,
        memory: Memory | None = None,
    ) -> Tensor:  # fmt: skip
        """`queries` and `keys` are their places, (tokens,)."""
        bias = self.block[0].layer[0].SelfAttention.bias(queries, keys)
        x = self.dropout(self.embed_tokens(input_ids))
        for block in self.block:
            x = block(x, bias, attend, memory)
        return self.dropout(self.final_layer_norm(x))


class T5ForConditionalGeneration(Transduces, nn.Module):
    """An encoder, and a decoder that looks at it and says the next token.

    Shapes: input_ids and attention_mask (batch, tokens), decoder_input_ids (batch, more tokens);
        the result are logits (batch, more tokens, vocab_size).
    Errors: IndexingError for a token out of range.

    Example:
        >>> import ambos as am
        >>> model = t5_small(vocab_size=50, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
        >>> model(am.tensor([[1, 2, 3]]), decoder_input_ids=am.tensor([[0, 4]])).shape
        (1, 2, 50)
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        init.normal_(self.shared.weight)
        self.encoder = T5Stack(config, self.shared, is_decoder=False)
        self.decoder = T5Stack(config, self.shared, is_decoder=True)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.shared.weight

    def forward(
        self, input_ids: Any, attention_mask: Any = None, decoder_input_ids: Any = None
    ) -> Tensor:
        if decoder_input_ids is None:
            raise ArgumentError("T5: got no decoder_input_ids; need the tokens that the decoder "
                                "has said so far, or model.generate(input_ids)")  # fmt: skip
        memory = self.remember(input_ids, attention_mask)
        places = arange(decoder_input_ids.shape[-1])
        attend = whole(is_causal=True)
        return self._head(self.decoder(decoder_input_ids, places, places, attend, memory))

    def _head(self, x: Tensor) -> Tensor:
        return self.lm_head(x * self.config.d_model**-0.5 if self.config.tie_word_embeddings else x)

    # What generation asks for

    @property
    def most_tokens(self) -> int:
        return self.config.n_positions

    @property
    def first_token(self) -> int:
        return self.config.decoder_start_token_id

    def remember(self, input_ids: Any, attention_mask: Any = None) -> Memory:
        places = arange(input_ids.shape[-1])
        states = self.encoder(input_ids, places, places, whole(attention_mask))
        pairs = [block.layer[1].EncDecAttention.remember(states) for block in self.decoder.block]
        return Memory.of(pairs, attention_mask)

    @property
    def cache_sizes(self) -> CacheSizes:
        config = self.config
        return CacheSizes(config.decoder_layers, config.num_heads, config.d_kv)

    def decode(self, tokens: Tensor, cache: Cache, memory: Memory) -> tuple[Tensor, Cache]:
        growing = Growing(cache, tokens.shape[1])
        x = self.decoder(tokens, growing.places, arange(cache.room), growing.attend, memory)
        return self._head(x[:, -1]), growing.cache


@builder
def t5_small(**config: Any) -> T5ForConditionalGeneration:
    """T5 small, 60 million parameters; settings are those of T5Config."""
    return T5ForConditionalGeneration(T5Config(**config))


@builder
def t5_base(**config: Any) -> T5ForConditionalGeneration:
    """T5 base, 220 million parameters."""
    sizes = {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
    return T5ForConditionalGeneration(T5Config(**sizes | config))


@builder
def t5_large(**config: Any) -> T5ForConditionalGeneration:
    """T5 large, 770 million parameters."""
    sizes = {"d_model": 1024, "d_ff": 4096, "num_layers": 24, "num_heads": 16}
    return T5ForConditionalGeneration(T5Config(**sizes | config))
