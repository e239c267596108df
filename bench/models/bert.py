"""A small BERT that sorts sentences into classes: 4 layers 256 wide, 128 tokens, some of them
padding.

Source: Devlin, Chang, Lee, Toutanova (2019), "BERT: pre-training of deep bidirectional
transformers", without dropout.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.models.encoder import Encoder
from bench.models.weights import Weights
from bench.workload import Data

PLAN = Encoder(layers=4, width=256, heads=4, norm_first=False)
WORDS, TOKENS, CLASSES, PADDING = 8000, 128, 2, 0


def weights() -> Weights:
    weights = Weights()
    weights.normal("words.weight", (WORDS, PLAN.width))
    weights.normal("places.weight", (TOKENS, PLAN.width))
    weights.norm("norm", PLAN.width, running=False)
    PLAN.add_weights(weights)
    weights.linear("pooler", PLAN.width, PLAN.width)
    weights.linear("classifier", PLAN.width, CLASSES)
    return weights


def step_data(batch: int, batches: int = 2) -> Data:
    """Sentences of half the length and more."""
    generator = np.random.default_rng(1)
    x = generator.integers(1, WORDS, (batches, batch, TOKENS))
    lengths = generator.integers(TOKENS // 2, TOKENS + 1, (batches, batch, 1))
    x[np.arange(TOKENS) >= lengths] = PADDING
    return weights().data(x=x, y=generator.integers(0, CLASSES, (batches, batch)))


def step_flops(batch: int) -> float:
    """Three passes; what lies behind the first token counts as well."""
    last = 2.0 * batch * PLAN.width * (PLAN.width + CLASSES)
    return 3 * (PLAN.flops(batch, TOKENS) + last)


def module(nn: Any, F: Any) -> Any:
    """The network in PyTorch's words, which are those of ambos too."""

    class Bert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(WORDS, PLAN.width)
            self.places = nn.Embedding(TOKENS, PLAN.width)
            self.norm = nn.LayerNorm(PLAN.width)
            self.blocks = nn.ModuleList([PLAN.block(nn, F) for _ in range(PLAN.layers)])
            self.pooler = nn.Linear(PLAN.width, PLAN.width)
            self.classifier = nn.Linear(PLAN.width, CLASSES)

        def forward(self, tokens: Any) -> Any:
            mask = (tokens != PADDING)[:, None, None, :]
            x = self.norm(self.words(tokens) + self.places.weight)
            for block in self.blocks:
                x = block(x, mask)
            return self.classifier(self.pooler(x[:, 0]).tanh())

    return Bert()


def forward(kit: Any, tokens: Any) -> Any:
    """The network as a function of its weights."""
    mask = (tokens != PADDING)[:, None, None, :]
    x = kit.take(kit["words.weight"], tokens) + kit["places.weight"]
    x = PLAN.forward(kit, kit.layer_norm("norm", x), mask)
    return kit.linear("classifier", kit.tanh(kit.linear("pooler", x[:, 0])))
