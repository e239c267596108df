"""The U-Net of DDPM: it tells how much noise is in an image, given how long noise was added.

Source: Ho, Jain, Abbeel (2020), "Denoising diffusion probabilistic models". Names, keys and
arguments are those of `UNet2DModel` of Hugging Face's diffusers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ambos import nn
from ambos.models.building import builder
from ambos.nn import functional as F
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import cat

__all__ = ["UNet2DModel", "ddpm_unet"]


class TimestepEmbedding(nn.Module):
    """Sines and cosines of the time at many frequencies, then a perceptron."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        half = channels // 2
        self.frequencies = np.exp(-math.log(10000) * np.arange(half) / (half - 1))
        self.linear_1 = nn.Linear(channels, outputs)
        self.linear_2 = nn.Linear(outputs, outputs)

    def forward(self, time: Tensor) -> Tensor:
        angles = time.to("float32")[:, None] * Tensor(self.frequencies.astype(np.float32))
        x = cat([angles.sin(), angles.cos()], axis=1)
        return self.linear_2(F.silu(self.linear_1(x)))


class ResnetBlock2D(nn.Module):
    """Two convolutions and the shortcut around them; the time is added between them."""

    def __init__(self, inputs: int, outputs: int, time: int, groups: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, outputs)
        self.norm2 = nn.GroupNorm(groups, outputs, eps)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        out = self.conv1(F.silu(self.norm1(x)))
        out = out + self.time_emb_proj(F.silu(time))[:, :, None, None]
        out = self.conv2(F.silu(self.norm2(out)))
        return out + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Attention(nn.Module):
    """Every place sees every other, with one head."""

    def __init__(self, channels: int, groups: int, eps: float) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels), nn.Dropout(0.0)])

    def forward(self, x: Tensor) -> Tensor:
        places = self.group_norm(x).flatten(2).transpose(1, 2)
        q, k, v = (part(places)[:, None] for part in (self.to_q, self.to_k, self.to_v))
        out = F.scaled_dot_product_attention(q, k, v)[:, 0]
        return x + self.to_out[0](out).transpose(1, 2).reshape(x.shape)


class Downsample2D(nn.Module):
    """Half the image, by a convolution."""

    def __init__(self, channels: int, padding: int) -> None:
        super().__init__()
        self.padding = padding
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x if self.padding else F.pad(x, (0, 1, 0, 1)))


class Upsample2D(nn.Module):
    """Twice the image, each pixel four times, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """The blocks at one size of the image, with attention or not, and the way to the next."""

    def __init__(self, resnets: list[nn.Module], attentions: list[nn.Module]) -> None:
        super().__init__()
        if attentions:
            self.attentions = nn.ModuleList(attentions)
        self.resnets = nn.ModuleList(resnets)
        self.attends = bool(attentions)

    def block(self, place: int, x: Tensor, time: Tensor) -> Tensor:
        x = self.resnets[place](x, time)
        return self.attentions[place](x) if self.attends else x


class UNet2DModel(nn.Module):
    """Shapes: (N, in_channels, H, W) and times (N,), to (N, out_channels, H, W).

    Source: Ho, Jain, Abbeel (2020); the settings are those of their network for CIFAR-10.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        block_out_channels: Sequence[int] = (128, 256, 256, 256),
        layers_per_block: int = 2,
        attention: Sequence[bool] = (False, True, False, False),
        downsample_padding: int = 0,
        norm_num_groups: int = 32,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        widths, time = list(block_out_channels), block_out_channels[0] * 4
        norm = (norm_num_groups, norm_eps)

        def resnet(inputs: int, outputs: int) -> nn.Module:
            return ResnetBlock2D(inputs, outputs, time, *norm)

        def attended(width: int, number: int, wanted: bool) -> list[nn.Module]:
            return [Attention(width, *norm) for _ in range(number)] if wanted else []

        self.conv_in = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(widths[0], time)
        self.down_blocks = nn.ModuleList()
        seen, before = [widths[0]], widths[0]
        for place, (width, wanted) in enumerate(zip(widths, attention, strict=True), 1):
            resnets = [resnet(before if i == 0 else width, width) for i in range(layers_per_block)]
            level = Level(resnets, attended(width, layers_per_block, wanted))
            seen += [width] * layers_per_block
            if place < len(widths):
                level.downsamplers = nn.ModuleList([Downsample2D(width, downsample_padding)])
                seen.append(width)
            self.down_blocks.append(level)
            before = width
        self.up_blocks = nn.ModuleList()
        middle = [resnet(before, before), resnet(before, before)]
        self.mid_block = Level(middle, attended(before, 1, True))
        levels = zip(reversed(widths), reversed(attention), strict=True)
        for place, (width, wanted) in enumerate(levels, 1):
            resnets = []
            for _ in range(layers_per_block + 1):
                resnets.append(resnet(before + seen.pop(), width))
                before = width
            level = Level(resnets, attended(width, layers_per_block + 1, wanted))
            if place < len(widths):
                level.upsamplers = nn.ModuleList([Upsample2D(width)])
            self.up_blocks.append(level)
        self.conv_norm_out = nn.GroupNorm(norm_num_groups, widths[0], norm_eps)
        self.conv_out = nn.Conv2d(widths[0], out_channels, 3, padding=1)

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        time = self.time_embedding(timestep)
        x = self.conv_in(x)
        seen = [x]
        for level in self.down_blocks:
            for place in range(len(level.resnets)):
                x = level.block(place, x, time)
                seen.append(x)
            if "downsamplers" in level._modules:
                x = level.downsamplers[0](x)
                seen.append(x)
        x = self.mid_block.block(0, x, time)
        x = self.mid_block.resnets[1](x, time)
        for level in self.up_blocks:
            for place in range(len(level.resnets)):
                x = level.block(place, cat([x, seen.pop()], axis=1), time)
            if "upsamplers" in level._modules:
                x = level.upsamplers[0](x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


@builder
def ddpm_unet(**settings: Any) -> UNet2DModel:
    """The network of DDPM for CIFAR-10; `settings` are those of the class."""
    return UNet2DModel(**settings)
