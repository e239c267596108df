"""Recurrent classifiers: one layer 256 wide over 64 steps, then a linear layer.

Source: Hochreiter and Schmidhuber (1997), "Long short-term memory"; Cho et al. (2014), "Learning
phrase representations using RNN encoder-decoder"; both in PyTorch's form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.models.weights import Weights
from bench.workload import Data

WIDTH, LENGTH, CLASSES = 256, 64, 10


@dataclass(frozen=True, slots=True)
class Unit:
    """What tells one layer from another: `nn.<layer>`, and the same as a function of weights."""

    layer: str
    gates: int
    run: Callable[[Any, Any, Any], Any]  # (kit, inputs, zeros) -> the last hidden state

    @property
    def name(self) -> str:
        return self.layer.lower()


def _lstm(kit: Any, x: Any, zeros: Any) -> Any:
    bias = kit["lstm.bias_ih_l0"] + kit["lstm.bias_hh_l0"]
    inputs = kit.dense(x, kit["lstm.weight_ih_l0"]) + bias

    def step(carry: Any, x: Any) -> Any:
        state, cell = carry
        gates = x + kit.dense(state, kit["lstm.weight_hh_l0"])
        keep, forget, new, show = kit.split(gates, 4)
        cell = kit.sigmoid(forget) * cell + kit.sigmoid(keep) * kit.tanh(new)
        return kit.sigmoid(show) * kit.tanh(cell), cell

    return kit.scan(step, (zeros, zeros), inputs)[0]


def _gru(kit: Any, x: Any, zeros: Any) -> Any:
    inputs = kit.dense(x, kit["gru.weight_ih_l0"]) + kit["gru.bias_ih_l0"]

    def step(carry: Any, x: Any) -> Any:
        (state,) = carry
        reset_x, update_x, new_x = kit.split(x, 3)
        hidden = kit.dense(state, kit["gru.weight_hh_l0"]) + kit["gru.bias_hh_l0"]
        reset_h, update_h, new_h = kit.split(hidden, 3)
        new = kit.tanh(new_x + kit.sigmoid(reset_x + reset_h) * new_h)
        return (new + kit.sigmoid(update_x + update_h) * (state - new),)

    return kit.scan(step, (zeros,), inputs)[0]


LSTM, GRU = Unit("LSTM", 4, _lstm), Unit("GRU", 3, _gru)


def weights(unit: Unit) -> Weights:
    weights = Weights()
    rows = unit.gates * WIDTH
    for name, shape in (
        ("weight_ih_l0", (rows, WIDTH)),
        ("weight_hh_l0", (rows, WIDTH)),
        ("bias_ih_l0", (rows,)),
        ("bias_hh_l0", (rows,)),
    ):
        weights.uniform(f"{unit.name}.{name}", shape, WIDTH)
    weights.linear("head", WIDTH, CLASSES)
    return weights


def step_data(unit: Unit, batch: int, batches: int = 4) -> Data:
    generator = np.random.default_rng(1)
    return weights(unit).data(
        x=generator.standard_normal((batches, batch, LENGTH, WIDTH), np.float32),
        y=generator.integers(0, CLASSES, (batches, batch)),
    )


def step_flops(unit: Unit, batch: int) -> float:
    """Three passes of what sees the state, two of what sees the input, which needs no gradient."""
    matrix = LENGTH * WIDTH * unit.gates * WIDTH
    return 2.0 * batch * (2 * matrix + 3 * matrix + 3 * WIDTH * CLASSES)


def module(unit: Unit, nn: Any, F: Any) -> Any:
    """The network in PyTorch's words."""

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = getattr(nn, unit.layer)(WIDTH, WIDTH, batch_first=True)
            setattr(self, unit.name, layer)
            self.head = nn.Linear(WIDTH, CLASSES)

        def forward(self, x: Any) -> Any:
            return self.head(getattr(self, unit.name)(x)[0][:, -1])

    return Classifier()


def forward(unit: Unit, kit: Any, x: Any) -> Any:
    """The network as a function of its weights: a scan over the steps."""
    zeros = kit.zeros((x.shape[0], WIDTH))
    return kit.linear("head", unit.run(kit, kit.transpose(x, (1, 0, 2)), zeros))
