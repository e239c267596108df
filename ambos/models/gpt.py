"""GPT-2: a stack of decoder blocks that predicts the next token.

Source: Radford, Wu, Child, Luan, Amodei, Sutskever (2019), "Language models are unsupervised
multitask learners". Names and keys as in Hugging Face's transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos import nn
from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, ShapeError
from ambos.models.building import builder
from ambos.models.decoding import Attend, Cache, CacheSizes, Growing, merge, split, whole
from ambos.models.generation import Generates
from ambos.nn import functional as F
from ambos.nn import init
from ambos.tensor.creation import arange
from ambos.tensor.handle import Tensor

__all__ = ["GPT2Config", "GPT2LMHeadModel", "GPT2Model", "gpt2", "gpt2_large", "gpt2_medium",
           "gpt2_xl"]  # fmt: skip


@dataclass(frozen=True)
class GPT2Config(metaclass=Checked):
    """Sizes of a GPT-2, under the names of its `config.json`."""

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head:
            raise ArgumentError(f"GPT2Config: n_embd is {self.n_embd} and n_head {self.n_head}; "
                                "need a multiple")  # fmt: skip


class Conv1D(nn.Module):
    """x @ weight + bias: a Linear whose weight lies the other way round, as GPT-2 is stored."""

    def __init__(self, nf: int, nx: int, std: float = 0.02) -> None:
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight = nn.Parameter(np.zeros((nx, nf), np.float32))
        self.bias = nn.Parameter(np.zeros(nf, np.float32))
        init.normal_(self.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.T, self.bias)

    def extra_repr(self) -> str:
        return f"nf={self.nf}, nx={self.nx}"


class GPT2Attention(nn.Module):
    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        width, std = config.n_embd, config.initializer_range
        self.layer, self.num_heads = layer, config.n_head
        self.c_attn = Conv1D(3 * width, width, std)
        self.c_proj = Conv1D(width, width, std / (2 * config.n_layer) ** 0.5)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        q, k, v = (split(part, self.num_heads) for part in self.c_attn(x).chunk(3, -1))
        return self.resid_dropout(self.c_proj(merge(attend(self.layer, q, k, v))))


class GPT2MLP(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        width, std = config.n_embd, config.initializer_range
        inner = config.n_inner or 4 * width
        self.c_fc = Conv1D(inner, width, std)
        self.c_proj = Conv1D(width, inner, std / (2 * config.n_layer) ** 0.5)
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))


class GPT2Block(nn.Module):
    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.attn = GPT2Attention(config, layer)
        self.ln_2 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.mlp = GPT2MLP(config)

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        x = x + self.attn(self.ln_1(x), attend)
        return x + self.mlp(self.ln_2(x))


class GPT2Model(nn.Module):
    """The stack without a head: hidden states of every token.

    Shapes: input_ids (batch, tokens), integers; the result is (batch, tokens, n_embd).
    Errors: ShapeError for more tokens than n_positions; IndexingError for a token out of range.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        for table in (self.wte, self.wpe):
            init.normal_(table.weight, std=config.initializer_range)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList([GPT2Block(config, layer) for layer in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Tensor:
        tokens, most = input_ids.shape[-1], self.config.n_positions
        if tokens > most:
            raise ShapeError(f"GPT2Model: got {tokens} tokens; need at most n_positions={most}")
        dropped = self.config.attn_pdrop if self.training else 0.0
        return self.run(input_ids, arange(tokens), whole(attention_mask, True, dropped))

    def run(self, input_ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        x = self.drop(self.wte(input_ids) + self.wpe(positions))
        for block in self.h:
            x = block(x, attend)
        return self.ln_f(x)


class GPT2LMHeadModel(Generates, nn.Module):
    """GPT-2 with a head that says the next token; its weight is that of the tokens' table.

    Shapes: input_ids (batch, tokens), attention_mask the same (0 for padding); the result are
        logits (batch, tokens, vocab_size).
    Errors: as GPT2Model.

    Example:
        >>> import ambos as am
        >>> model = gpt2(vocab_size=50, n_embd=8, n_layer=1, n_head=2)
        >>> model(am.tensor([[1, 2, 3]])).shape
        (1, 3, 50)
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = GPT2Model(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Tensor:
        return self.lm_head(self.transformer(input_ids, attention_mask))

    # What generation asks for

    @property
    def most_tokens(self) -> int:
        return self.config.n_positions

    @property
    def cache_sizes(self) -> CacheSizes:
        config = self.config
        return CacheSizes(config.n_layer, config.n_head, config.n_embd // config.n_head)

    def decode(self, tokens: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        growing = Growing(cache, tokens.shape[1])
        x = self.transformer.run(tokens, growing.positions, growing.attend)
        return self.lm_head(x[:, -1]), growing.cache


@builder
def gpt2(**config: Any) -> GPT2LMHeadModel:
    """GPT-2 small, 124 million parameters; settings are those of GPT2Config.

    Example:
        >>> gpt2(n_layer=1, n_embd=8, n_head=2, vocab_size=10).config.n_positions
        1024
    """
    return GPT2LMHeadModel(GPT2Config(**config))


@builder
def gpt2_medium(**config: Any) -> GPT2LMHeadModel:
    """GPT-2 medium, 355 million parameters."""
    return GPT2LMHeadModel(GPT2Config(**{"n_embd": 1024, "n_layer": 24, "n_head": 16} | config))


@builder
def gpt2_large(**config: Any) -> GPT2LMHeadModel:
    """GPT-2 large, 774 million parameters."""
    return GPT2LMHeadModel(GPT2Config(**{"n_embd": 1280, "n_layer": 36, "n_head": 20} | config))


@builder
def gpt2_xl(**config: Any) -> GPT2LMHeadModel:
    """GPT-2 XL, 1.6 billion parameters."""
    return GPT2LMHeadModel(GPT2Config(**{"n_embd": 1600, "n_layer": 48, "n_head": 25} | config))
