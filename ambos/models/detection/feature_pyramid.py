"""Feature pyramid: small maps that see much are added to larger ones that see details.

Source: Lin, Dollár, Girshick, He, Hariharan, Belongie (2017), "Feature pyramid networks for object
detection".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ambos import nn
from ambos.models.blocks import Conv2dNormActivation, Layer, zero_bias
from ambos.models.features import IntermediateLayerGetter
from ambos.models.resnet import ResNet
from ambos.nn import functional as F
from ambos.nn import init
from ambos.tensor.creation import full
from ambos.tensor.handle import Tensor


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation whose numbers do not change: for small batches of large images."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            self.register_buffer(name, full((num_features,), float(value)))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None] + shift[:, None, None]


class LastLevelP6P7(nn.Module):
    """Two maps more, each half as large as the one before."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)
        initialize(self)
        self.use_P5 = in_channels == out_channels

    def forward(self, pyramid: dict[str, Tensor], last: Tensor) -> dict[str, Tensor]:
        p6 = self.p6([*pyramid.values()][-1] if self.use_P5 else last)
        return pyramid | {"p6": p6, "p7": self.p7(F.relu(p6))}


class FeaturePyramidNetwork(nn.Module):
    """Maps of `out_channels` each, from maps that are given largest first.

    Shapes: {name: (N, in_channels, H, W)} to {name: (N, out_channels, H, W)}.
    Source: Lin et al. (2017), "Feature pyramid networks for object detection".
    """

    def __init__(
        self,
        in_channels_list: Sequence[int],
        out_channels: int,
        extra_blocks: nn.Module | None = None,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()

        def conv(inputs: int, kernel_size: int) -> nn.Module:
            return Conv2dNormActivation(inputs, out_channels, kernel_size, norm_layer=norm_layer,
                                        activation_layer=None)  # fmt: skip

        self.inner_blocks = nn.ModuleList(conv(channels, 1) for channels in in_channels_list)
        self.layer_blocks = nn.ModuleList(conv(out_channels, 3) for _ in in_channels_list)
        initialize(self)
        self.extra_blocks = extra_blocks

    def forward(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        above: Tensor | None = None
        found: dict[str, Tensor] = {}
        levels = zip(x.items(), self.inner_blocks, self.layer_blocks, strict=True)
        for (name, features), inner, layer in reversed(list(levels)):
            lateral = inner(features)
            if above is not None:
                lateral = lateral + F.interpolate(above, lateral.shape[-2:], mode="nearest")
            above = lateral
            found[name] = layer(lateral)
        pyramid = {name: found[name] for name in x}
        if self.extra_blocks is not None:
            pyramid = self.extra_blocks(pyramid, [*x.values()][-1])
        return pyramid


class BackboneWithFPN(nn.Module):
    """Layers of a backbone, under the names of `return_layers`, and the pyramid above them."""

    def __init__(
        self,
        backbone: nn.Module,
        return_layers: Mapping[str, str],
        in_channels_list: Sequence[int],
        out_channels: int,
        extra_blocks: nn.Module | None = None,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        self.body = IntermediateLayerGetter(backbone, return_layers)
        self.fpn = FeaturePyramidNetwork(in_channels_list, out_channels, extra_blocks, norm_layer)
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.fpn(self.body(x))


def freeze(backbone: ResNet, trainable_layers: int) -> None:
    """Let gradients flow to the last `trainable_layers` of the five parts of a ResNet only."""
    parts = ("layer4", "layer3", "layer2", "layer1", "conv1")[:trainable_layers]
    trained = (*parts, "bn1") if trainable_layers == 5 else parts
    for name, parameter in backbone.named_parameters():
        if not name.startswith(trained):
            parameter.requires_grad_(False)


def initialize(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            init.kaiming_uniform_(part.weight, a=1)
            zero_bias(part)
