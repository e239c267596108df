"""Rotary positions as a layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from ambos.core.arguments import number, positive
from ambos.core.errors import ArgumentError, ShapeError
from ambos.nn import functional as F
from ambos.nn.functional.shared import as_tensor
from ambos.nn.layer import layer
from ambos.nn.module import Module
from ambos.tensor.creation import arange
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import concat


@layer
class RotaryEmbedding(Module):
    """Queries or keys with their first `dim` features turned, in pairs, by angles that grow with
    the position: pair i turns by position * base ** (-2 i / dim).

    Pairs are features i and i + dim / 2 (GPT-NeoX, LLaMA in Hugging Face's form), or with
    `interleaved` 2 i and 2 i + 1 (the paper, GPT-J, LLaMA in Meta's form). `positions` are 0, 1,
    2, ... unless given, for instance behind a cache of keys.

    Shapes: (..., tokens, features), kept; positions (tokens,), or what broadcasts to (..., tokens).
    Errors: ArgumentError unless `dim` is even; ShapeError for fewer features than `dim`.
    Source: Su, Lu, Pan, Murtadha, Wen, Liu (2021), "RoFormer: enhanced transformer with rotary
        position embedding".

    Example:
        >>> import ambos as am
        >>> rotary = RotaryEmbedding(8)
        >>> rotary, rotary(am.ones(2, 4, 5, 16)).shape
        (RotaryEmbedding(dim=8, base=10000.0, interleaved=False), (2, 4, 5, 16))
    """

    dim: int
    base: float = 10000.0
    interleaved: bool = False

    def __post_init__(self) -> None:
        if positive("RotaryEmbedding: dim", self.dim) % 2:
            raise ArgumentError(f"RotaryEmbedding: dim is {self.dim!r}; need an even number")
        self.base = number("RotaryEmbedding: base", self.base)

    def forward(self, input: Tensor, positions: Any = None) -> Tensor:
        x = as_tensor(input)
        if x.ndim < 2 or x.shape[-1] < self.dim:
            raise ShapeError(
                f"RotaryEmbedding: got {tuple(x.shape)}; need (..., tokens, features) with at "
                f"least dim={self.dim} features"
            )
        angles = self.angles(arange(x.shape[-2]) if positions is None else positions)
        if x.shape[-1] == self.dim:
            return F.rotary_embedding(x, angles, self.interleaved)
        turned = F.rotary_embedding(x[..., : self.dim], angles, self.interleaved)
        return concat([turned, x[..., self.dim :]], -1)

    def angles(self, positions: Any) -> Tensor:
        """By how much each pair is turned at these positions: (..., tokens, dim / 2)."""
        pairs = np.arange(0, self.dim, 2, dtype=np.float32)
        turns = Tensor((self.base ** -(pairs / self.dim)).astype(np.float32))
        return as_tensor(positions).float()[..., None] * turns
