"""MobileNetV2: blocks that are wide inside and narrow between, with depthwise convolutions.

Source: Sandler, Howard, Zhu, Zhmoginov, Chen (2018), "MobileNetV2: inverted residuals and linear
bottlenecks".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ambos import nn
from ambos.models.blocks import (
    Conv2dNormActivation,
    Layer,
    initialize,
    make_divisible,
    narrow_normal,
)
from ambos.models.building import builder
from ambos.nn import functional as F
from ambos.tensor.handle import Tensor

__all__ = ["MobileNetV2", "mobilenet_v2"]

# Table 2 of the paper: expansion, channels, number of blocks, stride of the first.
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """1x1 to `expand_ratio` times the channels, 3x3 for each alone, 1x1 back without activation."""

    def __init__(
        self, inp: int, oup: int, stride: int, expand_ratio: int, norm_layer: Layer = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        hidden = round(inp * expand_ratio)
        block = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.ReLU6)
        self.use_res_connect = stride == 1 and inp == oup
        self.conv = nn.Sequential(
            *([block(inp, hidden, kernel_size=1)] if expand_ratio != 1 else []),
            block(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, oup, kernel_size=1, bias=False),
            norm_layer(oup),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """Shapes: (N, 3, H, W) to (N, num_classes)."""

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: Sequence[Sequence[int]] | None = None,
        round_nearest: int = 8,
        norm_layer: Layer | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        block = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.ReLU6)
        channels = make_divisible(32 * width_mult, round_nearest)
        self.last_channel = make_divisible(1280 * max(1.0, width_mult), round_nearest)
        features: list[nn.Module] = [block(3, channels, stride=2)]
        for expansion, width, count, stride in inverted_residual_setting or BLOCKS:
            outputs = make_divisible(width * width_mult, round_nearest)
            for i in range(count):
                step = stride if i == 0 else 1
                features.append(InvertedResidual(channels, outputs, step, expansion, norm))
                channels = outputs
        features.append(block(channels, self.last_channel, kernel_size=1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.last_channel, num_classes)
        )
        initialize(self, linear=narrow_normal)

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(x.flatten(1))


@builder
def mobilenet_v2(**settings: Any) -> MobileNetV2:
    """MobileNetV2; `settings` are those of the class."""
    return MobileNetV2(**settings)
