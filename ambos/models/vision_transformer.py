"""Vision transformer: an image is a sequence of patches, read by a plain transformer encoder.

Source: Dosovitskiy et al. (2021), "An image is worth 16x16 words".
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

from ambos import nn
from ambos.core.errors import ArgumentError, ShapeError
from ambos.models.blocks import MLP, Layer, zero_bias
from ambos.models.building import builder, understand
from ambos.nn import init
from ambos.tensor.creation import zeros
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import cat

__all__ = ["VisionTransformer", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32"]

NORM = partial(nn.LayerNorm, eps=1e-6)
# Checkpoints of before 2022 name the two layers of a perceptron, where new ones count them.
OLD_KEY = re.compile(r"(mlp\.)linear_([12])(\.)")


def _new_key(old: re.Match[str]) -> str:
    return f"{old[1]}{3 * (int(old[2]) - 1)}{old[3]}"


def perceptron(width: int, hidden: int, dropout: float) -> MLP:
    """Two layers with GELU between them, with the paper's initial values."""
    found = MLP(width, [hidden, width], activation_layer=nn.GELU, dropout=dropout)
    for module in found:
        if isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.normal_(module.bias, std=1e-6)
    return found


class EncoderBlock(nn.Module):
    """Attention, then a perceptron; normalisation goes before each, a shortcut around it."""

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Layer = NORM,
    ) -> None:
        super().__init__()
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(
            hidden_dim, num_heads, dropout=attention_dropout, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = perceptron(hidden_dim, mlp_dim, dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        y, _ = self.self_attention(y, y, y, need_weights=False)
        x = x + self.dropout(y)
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Learned positions, `num_layers` blocks, a last normalisation."""

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Layer = NORM,
    ) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(zeros(1, seq_length, hidden_dim))
        init.normal_(self.pos_embedding, std=0.02)
        self.dropout = nn.Dropout(dropout)
        shape = (num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer)
        self.layers = nn.Sequential(
            {f"encoder_layer_{i}": EncoderBlock(*shape) for i in range(num_layers)}
        )
        self.ln = norm_layer(hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.ln(self.layers(self.dropout(x + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """Patches and a token that ends up as the class, through an encoder.

    Shapes: (N, 3, image_size, image_size) to (N, num_classes).
    Errors: ArgumentError unless patches fill the image; ShapeError for an image of another size.
    Source: Dosovitskiy et al. (2021), "An image is worth 16x16 words".
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
        norm_layer: Layer = NORM,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ArgumentError(
                f"VisionTransformer: image_size is {image_size}; need a multiple of "
                f"patch_size={patch_size}"
            )
        self.image_size, self.patch_size = image_size, patch_size
        self.conv_proj = nn.Conv2d(3, hidden_dim, kernel_size=patch_size, stride=patch_size)
        self.class_token = nn.Parameter(zeros(1, 1, hidden_dim))
        length = (image_size // patch_size) ** 2 + 1
        shape = (num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout)
        self.encoder = Encoder(length, *shape, norm_layer)
        if representation_size is None:
            self.heads = nn.Sequential({"head": nn.Linear(hidden_dim, num_classes)})
        else:
            self.heads = nn.Sequential({
                "pre_logits": nn.Linear(hidden_dim, representation_size),
                "act": nn.Tanh(),
                "head": nn.Linear(representation_size, num_classes),
            })  # fmt: skip
            init.trunc_normal_(self.heads.pre_logits.weight, std=math.sqrt(1 / hidden_dim))
            zero_bias(self.heads.pre_logits)
        init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / (3 * patch_size**2)))
        for layer in (self.conv_proj, self.heads.head):
            zero_bias(layer)
        init.zeros_(self.heads.head.weight)
        understand(self, OLD_KEY, _new_key)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[-2:]) != (self.image_size, self.image_size):
            raise ShapeError(
                f"VisionTransformer: got {tuple(x.shape)}; need images of "
                f"{self.image_size}x{self.image_size}, or image_size={x.shape[-1]}"
            )
        patches = self.conv_proj(x).flatten(2).permute(0, 2, 1)
        token = self.class_token.expand(x.shape[0], -1, -1)
        return self.heads(self.encoder(cat([token, patches], axis=1))[:, 0])


def _vit(patch: int, layers: int, heads: int, width: int, settings: dict[str, Any]) -> Any:
    return VisionTransformer(**{"image_size": 224, "patch_size": patch, "num_layers": layers,
                                "num_heads": heads, "hidden_dim": width, "mlp_dim": 4 * width,
                                **settings})  # fmt: skip


@builder
def vit_b_16(**settings: Any) -> VisionTransformer:
    """12 layers of 768 features, patches of 16x16; `settings` are those of the class."""
    return _vit(16, 12, 12, 768, settings)


@builder
def vit_b_32(**settings: Any) -> VisionTransformer:
    """12 layers of 768 features, patches of 32x32."""
    return _vit(32, 12, 12, 768, settings)


@builder
def vit_l_16(**settings: Any) -> VisionTransformer:
    """24 layers of 1024 features, patches of 16x16."""
    return _vit(16, 24, 16, 1024, settings)


@builder
def vit_l_32(**settings: Any) -> VisionTransformer:
    """24 layers of 1024 features, patches of 32x32."""
    return _vit(32, 24, 16, 1024, settings)


@builder
def vit_h_14(**settings: Any) -> VisionTransformer:
    """32 layers of 1280 features, patches of 14x14."""
    return _vit(14, 32, 16, 1280, settings)
