"""Networks that name a class for each pixel."""

from ambos.models.segmentation.deeplabv3 import (
    DeepLabV3,
    deeplabv3_resnet50,
    deeplabv3_resnet101,
)
from ambos.models.segmentation.fcn import FCN, fcn_resnet50, fcn_resnet101
from ambos.models.segmentation.u_net import UNet, unet

__all__ = [
    "FCN",
    "DeepLabV3",
    "UNet",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "fcn_resnet50",
    "fcn_resnet101",
    "unet",
]
