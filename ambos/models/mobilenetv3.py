"""MobileNetV3: MobileNetV2's blocks with squeeze and excitation and hard swish, found by search.

Source: Howard et al. (2019), "Searching for MobileNetV3".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ambos import nn
from ambos.core.arguments import Checked
from ambos.models.blocks import (
    Conv2dNormActivation,
    Layer,
    SqueezeExcitation,
    initialize,
    make_divisible,
    narrow_normal,
)
from ambos.models.building import builder
from ambos.tensor.handle import Tensor

__all__ = ["MobileNetV3", "mobilenet_v3_large", "mobilenet_v3_small"]

# Tables 1 and 2 of the paper: input, window, expanded, output channels, squeeze and excitation,
# activation, stride. The last three blocks are those that a reduced or dilated tail changes.
LARGE = (
    (16, 3, 16, 16, False, "RE", 1),
    (16, 3, 64, 24, False, "RE", 2),
    (24, 3, 72, 24, False, "RE", 1),
    (24, 5, 72, 40, True, "RE", 2),
    (40, 5, 120, 40, True, "RE", 1),
    (40, 5, 120, 40, True, "RE", 1),
    (40, 3, 240, 80, False, "HS", 2),
    (80, 3, 200, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 184, 80, False, "HS", 1),
    (80, 3, 480, 112, True, "HS", 1),
    (112, 3, 672, 112, True, "HS", 1),
    (112, 5, 672, 160, True, "HS", 2),
    (160, 5, 960, 160, True, "HS", 1),
    (160, 5, 960, 160, True, "HS", 1),
)
SMALL = (
    (16, 3, 16, 16, True, "RE", 2),
    (16, 3, 72, 24, False, "RE", 2),
    (24, 3, 88, 24, False, "RE", 1),
    (24, 5, 96, 40, True, "HS", 2),
    (40, 5, 240, 40, True, "HS", 1),
    (40, 5, 240, 40, True, "HS", 1),
    (40, 5, 120, 48, True, "HS", 1),
    (48, 5, 144, 48, True, "HS", 1),
    (48, 5, 288, 96, True, "HS", 2),
    (96, 5, 576, 96, True, "HS", 1),
    (96, 5, 576, 96, True, "HS", 1),
)


@dataclass
class InvertedResidualConfig(metaclass=Checked):
    """One row of a table, its channels times `width_mult`."""

    input_channels: int
    kernel: int
    expanded_channels: int
    out_channels: int
    use_se: bool
    activation: str  # "RE" or "HS"
    stride: int
    dilation: int
    width_mult: float

    def __post_init__(self) -> None:
        for name in ("input_channels", "expanded_channels", "out_channels"):
            setattr(self, name, make_divisible(getattr(self, name) * self.width_mult))


class InvertedResidual(nn.Module):
    """1x1 to more channels, a window for each alone, squeeze and excitation, 1x1 back."""

    def __init__(self, cnf: InvertedResidualConfig, norm_layer: Layer) -> None:
        super().__init__()
        inputs, wide, outputs = cnf.input_channels, cnf.expanded_channels, cnf.out_channels
        act = nn.Hardswish if cnf.activation == "HS" else nn.ReLU
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer)
        layers: list[nn.Module] = []
        if wide != inputs:
            layers.append(conv(inputs, wide, kernel_size=1, activation_layer=act))
        stride = 1 if cnf.dilation > 1 else cnf.stride
        layers.append(conv(wide, wide, cnf.kernel, stride, groups=wide, dilation=cnf.dilation,
                           activation_layer=act))  # fmt: skip
        if cnf.use_se:
            narrow = make_divisible(wide // 4)
            layers.append(SqueezeExcitation(wide, narrow, scale_activation=nn.Hardsigmoid))
        layers.append(conv(wide, outputs, kernel_size=1, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.use_res_connect = cnf.stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.use_res_connect else self.block(x)


class MobileNetV3(nn.Module):
    """Shapes: (N, 3, H, W) to (N, num_classes)."""

    def __init__(
        self,
        inverted_residual_setting: Sequence[InvertedResidualConfig],
        last_channel: int,
        num_classes: int = 1000,
        norm_layer: Layer | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        norm = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        conv = partial(Conv2dNormActivation, norm_layer=norm, activation_layer=nn.Hardswish)
        first = inverted_residual_setting[0].input_channels
        last = inverted_residual_setting[-1].out_channels
        self.features = nn.Sequential(
            conv(3, first, stride=2),
            *(InvertedResidual(setting, norm) for setting in inverted_residual_setting),
            conv(last, 6 * last, kernel_size=1),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * last, last_channel),
            nn.Hardswish(),
            nn.Dropout(dropout),
            nn.Linear(last_channel, num_classes),
        )
        initialize(self, linear=narrow_normal)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _mobilenet_v3(
    table: Sequence[tuple[int, int, int, int, bool, str, int]],
    last_channel: int,
    width_mult: float = 1.0,
    reduced_tail: bool = False,
    dilated: bool = False,
    **settings: Any,
) -> MobileNetV3:
    rows, less = [], 2 if reduced_tail else 1
    for place, (inputs, kernel, wide, outputs, use_se, activation, stride) in enumerate(table):
        tail = place - (len(table) - 3)  # 0, 1 and 2 in the tail
        row = InvertedResidualConfig(
            inputs // less if tail > 0 else inputs,
            kernel,
            wide // less if tail > 0 else wide,
            outputs // less if tail >= 0 else outputs,
            use_se,
            activation,
            stride,
            2 if dilated and tail >= 0 else 1,
            width_mult,
        )
        rows.append(row)
    return MobileNetV3(rows, make_divisible(last_channel // less * width_mult), **settings)


@builder
def mobilenet_v3_large(**settings: Any) -> MobileNetV3:
    """Table 1; `settings` are those of the class, `width_mult`, `reduced_tail` and `dilated`."""
    return _mobilenet_v3(LARGE, 1280, **settings)


@builder
def mobilenet_v3_small(**settings: Any) -> MobileNetV3:
    """Table 2; `settings` as for `mobilenet_v3_large`."""
    return _mobilenet_v3(SMALL, 1024, **settings)
