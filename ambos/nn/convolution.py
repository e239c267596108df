"""Convolution layers over one, two and three axes, with and without inferred channels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape
from ambos.nn import functional as F
from ambos.nn import init
from ambos.nn.functional.shared import as_tensor, channels_first, per_axis
from ambos.nn.lazy import Lazy, Pattern, weight_and_bias
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter
from ambos.tensor.handle import Tensor

Sizes = int | Sequence[int]
MODES = ("zeros", "reflect", "replicate", "circular")  # what lies beyond the borders


class ConvBase(Module):
    """What convolutions and transposed ones share; `rank` is the number of spatial axes."""

    rank: ClassVar[int]
    lazy: ClassVar[type]
    weight: Parameter
    bias: Parameter | None
    output_padding: Shape = ()

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        kind, rank = self.kind, self.rank
        self.in_channels = 0 if in_channels is None else positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.kernel_size = per_axis(kind, "kernel_size", kernel_size, rank)
        self.stride = per_axis(kind, "stride", stride, rank)
        self.dilation = per_axis(kind, "dilation", dilation, rank)
        self.padding = self._checked_padding(padding)
        self.padding_mode = self._checked_mode(padding_mode)
        self.groups = positive("groups", groups)
        if self.in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"{kind}: groups is {groups} for {self.in_channels} input and {out_channels} "
                "output channels; need a divisor of both"
            )
        self.weight, self.bias = weight_and_bias(
            self._pattern(in_channels), (out_channels,) if bias else None, device, dtype
        )
        if in_channels is None:
            self.__class__ = self.lazy
        else:
            self.reset_parameters()

    @classmethod
    def advice(cls, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """For those who leave out the input's channels, as in Keras."""
        if len(args) == 2 and "kernel_size" not in kwargs and "in_channels" not in kwargs:
            return f"to infer in_channels use nn.{cls.lazy.__name__}({args[0]}, {args[1]})"
        if len(args) == 1 and "kernel_size" in kwargs:
            return f"to infer in_channels use nn.{cls.lazy.__name__}({args[0]}, ...)"
        return ""

    @property
    def kind(self) -> str:
        return f"Conv{self.rank}d"

    def _checked_padding(self, padding: Sizes | str) -> Shape | str:
        if not isinstance(padding, str):
            return per_axis(self.kind, "padding", padding, self.rank, least=0)
        if padding not in ("same", "valid"):
            raise ArgumentError(
                f"{self.kind}: padding is {padding!r}; need 'same', 'valid' or integers"
            )
        if padding == "same" and any(step != 1 for step in self.stride):
            raise ArgumentError(f"{self.kind}: padding='same' with stride {self.stride}; need 1")
        return padding

    def _checked_mode(self, mode: str) -> str:
        if mode not in MODES:
            known = ", ".join(map(repr, MODES))
            raise ArgumentError(f"{self.kind}: padding_mode is {mode!r}; need one of {known}")
        return mode

    def _pattern(self, in_channels: int | None) -> Pattern:
        """The shape of the weight."""
        inside = None if in_channels is None else in_channels // self.groups
        return (self.out_channels, inside, *self.kernel_size)

    def reset_parameters(self) -> None:
        """PyTorch's initial values: uniform, within 1 / sqrt(fan_in)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(init.fans(self.weight.shape)[0])
            init.uniform_(self.bias, -bound, bound)

    def _checked(self, input: Any) -> Tensor:
        x = as_tensor(input)
        found = self.features_of(x)
        if found != self.in_channels:
            last = channels_first(x, -1 - self.rank, self.in_channels)
            raise ShapeError(
                f"{self.kind}: got {found} channels in {tuple(x.shape)}; the layer has "
                f"in_channels={self.in_channels}{last}; use nn.{self.kind}({found}, "
                f"{self.out_channels}, ...) or nn.Lazy{self.kind}({self.out_channels}, ...)"
            )
        return x

    def features_of(self, x: Tensor) -> int:
        """The number of channels of an input."""
        if x.ndim not in (self.rank + 1, self.rank + 2):
            sizes = ", ".join(("depth", "height", "width")[3 - self.rank :])
            raise ShapeError(
                f"{self.kind}: got {tuple(x.shape)}; need (batch, channels, {sizes}) or "
                f"(channels, {sizes})"
            )
        return int(x.shape[-1 - self.rank])

    def features_in(self, shape: Shape) -> int:
        """The number of channels of a weight."""
        return shape[1] * self.groups

    def settle(self, features: int) -> dict[str, Shape]:
        """Take over the number of channels; the shapes of the parameters."""
        if features % self.groups:
            raise ShapeError(f"{self.kind}: got {features} channels for groups={self.groups}; "
                             "need a multiple")  # fmt: skip
        self.in_channels = features
        weight: Any = self._pattern(features)
        return {"weight": weight} | ({} if self.bias is None else {"bias": (self.out_channels,)})

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}",
                 f"stride={self.stride}"]  # fmt: skip
        if isinstance(self.padding, str) or any(self.padding):
            parts.append(f"padding={self.padding}")
        if any(gap != 1 for gap in self.dilation):
            parts.append(f"dilation={self.dilation}")
        if any(self.output_padding):
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(ConvBase):
    """Convolution; beyond the borders lie zeros, or what `padding_mode` says."""

    def forward(self, input: Tensor) -> Tensor:
        x = self._checked(input)
        padding: Shape | str | int = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self._sides(), self.padding_mode), 0
        run = (F.conv1d, F.conv2d, F.conv3d)[self.rank - 1]
        return run(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _sides(self) -> list[int]:
        """How much is added before and after each axis, the last one first."""
        sides: list[int] = []
        for axis in reversed(range(self.rank)):
            if isinstance(self.padding, str):
                gap = self.dilation[axis] * (self.kernel_size[axis] - 1)
                total = gap if self.padding == "same" else 0
                sides += [total // 2, total - total // 2]
            else:
                sides += [self.padding[axis]] * 2
        return sides


class Conv1d(_Conv):
    """Convolution along one axis.

    Shapes: (N, in_channels, L) to (N, out_channels, L').
    Errors: ShapeError where the input does not fit; ArgumentError for settings that do not.

    Example:
        >>> import ambos as am
        >>> Conv1d(1, 4, 3)(am.ones((2, 1, 8))).shape
        (2, 4, 6)
    """

    rank = 1


class Conv2d(_Conv):
    """Convolution over images.

    Shapes: (N, in_channels, H, W) to (N, out_channels, H', W').
    Errors: ShapeError where the input does not fit; ArgumentError for settings that do not.

    Example:
        >>> import ambos as am
        >>> layer = Conv2d(1, 4, 3, padding=1)
        >>> layer, layer(am.ones((2, 1, 8, 8))).shape  # doctest: +NORMALIZE_WHITESPACE
        (Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)), (2, 4, 8, 8))
    """

    rank = 2


class Conv3d(_Conv):
    """Convolution over volumes.

    Shapes: (N, in_channels, D, H, W) to (N, out_channels, D', H', W').
    Errors: ShapeError where the input does not fit; ArgumentError for settings that do not.

    Example:
        >>> import ambos as am
        >>> Conv3d(1, 4, 3)(am.ones((2, 1, 8, 8, 8))).shape
        (2, 4, 6, 6, 6)
    """

    rank = 3


class _LazyConv(Lazy, _Conv):
    def __init__(
        self,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _Conv.__init__(
            self, None, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip


class LazyConv1d(_LazyConv, Conv1d):
    """A Conv1d that learns `in_channels` at the first call.

    Errors: as Conv1d.

    Example:
        >>> import ambos as am
        >>> layer = LazyConv1d(4, 3)
        >>> layer(am.ones((2, 5, 8))).shape[1], layer.in_channels
        (4, 5)
    """

    becomes = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """A Conv2d that learns `in_channels` at the first call.

    Errors: as Conv2d.

    Example:
        >>> import ambos as am
        >>> layer = LazyConv2d(4, 3)
        >>> layer(am.ones((2, 5, 8, 8))).shape[1], layer.in_channels
        (4, 5)
    """

    becomes = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """A Conv3d that learns `in_channels` at the first call.

    Errors: as Conv3d.

    Example:
        >>> import ambos as am
        >>> layer = LazyConv3d(4, 3)
        >>> layer(am.ones((2, 5, 8, 8, 8))).shape[1], layer.in_channels
        (4, 5)
    """

    becomes = Conv3d


Conv1d.lazy, Conv2d.lazy, Conv3d.lazy = LazyConv1d, LazyConv2d, LazyConv3d
