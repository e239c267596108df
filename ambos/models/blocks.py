"""What several convolutional networks are made of, under the names of `torchvision.ops`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ambos import nn
from ambos.core.arguments import share
from ambos.core.errors import ArgumentError
from ambos.nn import init
from ambos.tensor.handle import Tensor
from ambos.tensor.random.basic import rand

Layer = Callable[..., nn.Module]


class Conv2dNormActivation(nn.Sequential):
    """A convolution that keeps the image's size (by default), normalised, then activated."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        norm_layer: Layer | None = nn.BatchNorm2d,
        activation_layer: Layer | None = nn.ReLU,
        dilation: int = 1,
        bias: bool | None = None,
    ) -> None:
        if padding is None:
            padding = (kernel_size - 1) // 2 * dilation
        if bias is None:
            bias = norm_layer is None
        layers: list[nn.Module] = [
            nn.Conv2d(
                in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
            )
        ]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer())
        super().__init__(*layers)
        self.out_channels = out_channels


class SqueezeExcitation(nn.Module):
    """Each channel times a factor found from the means of all channels.

    Source: Hu, Shen, Sun (2018), "Squeeze-and-excitation networks".
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Layer = nn.ReLU,
        scale_activation: Layer = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, x: Tensor) -> Tensor:
        scale = self.fc2(self.activation(self.fc1(self.avgpool(x))))
        return x * self.scale_activation(scale)


class StochasticDepth(nn.Module):
    """In training, zeros whole examples ("row") or the whole batch with probability `p`, and
    divides the rest by 1 - p: what stands on a residual branch skips it.

    Errors: ArgumentError for another mode, and unless 0 <= p <= 1.
    Source: Huang, Sun, Liu, Sedra, Weinberger (2016), "Deep networks with stochastic depth".
    """

    def __init__(self, p: float, mode: str = "row") -> None:
        super().__init__()
        if mode not in ("row", "batch"):
            raise ArgumentError(f"StochasticDepth: mode is {mode!r}; need 'row' or 'batch'")
        self.p, self.mode = share("StochasticDepth: p", p), mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        if self.p == 1.0:
            return x * 0
        examples = x.shape[0] if self.mode == "row" else 1
        kept = rand((examples,) + (1,) * (x.ndim - 1)) >= self.p
        return x * (kept.to(x.dtype) / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"


class MLP(nn.Sequential):
    """Linear layers with activations and dropout between them; the last is followed by dropout."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Sequence[int],
        norm_layer: Layer | None = None,
        activation_layer: Layer = nn.ReLU,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        layers: list[nn.Module] = []
        *hidden, last = hidden_channels
        for channels in hidden:
            layers.append(nn.Linear(in_channels, channels, bias=bias))
            if norm_layer is not None:
                layers.append(norm_layer(channels))
            layers += [activation_layer(), nn.Dropout(dropout)]
            in_channels = channels
        layers += [nn.Linear(in_channels, last, bias=bias), nn.Dropout(dropout)]
        super().__init__(*layers)


class Permute(nn.Module):
    """Axes in another order."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.dims)

    def extra_repr(self) -> str:
        return f"dims={self.dims}"


def make_divisible(channels: float, divisor: int = 8, least: int | None = None) -> int:
    """The nearest multiple of `divisor` that is not more than a tenth below `channels`.

    Example:
        >>> make_divisible(33), make_divisible(10)
        (32, 16)
    """
    found = max(least or divisor, int(channels + divisor / 2) // divisor * divisor)
    return found + divisor if found < 0.9 * channels else found


def initialize(model: nn.Module, mode: str = "fan_out", linear: Any = None) -> None:
    """He's initial values for convolutions, and `linear(weight)` for linear layers; biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
        elif isinstance(module, nn.Linear) and linear is not None:
            linear(module.weight)
        else:
            continue
        zero_bias(module)


def zero_bias(layer: nn.Conv2d | nn.Linear) -> None:
    """Zeros for a layer's bias, where it has one."""
    if layer.bias is not None:
        init.zeros_(layer.bias)


def narrow_normal(weight: Tensor) -> Tensor:
    """The initial values of many classifiers: normal, with standard deviation 0.01."""
    return init.normal_(weight, 0.0, 0.01)
