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
    """The network in PyTorch's words. Where the framework has no LSTM, one is written here."""

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            recurrent = nn.LSTM if hasattr(nn, "LSTM") else lstm_of(nn, F)
            self.lstm = recurrent(WIDTH, WIDTH, batch_first=True)
            self.head = nn.Linear(WIDTH, CLASSES)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    return Classifier()


def lstm_of(nn: Any, F: Any) -> Any:
    """`nn.LSTM` for ambos, until it has its own: PyTorch's weights and equations."""
    import ambos as am

    class LSTM(nn.Module):
        def __init__(self, inputs: int, width: int, batch_first: bool) -> None:
            super().__init__()
            self.width = width
            self.weight_ih_l0 = nn.Parameter(am.zeros(4 * width, inputs))
            self.weight_hh_l0 = nn.Parameter(am.zeros(4 * width, width))
            self.bias_ih_l0 = nn.Parameter(am.zeros(4 * width))
            self.bias_hh_l0 = nn.Parameter(am.zeros(4 * width))

        def forward(self, x: Any) -> Any:
            state = cell = am.zeros(x.shape[0], self.width)
            bias, states = self.bias_ih_l0 + self.bias_hh_l0, []
            for step in F.linear(x.transpose(0, 1), self.weight_ih_l0, bias):
                gates = step + F.linear(state, self.weight_hh_l0)
                keep, forget, new, show = gates.chunk(4, 1)
                cell = forget.sigmoid() * cell + keep.sigmoid() * new.tanh()
                state = show.sigmoid() * cell.tanh()
                states.append(state)
            return am.stack(states, 1), (state, cell)

    return LSTM


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
