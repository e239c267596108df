"""U-Net: down to a small image and up again, where each step up sees its step down.

Source: Ronneberger, Fischer, Brox (2015), "U-Net: convolutional networks for biomedical image
segmentation". Padded, with batch normalisation, and the names of the PyTorch implementation whose
checkpoints are around ("Pytorch-UNet").
"""

from __future__ import annotations

from typing import Any

from ambos import nn
from ambos.models.building import builder
from ambos.nn import functional as F
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import cat

__all__ = ["UNet", "unet"]


class DoubleConv(nn.Module):
    """3x3, normalised and activated, twice."""

    def __init__(
        self, in_channels: int, out_channels: int, mid_channels: int | None = None
    ) -> None:
        super().__init__()
        inside = mid_channels or out_channels
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, inside, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(inside),
            nn.ReLU(),
            nn.Conv2d(inside, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.double_conv(x)


class Down(nn.Module):
    """Half the image, then the convolutions."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(in_channels, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.maxpool_conv(x)


class Up(nn.Module):
    """Twice the image, beside what the step down saw, then the convolutions."""

    def __init__(self, in_channels: int, out_channels: int, bilinear: bool) -> None:
        super().__init__()
        half = in_channels // 2
        self.bilinear = bilinear
        if not bilinear:
            self.up = nn.ConvTranspose2d(in_channels, half, kernel_size=2, stride=2)
        self.conv = DoubleConv(in_channels, out_channels, half if bilinear else None)

    def forward(self, x: Tensor, skipped: Tensor) -> Tensor:
        if self.bilinear:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        else:
            x = self.up(x)
        tall, wide = (skipped.shape[i] - x.shape[i] for i in (2, 3))  # an odd image was halved
        x = F.pad(x, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))
        return self.conv(cat([skipped, x], axis=1))


class OutConv(nn.Module):
    """1x1 to the classes."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class UNet(nn.Module):
    """Four steps down from `width` channels, four up; `bilinear` resizes where the paper learns.

    Shapes: (N, n_channels, H, W), H and W at least 16, to (N, n_classes, H, W).
    Source: Ronneberger, Fischer, Brox (2015), "U-Net".
    """

    def __init__(
        self, n_channels: int = 3, n_classes: int = 2, bilinear: bool = False, width: int = 64
    ) -> None:
        super().__init__()
        less = 2 if bilinear else 1
        self.inc = DoubleConv(n_channels, width)
        self.down1 = Down(width, 2 * width)
        self.down2 = Down(2 * width, 4 * width)
        self.down3 = Down(4 * width, 8 * width)
        self.down4 = Down(8 * width, 16 * width // less)
        self.up1 = Up(16 * width, 8 * width // less, bilinear)
        self.up2 = Up(8 * width, 4 * width // less, bilinear)
        self.up3 = Up(4 * width, 2 * width // less, bilinear)
        self.up4 = Up(2 * width, width, bilinear)
        self.outc = OutConv(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x4 = self.down3(x3)
        x = self.up1(self.down4(x4), x4)
        x = self.up4(self.up3(self.up2(x, x3), x2), x1)
        return self.outc(x)


@builder
def unet(**settings: Any) -> UNet:
    """U-Net; `settings` are those of the class."""
    return UNet(**settings)
