"""A small vision transformer: 32x32 images in patches of 4, 6 layers 192 wide.

Source: Dosovitskiy et al. (2021), "An image is worth 16x16 words".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.models import framework_of
from bench.models.encoder import Encoder
from bench.models.weights import Weights
from bench.workload import Data

PLAN = Encoder(layers=6, width=192, heads=3, norm_first=True)
SIZE, PATCH, CLASSES = 32, 4, 10
TOKENS = (SIZE // PATCH) ** 2 + 1  # and one that gathers the answer


def weights() -> Weights:
    weights = Weights()
    weights.conv("patches", 3, PLAN.width, PATCH, bias=True)
    weights.normal("answer", (1, 1, PLAN.width))
    weights.normal("places", (1, TOKENS, PLAN.width))
    PLAN.add_weights(weights)
    weights.norm("norm", PLAN.width, running=False)
    weights.linear("head", PLAN.width, CLASSES)
    return weights


def step_data(batch: int, batches: int = 2) -> Data:
    generator = np.random.default_rng(1)
    return weights().data(
        x=generator.standard_normal((batches, batch, 3, SIZE, SIZE), np.float32),
        y=generator.integers(0, CLASSES, (batches, batch)),
    )


def step_flops(batch: int) -> float:
    """Three passes of every layer but for the input gradient of the first."""
    first = 2.0 * batch * (TOKENS - 1) * 3 * PATCH * PATCH * PLAN.width
    last = 2.0 * batch * PLAN.width * CLASSES
    return 2 * first + 3 * (PLAN.flops(batch, TOKENS) + last)


def module(nn: Any, F: Any) -> Any:
    """The network in PyTorch's words, which are those of ambos too."""
    lib = framework_of(nn)

    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, PLAN.width, PATCH, PATCH)
            self.answer = nn.Parameter(lib.zeros(1, 1, PLAN.width))
            self.places = nn.Parameter(lib.zeros(1, TOKENS, PLAN.width))
            self.blocks = nn.ModuleList([PLAN.block(nn, F) for _ in range(PLAN.layers)])
            self.norm = nn.LayerNorm(PLAN.width)
            self.head = nn.Linear(PLAN.width, CLASSES)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = lib.cat([self.answer.expand(x.shape[0], -1, -1), x], 1) + self.places
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x[:, 0]))

    return ViT()


def forward(kit: Any, x: Any) -> Any:
    """The network as a function of its weights, on NHWC images."""
    x = kit.conv("patches", x, PATCH, padding=0)
    batch = x.shape[0]
    x = kit.reshape(x, (batch, TOKENS - 1, PLAN.width))
    answer = kit["answer"] + kit.zeros((batch, 1, PLAN.width))
    x = PLAN.forward(kit, kit.concat([answer, x], 1) + kit["places"])
    return kit.linear("head", kit.layer_norm("norm", x[:, 0]))
