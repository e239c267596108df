"""WaveNet: sound, sample by sample, from convolutions that look back twice as far in each layer.

Source: van den Oord et al. (2016), "WaveNet: a generative model for raw audio".
"""

from __future__ import annotations

import math
from typing import Any

from ambos import nn
from ambos.core.arguments import positive
from ambos.models.building import builder
from ambos.nn import functional as F
from ambos.tensor import random
from ambos.tensor.creation import full
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import cat
from ambos.tensor.loops import scan
from ambos.tensor.modes import no_grad

__all__ = ["WaveNet", "wavenet"]


def mu_law_encode(x: Tensor, classes: int = 256) -> Tensor:
    """Samples from -1 to 1 as whole numbers, finer near 0.

    Example:
        >>> import ambos as am
        >>> mu_law_encode(am.tensor([-1.0, 0.0, 0.01, 1.0]))
        tensor([  0, 128, 157, 255])
    """
    mu = classes - 1
    squeezed = x.sign() * (mu * x.abs()).log1p() / math.log1p(mu)
    return ((squeezed + 1) / 2 * mu + 0.5).to("int64")


def mu_law_decode(x: Tensor, classes: int = 256) -> Tensor:
    """The samples that `mu_law_encode` has taken for `x`.

    Example:
        >>> import ambos as am
        >>> mu_law_decode(am.tensor([0, 255]))
        tensor([-1.,  1.])
    """
    mu = classes - 1
    squeezed = x.to("float32") / mu * 2 - 1
    return squeezed.sign() * ((squeezed.abs() * math.log1p(mu)).exp() - 1) / mu


class CausalConv1d(nn.Conv1d):
    """Two taps: the sample, and the one `dilation` before; nothing of what follows."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__(inputs, outputs, kernel_size=2, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.dilation[0], 0)))


class Block(nn.Module):
    """A gated convolution; one result goes on, one to the output."""

    def __init__(self, residual_channels: int, skip_channels: int, dilation: int) -> None:
        super().__init__()
        self.filter = CausalConv1d(residual_channels, residual_channels, dilation)
        self.gate = CausalConv1d(residual_channels, residual_channels, dilation)
        self.residual = nn.Conv1d(residual_channels, residual_channels, 1)
        self.skip = nn.Conv1d(residual_channels, skip_channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = F.tanh(self.filter(x)) * F.sigmoid(self.gate(x))
        return x + self.residual(out), self.skip(out)


class WaveNet(nn.Module):
    """`stacks` times `layers` blocks, with dilations 1, 2, 4, ... in each stack.

    Shapes: whole numbers (N, T) below `classes`, to logits (N, classes, T): at each place those
        of the sample that follows.
    """

    def __init__(
        self,
        classes: int = 256,
        layers: int = 10,
        stacks: int = 3,
        residual_channels: int = 32,
        skip_channels: int = 256,
    ) -> None:
        super().__init__()
        self.classes = classes
        dilations = [2**layer for _ in range(stacks) for layer in range(layers)]
        self.receptive_field = 2 + sum(dilations)
        self.causal = CausalConv1d(classes, residual_channels)
        self.blocks = nn.ModuleList(
            Block(residual_channels, skip_channels, dilation) for dilation in dilations
        )
        self.head1 = nn.Conv1d(skip_channels, skip_channels, 1)
        self.head2 = nn.Conv1d(skip_channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.causal(F.one_hot(x, self.classes).to("float32").permute(0, 2, 1))
        total: Tensor | None = None
        for block in self.blocks:
            features, skipped = block(features)
            total = skipped if total is None else total + skipped
        return self.head2(F.relu(self.head1(F.relu(total))))

    def generate(self, length: int, batch: int = 1, temperature: float = 1.0) -> Tensor:
        """`length` samples, each drawn from what the ones before it say: one loop.

        Shapes: (batch, length), whole numbers.
        """
        positive("generate: length", length)

        def step(seen: Tensor, _: None) -> tuple[Tensor, Tensor]:
            drawn = random.categorical(logits=self(seen)[:, :, -1] / temperature)
            return cat([seen[:, 1:], drawn[:, None]], axis=1), drawn

        silence = full((batch, self.receptive_field), self.classes // 2, dtype="int64")
        with no_grad():
            return scan(step, silence, length=length)[1].transpose(0, 1)


@builder
def wavenet(**settings: Any) -> WaveNet:
    """WaveNet; `settings` are those of the class."""
    return WaveNet(**settings)
