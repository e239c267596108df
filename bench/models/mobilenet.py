"""MobileNetV2 for 224x224 images; trained on 96x96.

Source: Sandler, Howard, Zhu, Zhmoginov, Chen (2018), "MobileNetV2: inverted residuals and linear
bottlenecks"; names of weights as in torchvision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.models.weights import Weights, conv_flops
from bench.workload import Data

SIZE, STEP_SIZE, CLASSES, LAST = 224, 96, 1000, 1280
SETTINGS = (  # expansion, channels, repeats, first stride
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution with its normalisation; `name` and `norm` lead to their weights."""

    name: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    stride: int
    groups: int
    bends: bool  # is there a ReLU6 behind it?


@dataclass(frozen=True, slots=True)
class Bottleneck:
    convs: tuple[Conv, ...]
    is_residual: bool


def bottlenecks() -> Iterator[Bottleneck]:
    inputs, number = 32, 0
    for expansion, outputs, repeats, first in SETTINGS:
        for i in range(repeats):
            number += 1
            stride = 1 if i else first
            yield _bottleneck(f"features.{number}.conv", inputs, outputs, expansion, stride)
            inputs = outputs


def _bottleneck(name: str, inputs: int, outputs: int, expansion: int, stride: int) -> Bottleneck:
    hidden, convs = inputs * expansion, []
    if expansion != 1:
        convs.append(Conv(f"{name}.0.0", f"{name}.0.1", inputs, hidden, 1, 1, 1, True))
    at = len(convs)
    convs.append(Conv(f"{name}.{at}.0", f"{name}.{at}.1", hidden, hidden, 3, stride, hidden, True))
    convs.append(Conv(f"{name}.{at + 1}", f"{name}.{at + 2}", hidden, outputs, 1, 1, 1, False))
    return Bottleneck(tuple(convs), stride == 1 and inputs == outputs)


FIRST = Conv("features.0.0", "features.0.1", 3, 32, 3, 2, 1, True)
FINAL = Conv("features.18.0", "features.18.1", 320, LAST, 1, 1, 1, True)


def convs() -> list[Conv]:
    return [FIRST, *(conv for block in bottlenecks() for conv in block.convs), FINAL]


def weights() -> Weights:
    weights = Weights()
    for conv in convs():
        weights.conv(conv.name, conv.inputs // conv.groups, conv.outputs, conv.kernel)
        weights.norm(conv.norm, conv.outputs)
    weights.linear("classifier.1", LAST, CLASSES)
    return weights


def infer_data(batch: int) -> Data:
    generator = np.random.default_rng(1)
    return weights().data(x=generator.standard_normal((batch, 3, SIZE, SIZE), np.float32))


def step_data(batch: int, batches: int = 2) -> Data:
    generator = np.random.default_rng(1)
    return weights().data(
        x=generator.standard_normal((batches, batch, 3, STEP_SIZE, STEP_SIZE), np.float32),
        y=generator.integers(0, CLASSES, (batches, batch)),
    )


def step_flops(batch: int) -> float:
    """Three passes of every layer but for the input gradient of the first."""
    first = conv_flops(batch, STEP_SIZE, FIRST.inputs, FIRST.outputs, FIRST.kernel, FIRST.stride)
    return 3 * forward_flops(batch, STEP_SIZE) - first


def forward_flops(batch: int, size: int = SIZE) -> float:
    total = 2.0 * batch * LAST * CLASSES
    for conv in convs():
        inputs = conv.inputs // conv.groups
        total += conv_flops(batch, size, inputs, conv.outputs, conv.kernel, conv.stride)
        size = -(-size // conv.stride)
    return total


def module(nn: Any, F: Any) -> Any:
    """The network in PyTorch's words, which are those of ambos too; without dropout, of which no
    two frameworks draw the same."""

    def layers(conv: Conv) -> list[Any]:
        made = nn.Conv2d(
            conv.inputs, conv.outputs, conv.kernel, conv.stride, conv.kernel // 2,
            groups=conv.groups, bias=False,
        )  # fmt: skip
        return [
            made,
            nn.BatchNorm2d(conv.outputs),
            *([nn.ReLU6(inplace=True)] if conv.bends else []),
        ]

    class Inverted(nn.Module):
        def __init__(self, block: Bottleneck) -> None:
            super().__init__()
            self.is_residual = block.is_residual
            *inner, last = block.convs
            self.conv = nn.Sequential(*(nn.Sequential(*layers(c)) for c in inner), *layers(last))

        def forward(self, x: Any) -> Any:
            return x + self.conv(x) if self.is_residual else self.conv(x)

    class MobileNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inner = [Inverted(block) for block in bottlenecks()]
            ends = [nn.Sequential(*layers(conv)) for conv in (FIRST, FINAL)]
            self.features = nn.Sequential(ends[0], *inner, ends[1])
            self.classifier = nn.Sequential(nn.Identity(), nn.Linear(LAST, CLASSES))

        def forward(self, x: Any) -> Any:
            return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))

    return MobileNet()


def forward(kit: Any, x: Any) -> Any:
    """The network as a function of its weights, on NHWC images."""

    def apply(conv: Conv, x: Any) -> Any:
        x = kit.batch_norm(conv.norm, kit.conv(conv.name, x, conv.stride, groups=conv.groups))
        return kit.relu6(x) if conv.bends else x

    x = apply(FIRST, x)
    for block in bottlenecks():
        y = x
        for conv in block.convs:
            y = apply(conv, y)
        x = x + y if block.is_residual else y
    return kit.linear("classifier.1", kit.mean_pixels(apply(FINAL, x)))
