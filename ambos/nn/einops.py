"""einops as layers: `Rearrange`, `Reduce` and `EinMix`, as `einops.layers.torch` has them.

Needs einops, which is not installed with ambos. Its functions (`einops.rearrange(x, ...)`) work on
tensors without importing anything from here.
"""

from __future__ import annotations

from typing import Any

from einops.layers import RearrangeMixin, ReduceMixin
from einops.layers._einmix import _EinmixMixin

from ambos.nn import init
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter
from ambos.tensor.creation import empty
from ambos.tensor.handle import Tensor
from ambos.tensor.linear import einsum


class Rearrange(RearrangeMixin, Module):
    """`einops.rearrange` as a layer.

    Example:
        >>> import ambos as am
        >>> Rearrange("b c h w -> b (h w) c")(am.ones(2, 3, 4, 5)).shape
        (2, 20, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self._apply_recipe(x)
        return found


class Reduce(ReduceMixin, Module):
    """`einops.reduce` as a layer.

    Example:
        >>> import ambos as am
        >>> Reduce("b c (h 2) (w 2) -> b c h w", "max")(am.ones(2, 3, 4, 6)).shape
        (2, 3, 2, 3)
    """

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self._apply_recipe(x)
        return found


class EinMix(_EinmixMixin, Module):
    """A linear layer over named axes: Einstein's sum with a weight, and rearranging around it.

    Example:
        >>> import ambos as am
        >>> mix = EinMix("t b c -> t b d", weight_shape="c d", bias_shape="d", c=3, d=5)
        >>> mix(am.ones(2, 4, 3)).shape
        (2, 4, 5)
    """

    einsum_pattern: str

    def _create_parameters(
        self,
        weight_shape: list[int],
        weight_bound: float,
        bias_shape: list[int] | None,
        bias_bound: float,
    ) -> None:
        self.weight = Parameter(init.uniform_(empty(weight_shape), -weight_bound, weight_bound))
        self.bias: Parameter | None = None
        if bias_shape is not None:
            self.bias = Parameter(init.uniform_(empty(bias_shape), -bias_bound, bias_bound))

    def _create_rearrange_layers(
        self,
        pre_reshape_pattern: str | None,
        pre_reshape_lengths: dict[str, int] | None,
        post_reshape_pattern: str | None,
        post_reshape_lengths: dict[str, int] | None,
    ) -> None:
        self.pre_rearrange = _layer(pre_reshape_pattern, pre_reshape_lengths)
        self.post_rearrange = _layer(post_reshape_pattern, post_reshape_lengths)

    def forward(self, x: Tensor) -> Tensor:
        if self.pre_rearrange is not None:
            x = self.pre_rearrange(x)
        x = einsum(self.einsum_pattern, x, self.weight)
        if self.bias is not None:
            x = x + self.bias
        return x if self.post_rearrange is None else self.post_rearrange(x)


def _layer(pattern: str | None, lengths: dict[str, Any] | None) -> Rearrange | None:
    return None if pattern is None else Rearrange(pattern, **(lengths or {}))
