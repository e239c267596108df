"""DeepLabV3: the same features seen through windows of several dilations, and as a whole.

Source: Chen, Papandreou, Schroff, Adam (2017), "Rethinking atrous convolution for semantic image
segmentation".
"""

from __future__ import annotations

from collections.abc import Sequence

from ambos import nn
from ambos.models.building import Weights, builder
from ambos.models.resnet import ResNet, resnet50, resnet101
from ambos.models.segmentation.fcn import DILATE, FCN, FCNHead, dilated, resized
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import cat

__all__ = ["DeepLabV3", "deeplabv3_resnet50", "deeplabv3_resnet101"]


class DeepLabV3(FCN):
    """A backbone, and a classifier whose scores are resized to the image.

    Shapes: (N, 3, H, W) to {"out": (N, num_classes, H, W), "aux": the same}.
    Source: Chen et al. (2017), "Rethinking atrous convolution".
    """


def conv_norm_relu(
    inputs: int, outputs: int, kernel_size: int, dilation: int = 1
) -> list[nn.Module]:
    padding = dilation * (kernel_size // 2)
    return [
        nn.Conv2d(inputs, outputs, kernel_size, 1, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


class ASPPPooling(nn.Sequential):
    """The mean of the image, at each place."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *conv_norm_relu(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return resized(super().forward(x), x.shape[-2:])


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, 3x3 with each rate, and the mean, side by side."""

    def __init__(
        self, in_channels: int, atrous_rates: Sequence[int], out_channels: int = 256
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList([
            nn.Sequential(*conv_norm_relu(in_channels, out_channels, 1)),
            *(nn.Sequential(*conv_norm_relu(in_channels, out_channels, 3, rate))
              for rate in atrous_rates),
            ASPPPooling(in_channels, out_channels),
        ])  # fmt: skip
        joined = len(self.convs) * out_channels
        self.project = nn.Sequential(*conv_norm_relu(joined, out_channels, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(cat([conv(x) for conv in self.convs], axis=1))


class DeepLabHead(nn.Sequential):
    """The pyramid, one more convolution, and the classes."""

    def __init__(
        self, in_channels: int, num_classes: int, atrous_rates: Sequence[int] = (12, 24, 36)
    ) -> None:
        super().__init__(
            ASPP(in_channels, atrous_rates),
            *conv_norm_relu(256, 256, 3),
            nn.Conv2d(256, num_classes, 1),
        )


def _deeplabv3(resnet: ResNet, num_classes: int, aux_loss: bool) -> DeepLabV3:
    auxiliary = FCNHead(1024, num_classes) if aux_loss else None
    return DeepLabV3(dilated(resnet, aux_loss), DeepLabHead(2048, num_classes), auxiliary)


@builder
def deeplabv3_resnet50(
    *, num_classes: int = 21, aux_loss: bool = False, weights_backbone: Weights = None
) -> DeepLabV3:
    """DeepLabV3 on ResNet-50; `weights_backbone` are those of a `resnet50`."""
    net = resnet50(weights=weights_backbone, replace_stride_with_dilation=DILATE)
    return _deeplabv3(net, num_classes, aux_loss)


@builder
def deeplabv3_resnet101(
    *, num_classes: int = 21, aux_loss: bool = False, weights_backbone: Weights = None
) -> DeepLabV3:
    """DeepLabV3 on ResNet-101; `weights_backbone` are those of a `resnet101`."""
    net = resnet101(weights=weights_backbone, replace_stride_with_dilation=DILATE)
    return _deeplabv3(net, num_classes, aux_loss)
