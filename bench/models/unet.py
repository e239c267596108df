"""A U-Net that sorts the pixels of 64x64 images: 16 to 128 channels, three halvings.

Source: Ronneberger, Fischer, Brox (2015), "U-Net: convolutional networks for biomedical image
segmentation", with padding and batch normalisation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.models import framework_of
from bench.models.weights import Weights, conv_flops
from bench.workload import Data

SIZE, CLASSES, CHANNELS = 64, 4, (16, 32, 64, 128)
DEPTH = len(CHANNELS) - 1


def pairs() -> Iterator[tuple[str, int, int, int]]:
    """(name, inputs, outputs, halvings) of every pair of convolutions, in the order of use."""
    inputs = 3
    for level, width in enumerate(CHANNELS):
        yield f"down.{level}", inputs, width, level
        inputs = width
    for level in reversed(range(DEPTH)):
        yield f"up.{level}", 2 * CHANNELS[level], CHANNELS[level], level


def weights() -> Weights:
    weights = Weights()
    for name, inputs, outputs, _ in pairs():
        for i, width in ((0, inputs), (3, outputs)):
            weights.conv(f"{name}.{i}", width, outputs, 3)
            weights.norm(f"{name}.{i + 1}", outputs)
    for level in range(DEPTH):
        wide, narrow = CHANNELS[level + 1], CHANNELS[level]
        weights.uniform(f"grow.{level}.weight", (wide, narrow, 2, 2), wide)
        weights.uniform(f"grow.{level}.bias", (narrow,), wide)
    weights.conv("head", CHANNELS[0], CLASSES, 1, bias=True)
    return weights


def step_data(batch: int, batches: int = 2) -> Data:
    generator = np.random.default_rng(1)
    return weights().data(
        x=generator.standard_normal((batches, batch, 3, SIZE, SIZE), np.float32),
        y=generator.integers(0, CLASSES, (batches, batch, SIZE, SIZE)),
    )


def step_flops(batch: int) -> float:
    """Three passes of every layer but for the input gradient of the first."""
    first = conv_flops(batch, SIZE, 3, CHANNELS[0], 3)
    total = conv_flops(batch, SIZE, CHANNELS[0], CLASSES, 1)
    for _, inputs, outputs, level in pairs():
        size = SIZE >> level
        total += conv_flops(batch, size, inputs, outputs, 3)
        total += conv_flops(batch, size, outputs, outputs, 3)
    for level in range(DEPTH):
        pixels = (SIZE >> level) ** 2
        total += 2.0 * batch * pixels * CHANNELS[level + 1] * CHANNELS[level]
    return 3 * total - first


def module(nn: Any, F: Any) -> Any:
    """The network in PyTorch's words, which are those of ambos too."""
    cat = framework_of(nn).cat

    def pair(inputs: int, outputs: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            made = {name: pair(inputs, outputs) for name, inputs, outputs, _ in pairs()}
            self.down = nn.ModuleList([made[f"down.{level}"] for level in range(DEPTH + 1)])
            self.up = nn.ModuleList([made[f"up.{level}"] for level in range(DEPTH)])
            self.grow = nn.ModuleList([
                nn.ConvTranspose2d(CHANNELS[level + 1], CHANNELS[level], 2, 2)
                for level in range(DEPTH)
            ])  # fmt: skip
            self.head = nn.Conv2d(CHANNELS[0], CLASSES, 1)

        def forward(self, x: Any) -> Any:
            kept = []
            for level, layers in enumerate(self.down):
                x = layers(F.max_pool2d(x, 2) if level else x)
                kept.append(x)
            for level in reversed(range(DEPTH)):
                x = self.up[level](cat([kept[level], self.grow[level](x)], 1))
            return self.head(x).permute(0, 2, 3, 1).reshape(-1, CLASSES)

    return UNet()


def forward(kit: Any, x: Any) -> Any:
    """The network as a function of its weights, on NHWC images."""

    def pair(name: str, x: Any) -> Any:
        for i in (0, 3):
            x = kit.relu(kit.batch_norm(f"{name}.{i + 1}", kit.conv(f"{name}.{i}", x)))
        return x

    kept = []
    for level in range(DEPTH + 1):
        x = pair(f"down.{level}", kit.max_pool(x, 2, 2) if level else x)
        kept.append(x)
    for level in reversed(range(DEPTH)):
        x = pair(f"up.{level}", kit.concat([kept[level], kit.grow(f"grow.{level}", x)], -1))
    return kit.reshape(kit.conv("head", x), (*x.shape[:3], CLASSES))
