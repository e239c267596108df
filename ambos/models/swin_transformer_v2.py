"""Swin transformer V2: normalisation after each part, cosines for scores, biases from a perceptron.

Source: Liu et al. (2022), "Swin transformer V2: scaling up capacity and resolution".
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ambos import nn
from ambos.models.blocks import Layer
from ambos.models.building import builder
from ambos.models.swin_transformer import (
    ShiftedWindowAttention,
    SwinTransformer,
    SwinTransformerBlock,
    corners,
)
from ambos.nn import functional as F
from ambos.tensor.creation import full, ones, zeros
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import cat

__all__ = ["swin_v2_b", "swin_v2_s", "swin_v2_t"]


class PatchMergingV2(nn.Module):
    """2x2 neighbours as one place with twice the channels, normalised then."""

    def __init__(self, dim: int, norm_layer: Layer = nn.LayerNorm) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.reduction(corners(x)))


class ShiftedWindowAttentionV2(ShiftedWindowAttention):
    """Scores are cosines, sharpened for each head by a learned number."""

    relative_coords_table: Tensor
    scale = 1.0

    def define_biases(self, rows: int, columns: int) -> None:
        """A perceptron of the offsets, whose logarithms reach beyond the windows of training."""
        self.logit_scale = nn.Parameter(full((self.num_heads, 1, 1), math.log(10)))
        axes = (8 * np.arange(1 - size, size) / (size - 1) for size in (rows, columns))
        offsets = np.stack(np.meshgrid(*axes, indexing="ij"), -1)[None]
        spread = np.sign(offsets) * np.log2(np.abs(offsets) + 1) / 3
        self.register_buffer("relative_coords_table", Tensor(spread.astype(np.float32)))
        self.cpb_mlp = nn.Sequential(
            nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, self.num_heads, bias=False)
        )

    def biases(self) -> Tensor:
        return 16 * self.cpb_mlp(self.relative_coords_table).flatten(0, -2).sigmoid()

    def heads_of(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        width = x.shape[-1]
        kept = cat([ones(width), zeros(width), ones(width)])  # keys have no bias
        bias = None if self.qkv.bias is None else self.qkv.bias * kept
        q, k, v = self._split(F.linear(x, self.qkv.weight, bias))
        sharp = self.logit_scale.clamp(max=math.log(100)).exp()
        return F.normalize(q, dim=-1) * sharp, F.normalize(k, dim=-1), v


class SwinTransformerBlockV2(SwinTransformerBlock):
    """Attention, then a perceptron; normalisation comes after each, a shortcut around both."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{"attn_layer": ShiftedWindowAttentionV2, **settings})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.norm1(self.attn(x)))
        return x + self.stochastic_depth(self.norm2(self.mlp(x)))


_swin_v2 = partial(
    SwinTransformer,
    patch_size=[4, 4],
    window_size=[8, 8],
    block=SwinTransformerBlockV2,
    downsample_layer=PatchMergingV2,
)


@builder
def swin_v2_t(**settings: Any) -> SwinTransformer:
    """12 layers from 96 channels; `settings` are those of the class."""
    return _swin_v2(**{"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24],
                       "stochastic_depth_prob": 0.2, **settings})  # fmt: skip


@builder
def swin_v2_s(**settings: Any) -> SwinTransformer:
    """24 layers from 96 channels."""
    return _swin_v2(**{"embed_dim": 96, "depths": [2, 2, 18, 2], "num_heads": [3, 6, 12, 24],
                       "stochastic_depth_prob": 0.3, **settings})  # fmt: skip


@builder
def swin_v2_b(**settings: Any) -> SwinTransformer:
    """24 layers from 128 channels."""
    return _swin_v2(**{"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32],
                       "stochastic_depth_prob": 0.5, **settings})  # fmt: skip
