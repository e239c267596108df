"""A perceptron of two layers, 784-128-10, where overhead decides."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.models.weights import Weights
from bench.workload import Data

INPUTS, HIDDEN, CLASSES = 784, 128, 10


def weights() -> Weights:
    weights = Weights()
    weights.linear("0", INPUTS, HIDDEN)
    weights.linear("2", HIDDEN, CLASSES)
    return weights


def step_data(batch: int, batches: int = 4) -> Data:
    generator = np.random.default_rng(1)
    return weights().data(
        x=generator.random((batches, batch, INPUTS), np.float32),
        y=generator.integers(0, CLASSES, (batches, batch)),
    )


def infer_data(batch: int) -> Data:
    generator = np.random.default_rng(1)
    return weights().data(x=generator.random((batch, INPUTS), np.float32))


def forward_flops(batch: int) -> float:
    return 2.0 * batch * (INPUTS * HIDDEN + HIDDEN * CLASSES)


def step_flops(batch: int) -> float:
    """Forward and weight gradients of both layers, the input gradient of the second."""
    return 2.0 * batch * (2 * INPUTS * HIDDEN + 3 * HIDDEN * CLASSES)


def module(nn: Any, F: Any) -> Any:
    """The network in PyTorch's words, which are those of ambos too."""
    return nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))


def forward(kit: Any, x: Any) -> Any:
    """The network as a function of its weights."""
    return kit.linear("2", kit.relu(kit.linear("0", x)))
