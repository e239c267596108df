"""EfficientNet: depth, width and resolution grow together.

Source: Tan, Le (2019), "EfficientNet: rethinking model scaling for convolutional neural networks";
the same (2021), "EfficientNetV2: smaller models and faster training".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ambos import nn
from ambos.core.arguments import Checked
from ambos.models.blocks import (
    Conv2dNormActivation,
    Layer,
    SqueezeExcitation,
    StochasticDepth,
    initialize,
    make_divisible,
)
from ambos.models.building import builder
from ambos.nn import init
from ambos.tensor.handle import Tensor

__all__ = [
    "EfficientNet", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3",
    "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
    "efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s",
]  # fmt: skip

# Table 1 of the paper: expansion, window, stride, input and output channels, number of blocks.
Row = tuple[int, int, int, int, int, int]
STAGES = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)
# Table 4 of the second paper, of which the first stages are fused; then its larger ones.
SMALL = (
    (1, 3, 1, 24, 24, 2), (4, 3, 2, 24, 48, 4), (4, 3, 2, 48, 64, 4),
    (4, 3, 2, 64, 128, 6), (6, 3, 1, 128, 160, 9), (6, 3, 2, 160, 256, 15),
)  # fmt: skip
MEDIUM = (
    (1, 3, 1, 24, 24, 3), (4, 3, 2, 24, 48, 5), (4, 3, 2, 48, 80, 5), (4, 3, 2, 80, 160, 7),
    (6, 3, 1, 160, 176, 14), (6, 3, 2, 176, 304, 18), (6, 3, 1, 304, 512, 5),
)  # fmt: skip
LARGE = (
    (1, 3, 1, 32, 32, 4), (4, 3, 2, 32, 64, 7), (4, 3, 2, 64, 96, 7), (4, 3, 2, 96, 192, 10),
    (6, 3, 1, 192, 224, 19), (6, 3, 2, 224, 384, 25), (6, 3, 1, 384, 640, 7),
)  # fmt: skip
FUSED = 3  # stages


class MBConv(nn.Module):
    """1x1 to more channels, a window for each alone, squeeze and excitation, 1x1 back."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        expand_ratio: float,
        stochastic_depth_prob: float,
        norm_layer: Layer,
    ) -> None:
        super().__init__()
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        wide = make_divisible(inputs * expand_ratio)
        self.block = nn.Sequential(*self.layers(conv, inputs, wide, outputs, kernel, stride))
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.use_res_connect = stride == 1 and inputs == outputs

    def layers(
        self, conv: Layer, inputs: int, wide: int, outputs: int, kernel: int, stride: int
    ) -> list[nn.Module]:
        """The way from `inputs` channels through `wide` ones to `outputs`."""
        return [
            *([conv(inputs, wide, kernel_size=1)] if wide != inputs else []),
            conv(wide, wide, kernel, stride, groups=wide),
            SqueezeExcitation(wide, max(1, inputs // 4), activation=nn.SiLU),
            conv(wide, outputs, kernel_size=1, activation_layer=None),
        ]

    def forward(self, x: Tensor) -> Tensor:
        out = self.block(x)
        return x + self.stochastic_depth(out) if self.use_res_connect else out


class FusedMBConv(MBConv):
    """One ordinary window to more channels, 1x1 back: what early stages are faster with."""

    def layers(
        self, conv: Layer, inputs: int, wide: int, outputs: int, kernel: int, stride: int
    ) -> list[nn.Module]:
        if wide == inputs:
            return [conv(inputs, outputs, kernel, stride)]
        back = conv(wide, outputs, kernel_size=1, activation_layer=None)
        return [conv(inputs, wide, kernel, stride), back]


@dataclass
class MBConvConfig(metaclass=Checked):
    """One stage of blocks, its channels times `width_mult`, as many of them times `depth_mult`."""

    expand_ratio: float
    kernel: int
    stride: int
    input_channels: int
    out_channels: int
    num_layers: int
    width_mult: float = 1.0
    depth_mult: float = 1.0
    block: type[MBConv] = MBConv

    def scaled(self) -> MBConvConfig:
        return replace(
            self,
            input_channels=make_divisible(self.input_channels * self.width_mult),
            out_channels=make_divisible(self.out_channels * self.width_mult),
            num_layers=math.ceil(self.num_layers * self.depth_mult),
        )


FusedMBConvConfig: Callable[..., MBConvConfig] = partial(MBConvConfig, block=FusedMBConv)


class EfficientNet(nn.Module):
    """Shapes: (N, 3, H, W) to (N, num_classes)."""

    def __init__(
        self,
        inverted_residual_setting: Sequence[MBConvConfig],
        dropout: float,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Layer | None = None,
        last_channel: int | None = None,
    ) -> None:
        super().__init__()
        norm = norm_layer or nn.BatchNorm2d
        conv = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.SiLU)
        stages = [setting.scaled() for setting in inverted_residual_setting]
        total, before = sum(stage.num_layers for stage in stages), 0
        layers: list[nn.Module] = [conv(3, stages[0].input_channels, stride=2)]
        for stage in stages:
            inputs, stride, blocks = stage.input_channels, stage.stride, []
            for _ in range(stage.num_layers):
                skipped = stochastic_depth_prob * before / total
                blocks.append(stage.block(inputs, stage.out_channels, stage.kernel, stride,
                                     stage.expand_ratio, skipped, norm))  # fmt: skip
                inputs, stride, before = stage.out_channels, 1, before + 1
            layers.append(nn.Sequential(*blocks))
        outputs = stages[-1].out_channels
        last = 4 * outputs if last_channel is None else last_channel
        layers.append(conv(outputs, last, kernel_size=1))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        bound = 1 / math.sqrt(num_classes)
        initialize(self, linear=lambda weight: init.uniform_(weight, -bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _efficientnet(
    width: float, depth: float, settings: dict[str, Any], dropout: float, norm: Layer | None = None
) -> EfficientNet:
    stages = [MBConvConfig(*row, width_mult=width, depth_mult=depth) for row in STAGES]
    return EfficientNet(stages, **{"dropout": dropout, "norm_layer": norm, **settings})


SLOW_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)


@builder
def efficientnet_b0(**settings: Any) -> EfficientNet:
    """The network of table 1; `settings` are those of the class."""
    return _efficientnet(1.0, 1.0, settings, dropout=0.2)


@builder
def efficientnet_b1(**settings: Any) -> EfficientNet:
    """1.1 times as deep."""
    return _efficientnet(1.0, 1.1, settings, dropout=0.2)


@builder
def efficientnet_b2(**settings: Any) -> EfficientNet:
    """1.1 times as wide, 1.2 times as deep."""
    return _efficientnet(1.1, 1.2, settings, dropout=0.3)


@builder
def efficientnet_b3(**settings: Any) -> EfficientNet:
    """1.2 times as wide, 1.4 times as deep."""
    return _efficientnet(1.2, 1.4, settings, dropout=0.3)


@builder
def efficientnet_b4(**settings: Any) -> EfficientNet:
    """1.4 times as wide, 1.8 times as deep."""
    return _efficientnet(1.4, 1.8, settings, dropout=0.4)


@builder
def efficientnet_b5(**settings: Any) -> EfficientNet:
    """1.6 times as wide, 2.2 times as deep."""
    return _efficientnet(1.6, 2.2, settings, dropout=0.4, norm=SLOW_NORM)


@builder
def efficientnet_b6(**settings: Any) -> EfficientNet:
    """1.8 times as wide, 2.6 times as deep."""
    return _efficientnet(1.8, 2.6, settings, dropout=0.5, norm=SLOW_NORM)


@builder
def efficientnet_b7(**settings: Any) -> EfficientNet:
    """Twice as wide, 3.1 times as deep."""
    return _efficientnet(2.0, 3.1, settings, dropout=0.5, norm=SLOW_NORM)


def _second(rows: Sequence[Row], dropout: float, settings: dict[str, Any]) -> EfficientNet:
    stages = [
        (FusedMBConvConfig if number < FUSED else MBConvConfig)(*row)
        for number, row in enumerate(rows)
    ]
    norm = partial(nn.BatchNorm2d, eps=0.001)
    return EfficientNet(
        stages, **{"dropout": dropout, "norm_layer": norm, "last_channel": 1280, **settings}
    )


@builder
def efficientnet_v2_s(**settings: Any) -> EfficientNet:
    """The small one of the second paper."""
    return _second(SMALL, 0.2, settings)


@builder
def efficientnet_v2_m(**settings: Any) -> EfficientNet:
    """The medium one of the second paper."""
    return _second(MEDIUM, 0.3, settings)


@builder
def efficientnet_v2_l(**settings: Any) -> EfficientNet:
    """The large one of the second paper."""
    return _second(LARGE, 0.4, settings)
