"""The oracles: models of torchvision and of Hugging Face, and twins written in torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ambos import models

# torchvision's wheel has compiled ops, for the CUDA build of torch. Models need no more of them
# than that they are declared.
_library = torch.library.Library("torchvision", "DEF")
for _op in ("nms", "qnms"):
    _library.define(f"{_op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402
import transformers as transformers  # noqa: E402


@dataclass
class Case:
    """A model, its oracle, and the shapes of its inputs."""

    ours: Callable[[], Any]
    theirs: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    training: bool = True  # compared in this mode
    more: Callable[[np.random.Generator], list[np.ndarray]] | None = None  # further inputs

    def inputs(self, seed: int = 1) -> list[np.ndarray]:
        numbers = np.random.default_rng(seed)
        found = [picture(numbers, shape) for shape in self.shapes]
        return found if self.more is None else found + self.more(numbers)


def picture(numbers: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Noise, with spots where it is an image: examples that all look the same to a network would
    be normalised by a variance of nearly nothing."""
    found = numbers.standard_normal(shape)
    if len(shape) == 4 and shape[2] >= 16:
        spots = numbers.standard_normal((*shape[:2], -(-shape[2] // 8), -(-shape[3] // 8)))
        large = spots.repeat(8, 2).repeat(8, 3)[:, :, : shape[2], : shape[3]]
        found = 0.3 * found + large + numbers.standard_normal((*shape[:2], 1, 1))
    return found.astype(np.float32)


def named(name: str, *shape: int, **settings: Any) -> Case:
    """A model that torchvision has under the same name."""
    builder = torchvision.models.get_model_builder(name)
    return Case(lambda: models.get_model(name, **settings), lambda: builder(**settings), (shape,))


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


def _double(inputs: int, outputs: int, inside: int | None = None) -> nn.Module:
    layers: list[nn.Module] = []
    for a, b in ((inputs, inside or outputs), (inside or outputs, outputs)):
        layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    block = nn.Module()
    block.double_conv = nn.Sequential(*layers)
    return block


class UNet(nn.Module):
    """As in "Pytorch-UNet", written once more."""

    def __init__(self, channels: int, classes: int, w: int, bilinear: bool) -> None:
        super().__init__()
        half = 2 if bilinear else 1
        self.bilinear = bilinear
        self.inc = _double(channels, w)
        for i in (1, 2, 3, 4):
            inputs, outputs = w * 2 ** (i - 1), w * 2**i // (half if i == 4 else 1)
            step = nn.Module()
            step.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), _double(inputs, outputs))
            self.add_module(f"down{i}", step)
        for i in (1, 2, 3, 4):
            inputs = w * 2 ** (5 - i)
            outputs = inputs // 2 // (1 if i == 4 else half)
            step = nn.Module()
            if not bilinear:
                step.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, 2)
            step.conv = _double(inputs, outputs, inputs // 2 if bilinear else None)
            self.add_module(f"up{i}", step)
        self.outc = nn.Module()
        self.outc.conv = nn.Conv2d(w, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = [self.inc.double_conv(x)]
        for i in (1, 2, 3, 4):
            down = self.get_submodule(f"down{i}.maxpool_conv")
            seen.append(down[1].double_conv(down[0](seen[-1])))
        x = seen.pop()
        for i in (1, 2, 3, 4):
            up, other = self.get_submodule(f"up{i}"), seen.pop()
            if self.bilinear:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            else:
                x = up.up(x)
            tall, wide = (other.shape[k] - x.shape[k] for k in (2, 3))
            x = F.pad(x, [wide // 2, wide - wide // 2, tall // 2, tall - tall // 2])
            x = up.conv.double_conv(torch.cat([other, x], 1))
        return self.outc.conv(x)
