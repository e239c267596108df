"""A recurrent classifier: one LSTM layer 256 wide over 64 steps, then a linear layer.

Source: Hochreiter and Schmidhuber (1997), "Long short-term memory", in PyTorch's form.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.models.weights import Weights
from bench.workload import Data

WIDTH, LENGTH, CLASSES = 256, 64, 10


def weights() -> Weights:
    weights = Weights()
    for name, shape in (
        ("lstm.weight_ih_l0", (4 * WIDTH, WIDTH)),
        ("lstm.weight_hh_l0", (4 * WIDTH, WIDTH)),
        ("lstm.bias_ih_l0", (4 * WIDTH,)),
        ("lstm.bias_hh_l0", (4 * WIDTH,)),
    ):
        weights.uniform(name, shape, WIDTH)
    weights.linear("head", WIDTH, CLASSES)
    return weights


def step_data(batch: int, batches: int = 4) -> Data:
    generator = np.random.default_rng(1)
    return weights().data(
        x=generator.standard_normal((batches, batch, LENGTH, WIDTH), np.float32),
        y=generator.integers(0, CLASSES, (batches, batch)),
    )


def step_flops(batch: int) -> float:
    """Three passes of what sees the state, two of what sees the input, which needs no gradient."""
    matrix = LENGTH * WIDTH * 4 * WIDTH
    return 2.0 * batch * (2 * matrix + 3 * matrix + 3 * WIDTH * CLASSES)


def module(nn: Any, F: Any) -> Any:
    """The network in PyTorch's words."""

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True)
            self.head = nn.Linear(WIDTH, CLASSES)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    return Classifier()


def forward(kit: Any, x: Any) -> Any:
    """The network as a function of its weights: a scan over the steps."""
    bias = kit["lstm.bias_ih_l0"] + kit["lstm.bias_hh_l0"]
    inputs = kit.dense(kit.transpose(x, (1, 0, 2)), kit["lstm.weight_ih_l0"]) + bias

    def step(carry: Any, x: Any) -> Any:
        state, cell = carry
        gates = x + kit.dense(state, kit["lstm.weight_hh_l0"])
        keep, forget, new, show = kit.split(gates, 4)
        cell = kit.sigmoid(forget) * cell + kit.sigmoid(keep) * kit.tanh(new)
        return kit.sigmoid(show) * kit.tanh(cell), cell

    zeros = kit.zeros((x.shape[0], WIDTH))
    return kit.linear("head", kit.scan(step, (zeros, zeros), inputs)[0])
