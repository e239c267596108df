"""The equations of one step of recurrent layers, shared by the layers and the cells.

A rule takes what the input contributes to the gates, the states before, and `recur`, which gives
what the hidden state contributes; it returns the states after. The hidden state is the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ambos.core.errors import ArgumentError
from ambos.nn import functional as F
from ambos.nn import init
from ambos.nn.module import Module
from ambos.tensor.handle import Tensor

States = tuple[Tensor, ...]
Recur = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Gates:
    """A kind of recurrent unit.

    `num_gates` blocks of weights lie below each other. Where the two contributions are only ever
    added (`additive`), their biases may be added once, before the loop.
    """

    num_gates: int
    num_states: int
    additive: bool
    step: Callable[[Tensor, States, Recur], States]


def _lstm(from_input: Tensor, states: States, recur: Recur) -> States:
    hidden, cell = states
    keep, forget, new, show = (from_input + recur(hidden)).chunk(4, -1)
    cell = forget.sigmoid() * cell + keep.sigmoid() * new.tanh()
    return show.sigmoid() * cell.tanh(), cell


def _gru(from_input: Tensor, states: States, recur: Recur) -> States:
    (hidden,) = states
    reset_x, update_x, new_x = from_input.chunk(3, -1)
    reset_h, update_h, new_h = recur(hidden).chunk(3, -1)
    update = (update_x + update_h).sigmoid()
    new = (new_x + (reset_x + reset_h).sigmoid() * new_h).tanh()
    return (new + update * (hidden - new),)


def _tanh(from_input: Tensor, states: States, recur: Recur) -> States:
    return ((from_input + recur(states[0])).tanh(),)


def _relu(from_input: Tensor, states: States, recur: Recur) -> States:
    return (F.relu(from_input + recur(states[0])),)


LSTM = Gates(num_gates=4, num_states=2, additive=True, step=_lstm)
GRU = Gates(num_gates=3, num_states=1, additive=False, step=_gru)
PLAIN = {
    "tanh": Gates(num_gates=1, num_states=1, additive=True, step=_tanh),
    "relu": Gates(num_gates=1, num_states=1, additive=True, step=_relu),
}


def start(module: Module, hidden_size: int) -> None:
    """PyTorch's initial values: uniform, within 1 / sqrt(hidden_size)."""
    bound = 1 / math.sqrt(hidden_size)
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


def plain(layer: str, nonlinearity: str) -> Gates:
    """The gates of a plain recurrent unit.

    Errors: ArgumentError for another nonlinearity than tanh and relu.
    """
    if nonlinearity not in PLAIN:
        raise ArgumentError(f"{layer}: nonlinearity is {nonlinearity!r}; need 'tanh' or 'relu'")
    return PLAIN[nonlinearity]
