"""Normalisation of each example by itself: over its last axes, groups of channels, neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError
from ambos.core.shape import Shape
from ambos.nn import functional as F
from ambos.nn import init
from ambos.nn.layer import layer
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter, unset
from ambos.tensor.handle import Tensor


class _Affine(Module):
    """A weight and a bias of one shape, 1 and 0 at first, where there are any."""

    weight: Parameter | None
    bias: Parameter | None

    def _affine(self, shape: Shape, scale: bool, shift: bool, device: Any, dtype: Any) -> None:
        self.register_parameter("weight", unset(shape, device, dtype) if scale else None)
        self.register_parameter("bias", unset(shape, device, dtype) if shift else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights 1, biases 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


def _sizes(kind: str, given: int | Sequence[int]) -> Shape:
    sizes = [given] if not isinstance(given, Sequence) else given
    return tuple(positive(f"{kind}: normalized_shape", n) for n in sizes)


class LayerNorm(_Affine):
    """Each example's last axes with mean 0 and variance 1, then scaled and shifted.

    Shapes: (..., *normalized_shape), kept.
    Errors: ShapeError where the input does not end in `normalized_shape`.
    Source: Ba, Kiros, Hinton (2016), "Layer normalization".

    Example:
        >>> import ambos as am
        >>> LayerNorm(2, eps=0.0)(am.tensor([[1.0, 3.0]])).numpy()
        array([[-1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _sizes("LayerNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self._affine(
            self.normalized_shape, elementwise_affine, elementwise_affine and bias, device, dtype
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Each example's last axes divided by the root of their mean square, then scaled.

    Shapes: (..., *normalized_shape), kept.
    Errors: ShapeError where the input does not end in `normalized_shape`.
    Source: Zhang and Sennrich (2019), "Root mean square layer normalization".

    Example:
        >>> import ambos as am
        >>> RMSNorm(4)(am.ones(2, 4)).shape
        (2, 4)
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _sizes("RMSNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        weight = unset(self.normalized_shape, device, dtype) if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(_Affine):
    """Groups of each example's channels with mean 0 and variance 1, then scaled and shifted.

    Shapes: (N, num_channels, ...), kept.
    Errors: ArgumentError unless `num_groups` divides `num_channels`; ShapeError for other channels.
    Source: Wu and He (2018), "Group normalization".

    Example:
        >>> import ambos as am
        >>> GroupNorm(2, 6)(am.ones(3, 6, 4)).shape
        (3, 6, 4)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = positive("GroupNorm: num_groups", num_groups)
        self.num_channels = positive("GroupNorm: num_channels", num_channels)
        if num_channels % num_groups:
            raise ArgumentError(
                f"GroupNorm: num_groups is {num_groups} for {num_channels} channels; need a "
                "divisor of them"
            )
        self.eps, self.affine = eps, affine
        self._affine((num_channels,), affine, affine and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


@layer
class LocalResponseNorm(Module):
    """Each element divided by a power of the mean square of its neighbours among the channels.

    Shapes: (N, C, ...), kept.
    Errors: ShapeError for fewer than three axes.
    Source: Krizhevsky, Sutskever, Hinton (2012), "ImageNet classification".

    Example:
        >>> import ambos as am
        >>> layer = LocalResponseNorm(2)
        >>> layer, layer(am.ones(2, 4, 3)).shape
        (LocalResponseNorm(2, alpha=0.0001, beta=0.75, k=1.0), (2, 4, 3))
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
