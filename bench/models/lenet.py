"""LeNet-5 as it is taught now: 28x28 images, ReLU, max pooling, Adam."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.models.weights import Weights, conv_flops
from bench.workload import Data

SIZE, CLASSES = 28, 10


def weights() -> Weights:
    weights = Weights()
    weights.conv("conv1", 1, 6, 5, bias=True)
    weights.conv("conv2", 6, 16, 5, bias=True)
    weights.linear("fc1", 16 * 5 * 5, 120)
    weights.linear("fc2", 120, 84)
    weights.linear("fc3", 84, CLASSES)
    return weights


def step_data(batch: int, batches: int = 4) -> Data:
    generator = np.random.default_rng(1)
    return weights().data(
        x=generator.random((batches, batch, 1, SIZE, SIZE), np.float32),
        y=generator.integers(0, CLASSES, (batches, batch)),
    )


def step_flops(batch: int) -> float:
    """Three passes of every layer but for the input gradient of the first."""
    first = conv_flops(batch, SIZE, 1, 6, 5)
    second = 2.0 * batch * 6 * 16 * (10 * 5) ** 2
    dense = 2.0 * batch * (16 * 25 * 120 + 120 * 84 + 84 * CLASSES)
    return 2 * first + 3 * (second + dense)


def module(nn: Any, F: Any) -> Any:
    """The network in PyTorch's words, which are those of ambos too."""

    class LeNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(16 * 5 * 5, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, CLASSES)

        def forward(self, x: Any) -> Any:
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
            return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))

    return LeNet()


def forward(kit: Any, x: Any) -> Any:
    """The network as a function of its weights, on NHWC images."""
    x = kit.max_pool(kit.relu(kit.conv("conv1", x)), 2, 2)
    x = kit.max_pool(kit.relu(kit.conv("conv2", x, padding=0)), 2, 2)
    x = kit.flat_channels_first(x)
    return kit.linear("fc3", kit.relu(kit.linear("fc2", kit.relu(kit.linear("fc1", x)))))
