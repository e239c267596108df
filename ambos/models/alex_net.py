"""AlexNet: five convolutions and three linear layers, the network that won ImageNet in 2012.

Source: Krizhevsky (2014), "One weird trick for parallelizing convolutional neural networks", after
Krizhevsky, Sutskever, Hinton (2012).
"""

from __future__ import annotations

from typing import Any

from ambos import nn
from ambos.models.building import builder
from ambos.tensor.handle import Tensor

__all__ = ["AlexNet", "alexnet"]


class AlexNet(nn.Module):
    """Shapes: (N, 3, H, W), H and W at least 63, to (N, num_classes)."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


@builder
def alexnet(**settings: Any) -> AlexNet:
    """AlexNet; `settings` are `num_classes` and `dropout`."""
    return AlexNet(**settings)
