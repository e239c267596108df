"""Residual networks: each block adds to what it is given, so that depth costs no trainability.

Source: He, Zhang, Ren, Sun (2016), "Deep residual learning for image recognition"; Xie et al.
(2017), "Aggregated residual transformations" (ResNeXt); Zagoruyko, Komodakis (2016), "Wide residual
networks". As in torchvision a bottleneck strides in its 3x3 convolution ("ResNet v1.5").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ambos import nn
from ambos.core.errors import ArgumentError
from ambos.models.blocks import Layer, initialize
from ambos.models.building import builder
from ambos.nn import init
from ambos.tensor.handle import Tensor

__all__ = [
    "ResNet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
]  # fmt: skip


def conv3x3(
    inputs: int, outputs: int, stride: int, groups: int = 1, dilation: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, groups, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the shortcut around them."""

    expansion: ClassVar[int] = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Layer = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if groups != 1 or base_width != 64 or dilation != 1:
            raise ArgumentError(
                f"BasicBlock: groups={groups}, width_per_group={base_width}, dilation={dilation}; "
                "need 1, 64 and 1; wider and dilated networks have Bottleneck blocks"
            )
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU()
        self.conv2 = conv3x3(planes, planes, 1)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(out + shortcut)


class Bottleneck(nn.Module):
    """1x1 down to few channels, 3x3 there, 1x1 up again, and the shortcut around them."""

    expansion: ClassVar[int] = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Layer = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        width = int(planes * (base_width / 64)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(out + shortcut)


class ResNet(nn.Module):
    """A stem, four stages of `layers[i]` blocks, mean over the image, a linear classifier.

    Shapes: (N, 3, H, W) to (N, num_classes).
    Errors: ArgumentError for settings that the blocks do not have; ShapeError.
    Source: He et al. (2016), "Deep residual learning for image recognition".
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        dilate = replace_stride_with_dilation or (False, False, False)
        if len(dilate) != 3:
            raise ArgumentError(f"ResNet: replace_stride_with_dilation is {dilate}; need three")
        norm = nn.BatchNorm2d if norm_layer is None else norm_layer
        self.inplanes, self.dilation = 64, 1
        self._shape: dict[str, Any] = {
            "groups": groups,
            "base_width": width_per_group,
            "norm_layer": norm,
        }
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = norm(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._stage(block, 64, layers[0])
        self.layer2 = self._stage(block, 128, layers[1], 2, dilate[0])
        self.layer3 = self._stage(block, 256, layers[2], 2, dilate[1])
        self.layer4 = self._stage(block, 512, layers[3], 2, dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        initialize(self)
        if zero_init_residual:  # each block begins as the identity (Goyal et al., 2017)
            for module in self.modules():
                if isinstance(module, (BasicBlock, Bottleneck)):
                    init.zeros_((module.bn2 if module.expansion == 1 else module.bn3).weight)

    def _stage(
        self,
        block: type[BasicBlock | Bottleneck],
        planes: int,
        blocks: int,
        stride: int = 1,
        dilate: bool = False,
    ) -> nn.Sequential:
        """`blocks` blocks; the first halves the image, or dilates from the second on instead."""
        outputs, dilation, norm = planes * block.expansion, self.dilation, self._shape["norm_layer"]
        if dilate:
            self.dilation, stride = dilation * stride, 1
        shortcut = None
        if stride != 1 or self.inplanes != outputs:
            shortcut = nn.Sequential(conv1x1(self.inplanes, outputs, stride), norm(outputs))
        first = block(self.inplanes, planes, stride, shortcut, dilation=dilation, **self._shape)
        self.inplanes = outputs
        return nn.Sequential(
            first,
            *(block(outputs, planes, dilation=self.dilation, **self._shape)
              for _ in range(1, blocks)),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


@builder
def resnet18(**settings: Any) -> ResNet:
    """18 layers of basic blocks; `settings` are those of ResNet."""
    return ResNet(BasicBlock, [2, 2, 2, 2], **settings)


@builder
def resnet34(**settings: Any) -> ResNet:
    """34 layers of basic blocks."""
    return ResNet(BasicBlock, [3, 4, 6, 3], **settings)


@builder
def resnet50(**settings: Any) -> ResNet:
    """50 layers of bottleneck blocks."""
    return ResNet(Bottleneck, [3, 4, 6, 3], **settings)


@builder
def resnet101(**settings: Any) -> ResNet:
    """101 layers of bottleneck blocks."""
    return ResNet(Bottleneck, [3, 4, 23, 3], **settings)


@builder
def resnet152(**settings: Any) -> ResNet:
    """152 layers of bottleneck blocks."""
    return ResNet(Bottleneck, [3, 8, 36, 3], **settings)


@builder
def resnext50_32x4d(**settings: Any) -> ResNet:
    """ResNet-50 whose 3x3 convolutions have 32 groups of 4 channels."""
    return ResNet(Bottleneck, [3, 4, 6, 3], groups=32, width_per_group=4, **settings)


@builder
def resnext101_32x8d(**settings: Any) -> ResNet:
    """ResNet-101 whose 3x3 convolutions have 32 groups of 8 channels."""
    return ResNet(Bottleneck, [3, 4, 23, 3], groups=32, width_per_group=8, **settings)


@builder
def resnext101_64x4d(**settings: Any) -> ResNet:
    """ResNet-101 whose 3x3 convolutions have 64 groups of 4 channels."""
    return ResNet(Bottleneck, [3, 4, 23, 3], groups=64, width_per_group=4, **settings)


@builder
def wide_resnet50_2(**settings: Any) -> ResNet:
    """ResNet-50 with twice the channels inside its bottlenecks."""
    return ResNet(Bottleneck, [3, 4, 6, 3], width_per_group=128, **settings)


@builder
def wide_resnet101_2(**settings: Any) -> ResNet:
    """ResNet-101 with twice the channels inside its bottlenecks."""
    return ResNet(Bottleneck, [3, 4, 23, 3], width_per_group=128, **settings)
