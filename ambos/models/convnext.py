"""ConvNeXt: a convolutional network with the habits of a transformer.

Source: Liu, Mao, Wu, Feichtenhofer, Darrell, Xie (2022), "A ConvNet for the 2020s".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ambos import nn
from ambos.core.arguments import Checked
from ambos.models.blocks import Conv2dNormActivation, Layer, Permute, StochasticDepth, zero_bias
from ambos.models.building import builder
from ambos.nn import init
from ambos.tensor.creation import ones
from ambos.tensor.handle import Tensor

__all__ = ["ConvNeXt", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny"]


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of an image."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class CNBlock(nn.Module):
    """7x7 for each channel alone, then a perceptron at each place, scaled, on a residual branch."""

    def __init__(
        self,
        dim: int,
        layer_scale: float,
        stochastic_depth_prob: float,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim),
            Permute([0, 2, 3, 1]),
            (norm_layer or partial(nn.LayerNorm, eps=1e-6))(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale = nn.Parameter(ones(dim, 1, 1) * layer_scale)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, x: Tensor) -> Tensor:
        return x + self.stochastic_depth(self.layer_scale * self.block(x))


@dataclass
class CNBlockConfig(metaclass=Checked):
    """A stage of `num_layers` blocks; to `out_channels` on half the image after it, unless None."""

    input_channels: int
    out_channels: int | None
    num_layers: int


class ConvNeXt(nn.Module):
    """Shapes: (N, 3, H, W), H and W at least 32, to (N, num_classes)."""

    def __init__(
        self,
        block_setting: Sequence[CNBlockConfig],
        stochastic_depth_prob: float = 0.0,
        layer_scale: float = 1e-6,
        num_classes: int = 1000,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        norm = norm_layer or partial(LayerNorm2d, eps=1e-6)
        layers: list[nn.Module] = [
            Conv2dNormActivation(3, block_setting[0].input_channels, kernel_size=4, stride=4,
                                 padding=0, norm_layer=norm, activation_layer=None, bias=True)
        ]  # fmt: skip
        total, before = sum(stage.num_layers for stage in block_setting), 0
        channels = 0
        for stage in block_setting:
            channels, blocks = stage.input_channels, []
            for _ in range(stage.num_layers):
                skipped = stochastic_depth_prob * before / max(1, total - 1)
                blocks.append(CNBlock(channels, layer_scale, skipped))
                before += 1
            layers.append(nn.Sequential(*blocks))
            if stage.out_channels is not None:
                half = nn.Conv2d(channels, stage.out_channels, kernel_size=2, stride=2)
                layers.append(nn.Sequential(norm(channels), half))
                channels = stage.out_channels
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            norm(channels), nn.Flatten(1), nn.Linear(channels, num_classes)
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                init.trunc_normal_(module.weight, std=0.02)
                zero_bias(module)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)))


def _convnext(
    widths: Sequence[int], depths: Sequence[int], settings: dict[str, Any], skipped: float
) -> ConvNeXt:
    stages = [CNBlockConfig(*row) for row in zip(widths, [*widths[1:], None], depths, strict=True)]
    return ConvNeXt(stages, **{"stochastic_depth_prob": skipped, **settings})


@builder
def convnext_tiny(**settings: Any) -> ConvNeXt:
    """18 blocks from 96 channels; `settings` are those of the class."""
    return _convnext((96, 192, 384, 768), (3, 3, 9, 3), settings, skipped=0.1)


@builder
def convnext_small(**settings: Any) -> ConvNeXt:
    """36 blocks from 96 channels."""
    return _convnext((96, 192, 384, 768), (3, 3, 27, 3), settings, skipped=0.4)


@builder
def convnext_base(**settings: Any) -> ConvNeXt:
    """36 blocks from 128 channels."""
    return _convnext((128, 256, 512, 1024), (3, 3, 27, 3), settings, skipped=0.5)


@builder
def convnext_large(**settings: Any) -> ConvNeXt:
    """36 blocks from 192 channels."""
    return _convnext((192, 384, 768, 1536), (3, 3, 27, 3), settings, skipped=0.5)
