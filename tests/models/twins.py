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

    def inputs(self) -> list[np.ndarray]:
        numbers = np.random.default_rng(1)
        return [numbers.standard_normal(shape).astype(np.float32) for shape in self.shapes]


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
