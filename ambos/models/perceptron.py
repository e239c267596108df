"""Multi-layer perceptron: linear layers with an activation and dropout between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.models.blocks import MLP
from ambos.models.building import builder

__all__ = ["MLP", "mlp"]


@builder
def mlp(in_channels: int = 784, hidden_channels: Sequence[int] = (512, 512, 10),
        **settings: Any) -> MLP:  # fmt: skip
    """A perceptron from `in_channels` features to `hidden_channels[-1]`: torchvision.ops.MLP."""
    return MLP(in_channels, hidden_channels, **settings)
