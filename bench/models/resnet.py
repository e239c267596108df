"""ResNet-18 for 32x32 images, and ResNet-50 for 224x224.

Source: He, Zhang, Ren, Sun (2016), "Deep residual learning for image recognition"; the stride of
ResNet-50 lies on the 3x3 convolution, as in torchvision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.models.weights import Weights, conv_flops
from bench.workload import Data


@dataclass(frozen=True, slots=True)
class Plan:
    """What tells one ResNet from another."""

    size: int  # pixels
    classes: int
    blocks: tuple[int, ...]  # in each stage
    expansion: int  # 1: two 3x3 a block; 4: 1x1, 3x3, 1x1
    stem: int  # kernel of the first convolution; the large one halves twice

    @property
    def large(self) -> bool:
        return self.stem == 7


RESNET18 = Plan(32, 10, (2, 2, 2, 2), 1, 3)
RESNET50 = Plan(224, 1000, (3, 4, 6, 3), 4, 7)


@dataclass(frozen=True, slots=True)
class Block:
    name: str
    inputs: int
    width: int
    outputs: int
    stride: int

    @property
    def has_shortcut(self) -> bool:
        return self.stride != 1 or self.inputs != self.outputs

    def convs(self) -> list[tuple[int, int, int, int]]:
        """(inputs, outputs, kernel, stride) along the residual path."""
        if self.width == self.outputs:
            return [(self.inputs, self.width, 3, self.stride), (self.width, self.width, 3, 1)]
        return [
            (self.inputs, self.width, 1, 1),
            (self.width, self.width, 3, self.stride),
            (self.width, self.outputs, 1, 1),
        ]


def blocks(plan: Plan) -> Iterator[Block]:
    inputs = 64
    for stage, count in enumerate(plan.blocks):
        width = 64 << stage
        for i in range(count):
            stride = 2 if stage and not i else 1
            yield Block(f"layer{stage + 1}.{i}", inputs, width, width * plan.expansion, stride)
            inputs = width * plan.expansion


def weights(plan: Plan) -> Weights:
    weights = Weights()
    weights.conv("conv1", 3, 64, plan.stem)
    weights.norm("bn1", 64)
    outputs = 64
    for block in blocks(plan):
        outputs = block.outputs
        for i, (inputs, width, kernel, _) in enumerate(block.convs(), 1):
            weights.conv(f"{block.name}.conv{i}", inputs, width, kernel)
            weights.norm(f"{block.name}.bn{i}", width)
        if block.has_shortcut:
            weights.conv(f"{block.name}.downsample.0", block.inputs, outputs, 1)
            weights.norm(f"{block.name}.downsample.1", outputs)
    weights.linear("fc", outputs, plan.classes)
    return weights


def step_data(plan: Plan, batch: int, batches: int = 2) -> Data:
    generator = np.random.default_rng(1)
    return weights(plan).data(
        x=generator.standard_normal((batches, batch, 3, plan.size, plan.size), np.float32),
        y=generator.integers(0, plan.classes, (batches, batch)),
    )


def infer_data(plan: Plan, batch: int) -> Data:
    """A batch of noise."""
    generator = np.random.default_rng(1)
    shape = (batch, 3, plan.size, plan.size)
    return weights(plan).data(x=generator.standard_normal(shape, np.float32))


def flops(plan: Plan, batch: int) -> tuple[float, float]:
    """FLOPs of the first convolution and of everything, forward."""
    size = plan.size
    first = conv_flops(batch, size, 3, 64, plan.stem, 2 if plan.large else 1)
    total, size = first, size // 4 if plan.large else size
    outputs = 64
    for block in blocks(plan):
        here, outputs = size, block.outputs
        for inputs, width, kernel, stride in block.convs():
            total += conv_flops(batch, here, inputs, width, kernel, stride)
            here = -(-here // stride)
        if block.has_shortcut:
            total += conv_flops(batch, size, block.inputs, outputs, 1, block.stride)
        size = here
    return first, total + 2.0 * batch * outputs * plan.classes


def step_flops(plan: Plan, batch: int) -> float:
    """Three passes of every layer but for the input gradient of the first."""
    first, total = flops(plan, batch)
    return 3 * total - first


def module(plan: Plan, nn: Any, F: Any) -> Any:
    """The network in PyTorch's words, which are those of ambos too."""

    class Residual(nn.Module):
        def __init__(self, block: Block) -> None:
            super().__init__()
            self.depth = len(block.convs())
            self.relu = nn.ReLU(inplace=True)
            for i, (inputs, outputs, kernel, stride) in enumerate(block.convs(), 1):
                conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
                setattr(self, f"conv{i}", conv)
                setattr(self, f"bn{i}", nn.BatchNorm2d(outputs))
            self.downsample = None
            if block.has_shortcut:
                conv = nn.Conv2d(block.inputs, block.outputs, 1, block.stride, bias=False)
                self.downsample = nn.Sequential(conv, nn.BatchNorm2d(block.outputs))

        def forward(self, x: Any) -> Any:
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            if self.depth == 3:
                y = self.bn3(self.conv3(self.relu(y)))
            return self.relu(y + (x if self.downsample is None else self.downsample(x)))

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            stride = 2 if plan.large else 1
            self.conv1 = nn.Conv2d(3, 64, plan.stem, stride, plan.stem // 2, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            self.relu = nn.ReLU(inplace=True)
            stages: dict[str, list[Any]] = {}
            for block in blocks(plan):
                stages.setdefault(block.name.partition(".")[0], []).append(Residual(block))
            for name, made in stages.items():
                setattr(self, name, nn.Sequential(*made))
            self.fc = nn.Linear(512 * plan.expansion, plan.classes)

        def forward(self, x: Any) -> Any:
            x = self.relu(self.bn1(self.conv1(x)))
            if plan.large:
                x = F.max_pool2d(x, 3, 2, 1)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))

    return ResNet()


def forward(plan: Plan, kit: Any, x: Any) -> Any:
    """The network as a function of its weights, on NHWC images."""
    x = kit.conv("conv1", x, 2 if plan.large else 1)
    x = kit.relu(kit.batch_norm("bn1", x))
    if plan.large:
        x = kit.max_pool(x, 3, 2, 1)
    for block in blocks(plan):
        y, convs = x, block.convs()
        for i, (_, _, _, stride) in enumerate(convs, 1):
            y = kit.conv(f"{block.name}.conv{i}", y, stride)
            y = kit.batch_norm(f"{block.name}.bn{i}", y)
            y = kit.relu(y) if i < len(convs) else y
        if block.has_shortcut:
            x = kit.conv(f"{block.name}.downsample.0", x, block.stride)
            x = kit.batch_norm(f"{block.name}.downsample.1", x)
        x = kit.relu(y + x)
    return kit.linear("fc", kit.mean_pixels(x))
