"""Whisper: speech in (a spectrogram), text out.

Source: Radford, Kim, Xu, Brockman, McLeavey, Sutskever (2023), "Robust speech recognition via
large-scale weak supervision". Names and keys as in Hugging Face's transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos import nn
from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, ShapeError
from ambos.models.building import builder
from ambos.models.decoding import Attend, Cache, CacheSizes, Growing, Memory, merge, split, whole
from ambos.models.generation import Transduces
from ambos.nn import functional as F
from ambos.nn import init
from ambos.tensor.creation import arange
from ambos.tensor.handle import Tensor

__all__ = ["WhisperConfig", "WhisperForConditionalGeneration", "whisper_base", "whisper_small",
           "whisper_tiny"]  # fmt: skip


@dataclass(frozen=True)
class WhisperConfig(metaclass=Checked):
    """Sizes of a Whisper, under the names of its `config.json`."""

    vocab_size: int = 51865
    num_mel_bins: int = 80
    d_model: int = 384
    encoder_layers: int = 4
    encoder_attention_heads: int = 6
    encoder_ffn_dim: int = 1536
    decoder_layers: int = 4
    decoder_attention_heads: int = 6
    decoder_ffn_dim: int = 1536
    max_source_positions: int = 1500
    max_target_positions: int = 448
    dropout: float = 0.0
    init_std: float = 0.02
    decoder_start_token_id: int = 50257


def sinusoids(length: int, channels: int, longest: float = 10000.0) -> np.ndarray:
    """Sines, then cosines, of places at frequencies that fall geometrically."""
    step = np.log(longest) / (channels // 2 - 1)
    angles = np.arange(length)[:, None] * np.exp(-step * np.arange(channels // 2))
    return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)


class WhisperAttention(nn.Module):
    def __init__(self, width: int, num_heads: int, layer: int) -> None:
        super().__init__()
        self.layer, self.num_heads = layer, num_heads
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj, self.q_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def heads(self, x: Tensor) -> Tensor:
        return split(x, self.num_heads)

    def remember(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of an encoder's states."""
        return self.heads(self.k_proj(states)), self.heads(self.v_proj(states))

    def among(self, x: Tensor, attend: Attend) -> Tensor:
        q, k, v = (self.heads(part(x)) for part in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(merge(attend(self.layer, q, k, v)))

    def across(self, x: Tensor, memory: Memory) -> Tensor:
        mixed = memory.attend(self.layer, self.heads(self.q_proj(x)))
        return self.out_proj(merge(mixed))


class WhisperLayer(nn.Module):
    """A block of the encoder; with `looks_across` one of the decoder."""

    def __init__(
        self, config: WhisperConfig, layer: int, num_heads: int, inner: int, looks_across: bool
    ) -> None:
        super().__init__()
        width = config.d_model
        self.looks_across = looks_across
        self.self_attn = WhisperAttention(width, num_heads, layer)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        if looks_across:
            self.encoder_attn = WhisperAttention(width, num_heads, layer)
            self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, attend: Attend, memory: Memory | None = None) -> Tensor:
        x = x + self.dropout(self.self_attn.among(self.self_attn_layer_norm(x), attend))
        if memory is not None:
            y = self.encoder_attn.across(self.encoder_attn_layer_norm(x), memory)
            x = x + self.dropout(y)
        return x + self.dropout(self.fc2(F.gelu(self.fc1(self.final_layer_norm(x)))))


class WhisperEncoder(nn.Module):
    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        width = config.d_model
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config.max_source_positions, width)
        self.embed_positions.weight.data = Tensor(sinusoids(config.max_source_positions, width))
        self.embed_positions.requires_grad_(False)
        self.layers = nn.ModuleList([
            WhisperLayer(config, i, config.encoder_attention_heads, config.encoder_ffn_dim, False)
            for i in range(config.encoder_layers)
        ])  # fmt: skip
        self.layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_features: Tensor) -> Tensor:
        need = 2 * self.embed_positions.num_embeddings
        if input_features.ndim != 3 or input_features.shape[2] != need:
            raise ShapeError(
                f"Whisper: input_features is {tuple(input_features.shape)}; need (batch, "
                f"{self.conv1.in_channels}, {need}): 30 seconds of frames, padded"
            )
        x = F.gelu(self.conv2(F.gelu(self.conv1(input_features))))
        x = self.dropout(x.transpose(1, 2) + self.embed_positions.weight)
        attend = whole()
        for layer in self.layers:
            x = layer(x, attend)
        return self.layer_norm(x)


class WhisperDecoder(nn.Module):
    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.embed_positions = nn.Embedding(config.max_target_positions, config.d_model)
        self.layers = nn.ModuleList([
            WhisperLayer(config, i, config.decoder_attention_heads, config.decoder_ffn_dim, True)
            for i in range(config.decoder_layers)
        ])  # fmt: skip
        self.layer_norm = nn.LayerNorm(config.d_model)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_ids: Tensor, places: Tensor, attend: Attend, memory: Memory) -> Tensor:
        x = self.dropout(self.embed_tokens(input_ids) + self.embed_positions(places))
        for layer in self.layers:
            x = layer(x, attend, memory)
        return self.layer_norm(x)


class WhisperModel(nn.Module):
    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.encoder = WhisperEncoder(config)
        self.decoder = WhisperDecoder(config)


class WhisperForConditionalGeneration(Transduces, nn.Module):
    """An encoder of speech, and a decoder that looks at it and says the next token.

    Shapes: input_features (batch, num_mel_bins, 2 * max_source_positions), decoder_input_ids
        (batch, tokens); the result are logits (batch, tokens, vocab_size).
    Errors: ShapeError for features of another length; IndexingError for a token out of range.

    Example:
        >>> import ambos as am
        >>> model = whisper_tiny(
        ...     vocab_size=50,
        ...     num_mel_bins=4,
        ...     d_model=8,
        ...     encoder_layers=1,
        ...     decoder_layers=1,
        ...     encoder_attention_heads=2,
        ...     decoder_attention_heads=2,
        ...     max_source_positions=6,
        ... )
        >>> model(am.zeros(1, 4, 12), am.tensor([[1, 2]])).shape
        (1, 2, 50)
    """

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.config = config
        self.model = WhisperModel(config)
        self.proj_out = nn.Linear(config.d_model, config.vocab_size, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                init.normal_(module.weight, std=config.init_std)
                if module.bias is not None:
                    init.zeros_(module.bias)
        for table in (self.model.decoder.embed_tokens, self.model.decoder.embed_positions):
            init.normal_(table.weight, std=config.init_std)
        self.proj_out.weight = self.model.decoder.embed_tokens.weight

    def forward(self, input_features: Any, decoder_input_ids: Any = None) -> Tensor:
        if decoder_input_ids is None:
            raise ArgumentError(
                "Whisper: got no decoder_input_ids; need the tokens that the decoder has said so "
                "far, or model.generate(input_features)"
            )
        memory = self.remember(input_features)
        places, attend = arange(decoder_input_ids.shape[-1]), whole(is_causal=True)
        return self.proj_out(self.model.decoder(decoder_input_ids, places, attend, memory))

    # What generation asks for

    @property
    def most_tokens(self) -> int:
        return self.config.max_target_positions

    @property
    def first_token(self) -> int:
        return self.config.decoder_start_token_id

    def remember(self, input_features: Any, attention_mask: Any = None) -> Memory:
        states = self.model.encoder(input_features)
        pairs = [layer.encoder_attn.remember(states) for layer in self.model.decoder.layers]
        return Memory.of(pairs, attention_mask)

    @property
    def cache_sizes(self) -> CacheSizes:
        config = self.config
        heads = config.decoder_attention_heads
        return CacheSizes(config.decoder_layers, heads, config.d_model // heads)

    def decode(self, tokens: Tensor, cache: Cache, memory: Memory) -> tuple[Tensor, Cache]:
        growing = Growing(cache, tokens.shape[1])
        x = self.model.decoder(tokens, growing.positions, growing.attend, memory)
        return self.proj_out(x[:, -1]), growing.cache


@builder
def whisper_tiny(**config: Any) -> WhisperForConditionalGeneration:
    """Whisper tiny, 39 million parameters; settings are those of WhisperConfig."""
    return WhisperForConditionalGeneration(WhisperConfig(**config))


def _sized(layers: int, width: int, heads: int, config: dict[str, Any]) -> WhisperConfig:
    sizes: dict[str, Any] = {"d_model": width}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": layers, f"{side}_attention_heads": heads,
                  f"{side}_ffn_dim": 4 * width}  # fmt: skip
    return WhisperConfig(**sizes | config)


@builder
def whisper_base(**config: Any) -> WhisperForConditionalGeneration:
    """Whisper base, 74 million parameters."""
    return WhisperForConditionalGeneration(_sized(6, 512, 8, config))


@builder
def whisper_small(**config: Any) -> WhisperForConditionalGeneration:
    """Whisper small, 244 million parameters."""
    return WhisperForConditionalGeneration(_sized(12, 768, 12, config))
