"""LeNet-5: convolutions, pooling and a classifier, trained as one, on handwritten digits.

Source: LeCun, Bottou, Bengio, Haffner (1998), "Gradient-based learning applied to document
recognition"; with ReLU and maxima where the paper has sigmoids and trained means, as in PyTorch's
tutorials.
"""

from __future__ import annotations

from typing import Any

from ambos import nn
from ambos.models.building import builder
from ambos.nn import functional as F
from ambos.tensor.handle import Tensor

__all__ = ["LeNet", "lenet"]


class LeNet(nn.Module):
    """Shapes: (N, in_channels, 32, 32) to (N, num_classes)."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))
        return self.fc3(x)


@builder
def lenet(**settings: Any) -> LeNet:
    """LeNet-5; `settings` are `num_classes` and `in_channels`."""
    return LeNet(**settings)
