"""Swin transformer: attention within windows, which shift by half from layer to layer.

Source: Liu et al. (2021), "Swin transformer: hierarchical vision transformer using shifted
windows". Images are (N, H, W, C) inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ambos import nn
from ambos.models.blocks import Layer, Permute, StochasticDepth, zero_bias
from ambos.models.building import builder
from ambos.models.vision_transformer import perceptron
from ambos.nn import functional as F
from ambos.nn import init
from ambos.tensor.creation import zeros
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import cat
from ambos.tensor.movement import roll

__all__ = ["SwinTransformer", "swin_b", "swin_s", "swin_t"]

Pair = tuple[int, int]


class PatchMerging(nn.Module):
    """2x2 neighbours as one place with twice the channels."""

    def __init__(self, dim: int, norm_layer: Layer = nn.LayerNorm) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduction(self.norm(corners(x)))


def corners(x: Tensor) -> Tensor:
    """The four places of 2x2 neighbours, side by side."""
    x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
    return cat([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], axis=-1)


def partition(x: Tensor, window: Pair) -> Tensor:
    """(N, H, W, C) as (N, windows, places in a window, C)."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // window[0], window[0], width // window[1], window[1], channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(batch, -1, window[0] * window[1], channels)


def unite(x: Tensor, window: Pair, height: int, width: int) -> Tensor:
    """The inverse of `partition`."""
    batch, _, _, channels = x.shape
    rows, columns = height // window[0], width // window[1]
    x = x.reshape(batch, rows, columns, *window, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)


def strangers(height: int, width: int, window: Pair, shift: Pair) -> Tensor:
    """-100 for places of a window that were not neighbours before the shift, otherwise 0.

    Shape: (windows, 1, places, places).
    """
    region = np.zeros((height, width), np.int64)
    for axis, (extent, size, by) in enumerate(zip((height, width), window, shift, strict=True)):
        place = np.arange(extent)
        band = (place >= extent - size).astype(int) + (place >= extent - by).astype(int) * (by > 0)
        region = region * 3 + (band[:, None] if axis == 0 else band)
    rows = region.reshape(height // window[0], window[0], width // window[1], window[1])
    window_of = rows.transpose(0, 2, 1, 3).reshape(-1, 1, window[0] * window[1])
    apart = window_of[:, :, :, None] != window_of[:, :, None, :]
    return Tensor(np.where(apart, np.float32(-100), np.float32(0)))


class ShiftedWindowAttention(nn.Module):
    """Attention within windows, with a learned number for each offset between two places."""

    relative_position_index: Tensor
    scale: float | None = None  # of the scores: by default the root of a head's width

    def __init__(
        self,
        dim: int,
        window_size: Sequence[int],
        shift_size: Sequence[int],
        num_heads: int,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.window_size: Pair = (window_size[0], window_size[1])
        self.shift_size: Pair = (shift_size[0], shift_size[1])
        self.num_heads, self.attention_dropout, self.dropout = num_heads, attention_dropout, dropout
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)
        rows, columns = self.window_size
        self.define_biases(rows, columns)
        y, x = np.divmod(np.arange(rows * columns), columns)
        offset = (y[:, None] - y + rows - 1) * (2 * columns - 1) + x[:, None] - x + columns - 1
        self.register_buffer("relative_position_index", Tensor(offset.flatten()))

    def define_biases(self, rows: int, columns: int) -> None:
        """What `biases` reads or computes."""
        table = zeros((2 * rows - 1) * (2 * columns - 1), self.num_heads)
        self.relative_position_bias_table = nn.Parameter(table)
        init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def biases(self) -> Tensor:
        """(offsets, heads)."""
        return self.relative_position_bias_table

    def heads_of(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values: (N, windows, heads, places, a head's channels)."""
        q, k, v = self._split(self.qkv(x))
        return q, k, v

    def _split(self, qkv: Tensor) -> Tensor:
        return qkv.unflatten(-1, (3, self.num_heads, -1)).permute(3, 0, 1, 4, 2, 5)

    def forward(self, x: Tensor) -> Tensor:
        _, height, width, _ = x.shape
        window = self.window_size
        x = F.pad(x, (0, 0, 0, -width % window[1], 0, -height % window[0]))
        _, tall, wide, _ = x.shape
        # A window as large as the image sees everything: nothing to shift.
        shift = tuple(by if size < extent else 0 for by, size, extent
                      in zip(self.shift_size, window, (tall, wide), strict=True))  # fmt: skip
        down, right = shift
        x = partition(roll(x, (-down, -right), axis=(1, 2)) if any(shift) else x, window)
        mask = strangers(tall, wide, window, (down, right)) if any(shift) else None
        x = unite(self._attend(x, mask), window, tall, wide)
        x = roll(x, shift, axis=(1, 2)) if any(shift) else x
        return x[:, :height, :width]

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Each window of (N, windows, places, C) by itself."""
        batch, windows, places, channels = x.shape
        q, k, v = self.heads_of(x)
        bias = self.biases()[self.relative_position_index]
        bias = bias.reshape(places, places, -1).permute(2, 0, 1)
        bias = bias if mask is None else bias + mask
        dropped = self.attention_dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, bias, dropped, scale=self.scale)
        out = out.transpose(2, 3).reshape(batch, windows, places, channels)
        return F.dropout(self.proj(out), self.dropout, self.training)


class SwinTransformerBlock(nn.Module):
    """Attention, then a perceptron; normalisation goes before each, a shortcut around it."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: Sequence[int],
        shift_size: Sequence[int],
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth_prob: float = 0.0,
        norm_layer: Layer = nn.LayerNorm,
        attn_layer: Layer = ShiftedWindowAttention,
    ) -> None:
        super().__init__()
        self.norm1 = norm_layer(dim)
        self.attn = attn_layer(dim, window_size, shift_size, num_heads, attention_dropout, dropout)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.norm2 = norm_layer(dim)
        self.mlp = perceptron(dim, int(dim * mlp_ratio), dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.attn(self.norm1(x)))
        return x + self.stochastic_depth(self.mlp(self.norm2(x)))


class SwinTransformer(nn.Module):
    """Shapes: (N, 3, H, W) to (N, num_classes)."""

    def __init__(
        self,
        patch_size: Sequence[int],
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_size: Sequence[int],
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth_prob: float = 0.1,
        num_classes: int = 1000,
        norm_layer: Layer | None = None,
        block: Layer | None = None,
        downsample_layer: Layer = PatchMerging,
    ) -> None:
        super().__init__()
        norm = norm_layer or nn.LayerNorm
        patches = nn.Conv2d(3, embed_dim, kernel_size=patch_size, stride=patch_size)
        layers: list[nn.Module] = [nn.Sequential(patches, Permute([0, 2, 3, 1]), norm(embed_dim))]
        dim, before = embed_dim, 0
        for depth, heads in zip(depths, num_heads, strict=True):
            if before:
                layers.append(downsample_layer(dim, norm))
                dim *= 2
            blocks = []
            for i in range(depth):
                shift = [size // 2 if i % 2 else 0 for size in window_size]
                skipped = stochastic_depth_prob * before / max(1, sum(depths) - 1)
                shape = (dim, heads, window_size, shift, mlp_ratio, dropout, attention_dropout)
                blocks.append((block or SwinTransformerBlock)(*shape, skipped, norm))
                before += 1
            layers.append(nn.Sequential(*blocks))
        self.features = nn.Sequential(*layers)
        self.norm = norm(dim)
        self.permute = Permute([0, 3, 1, 2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)
        self.head = nn.Linear(dim, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                init.trunc_normal_(module.weight, std=0.02)
                zero_bias(module)

    def forward(self, x: Tensor) -> Tensor:
        x = self.permute(self.norm(self.features(x)))
        return self.head(self.flatten(self.avgpool(x)))


_swin = partial(SwinTransformer, patch_size=[4, 4], window_size=[7, 7])


@builder
def swin_t(**settings: Any) -> SwinTransformer:
    """12 layers from 96 channels; `settings` are those of the class."""
    return _swin(**{"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24],
                    "stochastic_depth_prob": 0.2, **settings})  # fmt: skip


@builder
def swin_s(**settings: Any) -> SwinTransformer:
    """24 layers from 96 channels."""
    return _swin(**{"embed_dim": 96, "depths": [2, 2, 18, 2], "num_heads": [3, 6, 12, 24],
                    "stochastic_depth_prob": 0.3, **settings})  # fmt: skip


@builder
def swin_b(**settings: Any) -> SwinTransformer:
    """24 layers from 128 channels."""
    return _swin(**{"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32],
                    "stochastic_depth_prob": 0.5, **settings})  # fmt: skip
