"""DenseNet: each layer reads what all layers before it in its block have written.

Source: Huang, Liu, van der Maaten, Weinberger (2017), "Densely connected convolutional networks".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ambos import nn
from ambos.models.blocks import initialize
from ambos.models.building import builder, understand
from ambos.nn import functional as F
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import cat

__all__ = ["DenseNet", "densenet121", "densenet161", "densenet169", "densenet201"]

# Published checkpoints name some layers as they were named before modules forbade dots in names.
OLD_KEY = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


class DenseLayer(nn.Module):
    """1x1 to `bn_size * growth_rate` channels, 3x3 to `growth_rate`; normalisation goes first."""

    def __init__(
        self, num_input_features: int, growth_rate: int, bn_size: int, drop_rate: float
    ) -> None:
        super().__init__()
        width = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(num_input_features)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(num_input_features, width, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, growth_rate, kernel_size=3, padding=1, bias=False)
        self.drop_rate = drop_rate

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.conv1(self.relu1(self.norm1(cat(features, axis=1))))
        x = self.conv2(self.relu2(self.norm2(x)))
        return F.dropout(x, self.drop_rate, self.training)


class DenseBlock(nn.Module):
    """Layers that each read the input and the results of all layers before."""

    def __init__(
        self,
        num_layers: int,
        num_input_features: int,
        bn_size: int,
        growth_rate: int,
        drop_rate: float,
    ) -> None:
        super().__init__()
        for i in range(num_layers):
            inputs = num_input_features + i * growth_rate
            layer = DenseLayer(inputs, growth_rate, bn_size, drop_rate)
            self.add_module(f"denselayer{i + 1}", layer)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.children():
            features.append(layer(features))
        return cat(features, axis=1)


class Transition(nn.Sequential):
    """Fewer channels, and half the image."""

    def __init__(self, num_input_features: int, num_output_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(num_input_features)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(num_input_features, num_output_features, kernel_size=1, bias=False)
        self.pool = nn.AvgPool2d(kernel_size=2, stride=2)


class DenseNet(nn.Module):
    """Blocks that add `growth_rate` channels a layer, with transitions between them.

    `memory_efficient` is accepted and changes nothing: `am.jit(memory_budget=...)` recomputes.

    Shapes: (N, 3, H, W), H and W at least 29, to (N, num_classes).
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0.0,
        num_classes: int = 1000,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        channels = num_init_features
        self.features = nn.Sequential({
            "conv0": nn.Conv2d(3, channels, kernel_size=7, stride=2, padding=3, bias=False),
            "norm0": nn.BatchNorm2d(channels),
            "relu0": nn.ReLU(),
            "pool0": nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        })  # fmt: skip
        for i, layers in enumerate(block_config, 1):
            if i > 1:
                self.features.add_module(f"transition{i - 1}", Transition(channels, channels // 2))
                channels //= 2
            block = DenseBlock(layers, channels, bn_size, growth_rate, drop_rate)
            self.features.add_module(f"denseblock{i}", block)
            channels += layers * growth_rate
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        initialize(self, mode="fan_in", linear=lambda weight: weight)
        understand(self, OLD_KEY, r"\1\2")

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.features(x))
        return self.classifier(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


@builder
def densenet121(**settings: Any) -> DenseNet:
    """121 layers; `settings` are those of DenseNet."""
    return DenseNet(32, (6, 12, 24, 16), 64, **settings)


@builder
def densenet161(**settings: Any) -> DenseNet:
    """161 layers, 48 channels each."""
    return DenseNet(48, (6, 12, 36, 24), 96, **settings)


@builder
def densenet169(**settings: Any) -> DenseNet:
    """169 layers."""
    return DenseNet(32, (6, 12, 32, 32), 64, **settings)


@builder
def densenet201(**settings: Any) -> DenseNet:
    """201 layers."""
    return DenseNet(32, (6, 12, 48, 32), 64, **settings)
