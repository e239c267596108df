"""A GPT of about 11 million parameters: 6 layers, 384 wide, 6 heads, 256 tokens, bytes as words.

Source: Radford et al. (2019), "Language models are unsupervised multitask learners" (GPT-2),
without dropout and with a head of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.models.weights import Weights
from bench.workload import Data

LAYERS, WIDTH, HEADS, TOKENS, WORDS = 6, 384, 6, 256, 256
HEAD = WIDTH // HEADS

# What attention does with the queries, keys and values (batch, heads, tokens, head) of a layer.
Attend = Callable[[int, Any, Any, Any], Any]


def weights(layers: int = LAYERS) -> Weights:
    weights = Weights()
    weights.normal("words.weight", (WORDS, WIDTH))
    weights.normal("places.weight", (TOKENS, WIDTH))
    for i in range(layers):
        name = f"blocks.{i}"
        weights.norm(f"{name}.norm1", WIDTH, running=False)
        weights.linear(f"{name}.qkv", WIDTH, 3 * WIDTH)
        weights.linear(f"{name}.project", WIDTH, WIDTH)
        weights.norm(f"{name}.norm2", WIDTH, running=False)
        weights.linear(f"{name}.expand", WIDTH, 4 * WIDTH)
        weights.linear(f"{name}.contract", 4 * WIDTH, WIDTH)
    weights.norm("norm", WIDTH, running=False)
    weights.linear("head", WIDTH, WORDS, bias=False)
    return weights


def step_data(batch: int, batches: int = 2, layers: int = LAYERS) -> Data:
    tokens = np.random.default_rng(1).integers(0, WORDS, (batches, batch, TOKENS + 1))
    return weights(layers).data(x=tokens[..., :-1].copy(), y=tokens[..., 1:].copy())


def infer_data() -> Data:
    """A token, and caches as if tokens had come before it."""
    generator = np.random.default_rng(1)
    shape = (LAYERS, 1, HEADS, TOKENS, HEAD)
    return weights().data(
        token=generator.integers(0, WORDS, (1, 1)),
        keys=generator.standard_normal(shape, np.float32),
        values=generator.standard_normal(shape, np.float32),
    )


def matrix_weights(layers: int = LAYERS) -> int:
    """Weights that multiply something (embeddings are looked up)."""
    return layers * 12 * WIDTH * WIDTH + WIDTH * WORDS


def step_flops(batch: int, layers: int = LAYERS) -> float:
    """Three passes; attention counts the half of the scores that the causal mask leaves."""
    attention = layers * HEADS * 2 * HEAD * TOKENS * (TOKENS + 1) // 2
    return 3 * 2.0 * batch * (TOKENS * matrix_weights(layers) + attention)


def infer_flops(position: int) -> float:
    return 2.0 * (matrix_weights() + LAYERS * 2 * WIDTH * (position + 1))


def infer_bytes(position: int) -> float:
    """Every weight and the filled part of the cache, read once."""
    return 4.0 * (matrix_weights() + LAYERS * 2 * WIDTH * (position + 1))


def attention_of(F: Any) -> Any:
    """`F.scaled_dot_product_attention`; from primitives until ambos has it."""
    return vars(F).get("scaled_dot_product_attention") or _attention


def _attention(q: Any, k: Any, v: Any, attn_mask: Any = None, is_causal: bool = False) -> Any:
    import ambos as am

    if is_causal:
        order = am.arange(q.shape[-2])
        attn_mask = order.reshape(-1, 1) >= order
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    return am.where(attn_mask, scores, -np.inf).softmax(-1) @ v


def module(nn: Any, F: Any, layers: int = LAYERS) -> Any:
    """The network in PyTorch's words, which are those of ambos too."""

    class Block(nn.Module):
        def __init__(self, layer: int) -> None:
            super().__init__()
            self.layer = layer
            self.norm1 = nn.LayerNorm(WIDTH)
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
            self.project = nn.Linear(WIDTH, WIDTH)
            self.norm2 = nn.LayerNorm(WIDTH)
            self.expand = nn.Linear(WIDTH, 4 * WIDTH)
            self.contract = nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x: Any, attend: Attend) -> Any:
            batch, tokens, _ = x.shape
            q, k, v = (
                part.reshape(batch, tokens, HEADS, HEAD).transpose(1, 2)
                for part in self.qkv(self.norm1(x)).chunk(3, -1)
            )
            mixed = attend(self.layer, q, k, v).transpose(1, 2).reshape(batch, tokens, WIDTH)
            x = x + self.project(mixed)
            return x + self.contract(F.gelu(self.expand(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(WORDS, WIDTH)
            self.places = nn.Embedding(TOKENS, WIDTH)
            self.blocks = nn.ModuleList([Block(i) for i in range(layers)])
            self.norm = nn.LayerNorm(WIDTH)
            self.head = nn.Linear(WIDTH, WORDS, bias=False)

        def forward(self, tokens: Any, place: Any = None, attend: Attend | None = None) -> Any:
            """Logits of the next token: of all tokens, or of one at `place` of a cache."""
            places = self.places.weight if place is None else self.places(place)
            x = self.words(tokens) + places
            for block in self.blocks:
                x = block(x, attend or causal)
            return self.head(self.norm(x))

    attention = attention_of(F)

    def causal(layer: int, q: Any, k: Any, v: Any) -> Any:
        return attention(q, k, v, is_causal=True)

    return GPT()


def forward(
    kit: Any, tokens: Any, place: Any = None, attend: Attend | None = None, layers: int = LAYERS
) -> Any:
    """The network as a function of its weights."""
    batch, length = tokens.shape

    def heads(part: Any) -> Any:
        return kit.transpose(kit.reshape(part, (batch, length, HEADS, HEAD)), (0, 2, 1, 3))

    places = kit["places.weight"]
    x = kit.take(kit["words.weight"], tokens) + (
        places if place is None else kit.take(places, place)
    )
    for i in range(layers):
        name = f"blocks.{i}"
        parts = kit.split(kit.linear(f"{name}.qkv", kit.layer_norm(f"{name}.norm1", x)), 3)
        mixed = (attend or kit.causal)(i, *map(heads, parts))
        mixed = kit.reshape(kit.transpose(mixed, (0, 2, 1, 3)), (batch, length, WIDTH))
        x = x + kit.linear(f"{name}.project", mixed)
        wide = kit.gelu(kit.linear(f"{name}.expand", kit.layer_norm(f"{name}.norm2", x)))
        x = x + kit.linear(f"{name}.contract", wide)
    return kit.linear("head", kit.layer_norm("norm", x))
