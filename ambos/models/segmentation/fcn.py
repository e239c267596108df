"""FCN: a classifier without its linear layers is a classifier for each pixel.

Source: Long, Shelhamer, Darrell (2015), "Fully convolutional networks for semantic segmentation";
as in torchvision on a ResNet whose last two stages dilate and do not stride.
"""

from __future__ import annotations

from ambos import nn
from ambos.models.building import Weights, builder
from ambos.models.features import IntermediateLayerGetter
from ambos.models.resnet import ResNet, resnet50, resnet101
from ambos.nn import functional as F
from ambos.tensor.handle import Tensor

__all__ = ["FCN", "fcn_resnet50", "fcn_resnet101"]


class FCN(nn.Module):
    """A backbone, and a classifier whose scores are resized to the image.

    `aux_classifier` reads an earlier stage; it helps training and is left out in use.

    Shapes: (N, 3, H, W) to {"out": (N, num_classes, H, W), "aux": the same}.
    """

    def __init__(
        self,
        backbone: nn.Module,
        classifier: nn.Module,
        aux_classifier: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.aux_classifier = aux_classifier

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.backbone(x)
        scores = {"out": self.classifier(features["out"])}
        if self.aux_classifier is not None:
            scores["aux"] = self.aux_classifier(features["aux"])
        return {name: resized(score, x.shape[-2:]) for name, score in scores.items()}


class FCNHead(nn.Sequential):
    """3x3 to a quarter of the channels, 1x1 to the classes."""

    def __init__(self, in_channels: int, channels: int) -> None:
        inside = in_channels // 4
        super().__init__(
            nn.Conv2d(in_channels, inside, 3, padding=1, bias=False),
            nn.BatchNorm2d(inside),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(inside, channels, 1),
        )


def resized(scores: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bilinear."""
    return F.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=False)


def dilated(resnet: ResNet, aux: bool) -> IntermediateLayerGetter:
    """The stages of `resnet` that segmentation reads."""
    wanted = {"layer3": "aux"} if aux else {}
    return IntermediateLayerGetter(resnet, {"layer4": "out"} | wanted)


DILATE = (False, True, True)  # a stride of 8 in all


def _fcn(resnet: ResNet, num_classes: int, aux_loss: bool) -> FCN:
    auxiliary = FCNHead(1024, num_classes) if aux_loss else None
    return FCN(dilated(resnet, aux_loss), FCNHead(2048, num_classes), auxiliary)


@builder
def fcn_resnet50(
    *, num_classes: int = 21, aux_loss: bool = False, weights_backbone: Weights = None
) -> FCN:
    """FCN on ResNet-50; `weights_backbone` are those of a `resnet50`."""
    net = resnet50(weights=weights_backbone, replace_stride_with_dilation=DILATE)
    return _fcn(net, num_classes, aux_loss)


@builder
def fcn_resnet101(
    *, num_classes: int = 21, aux_loss: bool = False, weights_backbone: Weights = None
) -> FCN:
    """FCN on ResNet-101; `weights_backbone` are those of a `resnet101`."""
    net = resnet101(weights=weights_backbone, replace_stride_with_dilation=DILATE)
    return _fcn(net, num_classes, aux_loss)
