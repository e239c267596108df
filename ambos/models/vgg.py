"""VGG: nothing but 3x3 convolutions, twice as many channels after each halving of the image.

Source: Simonyan, Zisserman (2015), "Very deep convolutional networks for large-scale image
recognition". The letters are those of the paper's table 1.
"""

from __future__ import annotations

from typing import Any

from ambos import nn
from ambos.models.blocks import initialize, narrow_normal
from ambos.models.building import builder
from ambos.tensor.handle import Tensor

__all__ = [
    "VGG", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn",
]  # fmt: skip

# Channels of the convolutions between one pooling and the next.
CONFIGURATIONS = {
    "A": [[64], [128], [256] * 2, [512] * 2, [512] * 2],
    "B": [[64] * 2, [128] * 2, [256] * 2, [512] * 2, [512] * 2],
    "D": [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3],
    "E": [[64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4],
}


def make_layers(configuration: list[list[int]], batch_norm: bool = False) -> nn.Sequential:
    """The convolutions of one column of the table."""
    layers: list[nn.Module] = []
    inputs = 3
    for block in configuration:
        for outputs in block:
            layers.append(nn.Conv2d(inputs, outputs, kernel_size=3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.ReLU())
            inputs = outputs
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """Shapes: (N, 3, H, W), H and W at least 32, to (N, num_classes)."""

    def __init__(
        self,
        features: nn.Module,
        num_classes: int = 1000,
        init_weights: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            initialize(self, linear=narrow_normal)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _vgg(column: str, batch_norm: bool, settings: dict[str, Any]) -> VGG:
    return VGG(make_layers(CONFIGURATIONS[column], batch_norm), **settings)


@builder
def vgg11(**settings: Any) -> VGG:
    """Column A; `settings` are those of VGG."""
    return _vgg("A", False, settings)


@builder
def vgg11_bn(**settings: Any) -> VGG:
    """Column A with batch normalisation."""
    return _vgg("A", True, settings)


@builder
def vgg13(**settings: Any) -> VGG:
    """Column B."""
    return _vgg("B", False, settings)


@builder
def vgg13_bn(**settings: Any) -> VGG:
    """Column B with batch normalisation."""
    return _vgg("B", True, settings)


@builder
def vgg16(**settings: Any) -> VGG:
    """Column D."""
    return _vgg("D", False, settings)


@builder
def vgg16_bn(**settings: Any) -> VGG:
    """Column D with batch normalisation."""
    return _vgg("D", True, settings)


@builder
def vgg19(**settings: Any) -> VGG:
    """Column E."""
    return _vgg("E", False, settings)


@builder
def vgg19_bn(**settings: Any) -> VGG:
    """Column E with batch normalisation."""
    return _vgg("E", True, settings)
