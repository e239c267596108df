"""Gated linear units as feed-forward layers: SwiGLU, GEGLU, and with other activations."""

from __future__ import annotations

from typing import Any

from ambos.nn import functional as F
from ambos.nn.linear import Linear
from ambos.nn.module import Module
from ambos.tensor.handle import Tensor


class _Gated(Module):
    """down(activation(gate(x)) * up(x)), with the names of LLaMA's layers."""

    def activation(self, gate: Tensor) -> Tensor:
        """What gates the hidden features."""
        raise NotImplementedError

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        out_features: int | None = None,
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        out_features = in_features if out_features is None else out_features
        self.gate_proj = Linear(in_features, hidden_features, bias, device, dtype)
        self.up_proj = Linear(in_features, hidden_features, bias, device, dtype)
        self.down_proj = Linear(hidden_features, out_features, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        gate = self.activation(self.gate_proj(input))
        found: Tensor = self.down_proj(gate * self.up_proj(input))
        return found


class SwiGLU(_Gated):
    """A feed-forward layer whose hidden features are gated by SiLU.

    Shapes: (..., in_features) to (..., out_features), which are as many unless given.
    Errors: ShapeError where the input does not fit.
    Source: Shazeer (2020), "GLU variants improve Transformer".

    Example:
        >>> import ambos as am
        >>> SwiGLU(4, 6)(am.ones(2, 4)).shape
        (2, 4)
    """

    def activation(self, gate: Tensor) -> Tensor:
        """SiLU."""
        return F.silu(gate)


class GEGLU(_Gated):
    """A feed-forward layer whose hidden features are gated by GELU.

    Shapes: (..., in_features) to (..., out_features), which are as many unless given.
    Errors: ShapeError where the input does not fit.
    Source: Shazeer (2020), "GLU variants improve Transformer".

    Example:
        >>> import ambos as am
        >>> GEGLU(4, 6)(am.ones(2, 4)).shape
        (2, 4)
    """

    def activation(self, gate: Tensor) -> Tensor:
        """GELU."""
        return F.gelu(gate)
