"""wav2vec 2.0: sound in, as it was recorded; states of every 20 ms or letters (CTC) out.

Source: Baevski, Zhou, Mohamed, Auli (2020), "wav2vec 2.0: a framework for self-supervised learning
of speech representations". Names and keys as in Hugging Face's transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos import nn
from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, ShapeError
from ambos.models.building import builder
from ambos.models.decoding import Attend, merge, split, whole
from ambos.nn import functional as F
from ambos.nn import init
from ambos.nn.utils.parametrizations import weight_norm
from ambos.tensor.creation import arange
from ambos.tensor.handle import Tensor
from ambos.tensor.pointwise import where

__all__ = ["Wav2Vec2Config", "Wav2Vec2ForCTC", "Wav2Vec2Model", "wav2vec2_base"]


@dataclass(frozen=True)
class Wav2Vec2Config(metaclass=Checked):
    """Sizes of a wav2vec 2.0 (base), under the names of its `config.json`."""

    vocab_size: int = 32
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    feat_proj_dropout: float = 0.0
    final_dropout: float = 0.1
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        sizes = [len(part) for part in (self.conv_dim, self.conv_stride, self.conv_kernel)]
        if len({*sizes}) > 1 or not sizes[0]:
            raise ArgumentError(
                f"Wav2Vec2Config: conv_dim, conv_stride and conv_kernel have {sizes} entries; need "
                "one number of layers"
            )

    def norm(self) -> nn.LayerNorm:
        return nn.LayerNorm(self.hidden_size, self.layer_norm_eps)

    def frames(self, samples: Any) -> Any:
        """How many states so many samples become."""
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples


class Wav2Vec2ConvLayer(nn.Module):
    """A convolution over time; the first one's channels are normalised over the whole sound."""

    def __init__(self, config: Wav2Vec2Config, number: int) -> None:
        super().__init__()
        inputs = config.conv_dim[number - 1] if number else 1
        outputs, kernel = config.conv_dim[number], config.conv_kernel[number]
        stride = config.conv_stride[number]
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, bias=config.conv_bias)
        init.kaiming_normal_(self.conv.weight)
        if number == 0:
            self.layer_norm = nn.GroupNorm(outputs, outputs)
        self.is_first = number == 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.gelu(self.layer_norm(x) if self.is_first else x)


class Wav2Vec2FeatureEncoder(nn.Module):
    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        numbers = range(len(config.conv_dim))
        self.conv_layers = nn.ModuleList([Wav2Vec2ConvLayer(config, i) for i in numbers])

    def forward(self, samples: Tensor) -> Tensor:
        x = samples.unsqueeze(1)
        for layer in self.conv_layers:
            x = layer(x)
        return x.transpose(1, 2)


class Wav2Vec2FeatureProjection(nn.Module):
    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.conv_dim[-1], config.layer_norm_eps)
        self.projection = nn.Linear(config.conv_dim[-1], config.hidden_size)
        self.dropout = nn.Dropout(config.feat_proj_dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.projection(self.layer_norm(x)))


class Wav2Vec2PositionalConvEmbedding(nn.Module):
    """Where a state stands is told by what is around it: a wide convolution."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        width, kernel = config.hidden_size, config.num_conv_pos_embeddings
        groups = config.num_conv_pos_embedding_groups
        conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)
        init.normal_(conv.weight, std=2 * (1 / (kernel * width)) ** 0.5)
        if conv.bias is not None:
            init.zeros_(conv.bias)
        self.conv = weight_norm(conv, name="weight", dim=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x.transpose(1, 2))[:, :, : x.shape[1]]  # an even kernel gives one too many
        return F.gelu(y).transpose(1, 2)


class Wav2Vec2Attention(nn.Module):
    def __init__(self, config: Wav2Vec2Config, layer: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.layer, self.num_heads = layer, config.num_attention_heads
        self.k_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.q_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        q, k, v = (
            split(project(x), self.num_heads) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(merge(attend(self.layer, q, k, v)))


class Wav2Vec2FeedForward(nn.Module):
    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output_dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.output_dense(F.gelu(self.intermediate_dense(x))))


class Wav2Vec2EncoderLayer(nn.Module):
    def __init__(self, config: Wav2Vec2Config, layer: int) -> None:
        super().__init__()
        self.attention = Wav2Vec2Attention(config, layer)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layer_norm = config.norm()
        self.feed_forward = Wav2Vec2FeedForward(config)
        self.final_layer_norm = config.norm()

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        x = self.layer_norm(x + self.dropout(self.attention(x, attend)))
        return self.final_layer_norm(x + self.feed_forward(x))


class Wav2Vec2Encoder(nn.Module):
    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.pos_conv_embed = Wav2Vec2PositionalConvEmbedding(config)
        self.layer_norm = config.norm()
        self.dropout = nn.Dropout(config.hidden_dropout)
        layers = range(config.num_hidden_layers)
        self.layers = nn.ModuleList([Wav2Vec2EncoderLayer(config, i) for i in layers])

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        x = self.dropout(self.layer_norm(x + self.pos_conv_embed(x)))
        for layer in self.layers:
            x = layer(x, attend)
        return x


class Wav2Vec2Model(nn.Module):
    """States of every 20 ms of sound at 16 kHz.

    `attention_mask` (batch, samples) is 0 where a sound was padded, and `mask_time_indices`
    (batch, states) True for states that are to be guessed.

    Shapes: input_values (batch, samples); the result is (batch, states, hidden_size).
    Errors: ShapeError for a sound that is shorter than one state.
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = Wav2Vec2FeatureEncoder(config)
        self.feature_projection = Wav2Vec2FeatureProjection(config)
        self.masked_spec_embed = nn.Parameter(np.zeros(config.hidden_size, np.float32))
        init.uniform_(self.masked_spec_embed)
        self.encoder = Wav2Vec2Encoder(config)

    def forward(
        self, input_values: Any, attention_mask: Any = None, mask_time_indices: Any = None
    ) -> Tensor:
        if input_values.ndim != 2 or self.config.frames(input_values.shape[1]) < 1:
            raise ShapeError(
                f"Wav2Vec2Model: input_values is {tuple(input_values.shape)}; need (batch, "
                "samples), as many samples as make a state"
            )
        x = self.feature_projection(self.feature_extractor(input_values))
        if mask_time_indices is not None:
            x = where(mask_time_indices.unsqueeze(-1), self.masked_spec_embed, x)
        present = None
        if attention_mask is not None:
            lengths = self.config.frames(attention_mask.sum(1))
            present = arange(x.shape[1]) < lengths.unsqueeze(1)
            x = where(present.unsqueeze(-1), x, 0.0)
        dropped = self.config.attention_dropout if self.training else 0.0
        return self.encoder(x, whole(present, dropout_p=dropped))


class Wav2Vec2ForCTC(nn.Module):
    """wav2vec 2.0 with a head of letters, for `F.ctc_loss`.

    Shapes: as Wav2Vec2Model; the result are logits (batch, states, vocab_size).
    Errors: as Wav2Vec2Model.

    Example:
        >>> import ambos as am
        >>> model = wav2vec2_base(
        ...     hidden_size=16,
        ...     num_hidden_layers=1,
        ...     num_attention_heads=2,
        ...     intermediate_size=16,
        ...     conv_dim=(8, 8),
        ...     conv_stride=(5, 2),
        ...     conv_kernel=(10, 3),
        ...     num_conv_pos_embeddings=4,
        ...     num_conv_pos_embedding_groups=2,
        ... )
        >>> model(am.zeros(1, 100)).shape
        (1, 9, 32)
    """

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.config = config
        self.wav2vec2 = Wav2Vec2Model(config)
        self.dropout = nn.Dropout(config.final_dropout)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                init.normal_(module.weight, std=config.initializer_range)
                if module.bias is not None:
                    init.zeros_(module.bias)

    def forward(
        self, input_values: Any, attention_mask: Any = None, mask_time_indices: Any = None
    ) -> Tensor:
        x = self.wav2vec2(input_values, attention_mask, mask_time_indices)
        return self.lm_head(self.dropout(x))


@builder
def wav2vec2_base(**config: Any) -> Wav2Vec2ForCTC:
    """wav2vec 2.0 base, 95 million parameters; settings are those of Wav2Vec2Config."""
    return Wav2Vec2ForCTC(Wav2Vec2Config(**config))
