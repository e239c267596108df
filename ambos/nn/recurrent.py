"""Recurrent layers: several layers, both directions, sequences of different lengths.

Each layer and direction is one matrix product for the inputs of all steps, then a loop in the graph
(`am.scan`): what compiles does not depend on the number of steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from ambos.core.arguments import flag, positive, share
from ambos.core.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError
from ambos.core.shape import Shape
from ambos.nn import functional as F
from ambos.nn import gates
from ambos.nn.functional.shared import as_tensor
from ambos.nn.gates import Gates
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter, unset
from ambos.nn.utils.rnn import PackedSequence, packed_like, padded
from ambos.tensor.autocast import floating_input
from ambos.tensor.creation import zeros
from ambos.tensor.handle import Tensor
from ambos.tensor.joining import cat, stack
from ambos.tensor.loops import scan
from ambos.tensor.pointwise import where


class RNNBase(Module):
    """What recurrent layers share; a class states its `unit`.

    Parameters have PyTorch's names: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`,
    and `weight_hr_l0` where there is a projection; `_l1` and so on above, `_reverse` backwards.

    Errors: ArgumentError for settings out of range; ShapeError for an input or a state of another
        size.
    """

    unit: Gates

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.input_size = positive("input_size", input_size)
        self.hidden_size = positive("hidden_size", hidden_size)
        self.num_layers = positive("num_layers", num_layers)
        self.bias, self.batch_first = flag("bias", bias), flag("batch_first", batch_first)
        self.dropout = share(f"{name}: dropout", dropout)
        self.bidirectional = bool(bidirectional)
        self.proj_size = positive("proj_size", proj_size, least=0)
        if self.proj_size >= self.hidden_size:
            raise ArgumentError(
                f"{name}: proj_size is {proj_size}; need less than hidden_size={hidden_size}"
            )
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout={dropout} acts between layers, and there is one; need "
                "num_layers of at least 2, or nn.Dropout behind it",
                stacklevel=3,
            )
        for layer in range(num_layers):
            for direction in self._directions():
                for label, shape in self._shapes(layer).items():
                    empty = unset(shape, device, dtype)
                    self.register_parameter(f"{label}_l{layer}{direction}", empty)
        self.reset_parameters()

    def _directions(self) -> Sequence[str]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def _shapes(self, layer: int) -> dict[str, Shape]:
        """The parameters of one direction of `layer`."""
        rows, wide = self.unit.num_gates * self.hidden_size, self._output_size()
        inputs = wide * len(self._directions()) if layer else self.input_size
        shapes: dict[str, Shape] = {"weight_ih": (rows, inputs), "weight_hh": (rows, wide)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        return shapes

    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def reset_parameters(self) -> None:
        """PyTorch's initial values: uniform, within 1 / sqrt(hidden_size)."""
        gates.start(self, self.hidden_size)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [
            [getattr(self, f"{label}_l{layer}{direction}") for label in self._shapes(layer)]
            for layer in range(self.num_layers)
            for direction in self._directions()
        ]

    def flatten_parameters(self) -> None:
        """Nothing to do: the compiler lays weights out as the kernels want them."""

    # Running

    def forward(self, input: Any, hx: Any = None) -> Any:
        """(outputs, states): what the last layer gives at every step, and the states at the end."""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        x = self._checked(input)
        alone = x.ndim == 2
        if alone:
            x = x.unsqueeze(1)
        elif self.batch_first:
            x = x.transpose(0, 1)
        states = self._states(hx, x.shape[1], x, alone)
        y, states = self._run(x, states, None)
        if alone:
            return y.squeeze(1), self._given_back([state.squeeze(1) for state in states])
        return y.transpose(0, 1) if self.batch_first else y, self._given_back(states)

    def _forward_packed(self, input: PackedSequence, hx: Any) -> Any:
        x, present = padded(input)
        x = self._features(x)
        states = self._states(hx, x.shape[1], x, alone=False)
        if hx is not None and input.sorted_indices is not None:
            states = [state.index_select(1, input.sorted_indices) for state in states]
        y, states = self._run(x, states, present.unsqueeze(-1))
        if input.unsorted_indices is not None:
            states = [state.index_select(1, input.unsorted_indices) for state in states]
        return packed_like(y, input), self._given_back(states)

    def _run(self, x: Tensor, states: list[Tensor], present: Tensor | None) -> Any:
        """Outputs and last states of all layers on (length, batch, features)."""
        directions = self._directions()
        lasts: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in directions:
                first = tuple(state[len(lasts)] for state in states)
                last, y = self._pass(x, first, f"_l{layer}{direction}", present)
                lasts.append(last)
                outputs.append(y)
            x = cat(outputs, -1) if len(outputs) > 1 else outputs[0]
            if layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, [stack(parts, 0) for parts in zip(*lasts, strict=True)]

    def _pass(
        self, x: Tensor, states: tuple[Tensor, ...], suffix: str, present: Tensor | None
    ) -> Any:
        """One direction of one layer: the last states, and the hidden state at each step."""
        weights = {label: getattr(self, label + suffix) for label in self._shapes(0)}
        bias_x, bias_h = weights.get("bias_ih"), weights.get("bias_hh")
        if bias_x is not None and bias_h is not None and self.unit.additive:
            bias_x, bias_h = bias_x + bias_h, None
        from_input = F.linear(x, weights["weight_ih"], bias_x)
        project = weights.get("weight_hr")

        def recur(hidden: Tensor) -> Tensor:
            return F.linear(hidden, weights["weight_hh"], bias_h)

        def step(old: tuple[Tensor, ...], row: Any) -> Any:
            gates, here = row if present is not None else (row, None)
            new = self.unit.step(gates, old, recur)
            if project is not None:
                new = (F.linear(new[0], project), *new[1:])
            if here is not None:  # a sequence that has ended, or has not begun, keeps its states
                new = tuple(where(here, a, b) for a, b in zip(new, old, strict=True))
            return new, new[0]

        rows = from_input if present is None else (from_input, present)
        return scan(step, states, rows, reverse=suffix.endswith("_reverse"))

    # What goes in and out

    def _given_back(self, states: list[Tensor]) -> Any:
        return tuple(states) if self.unit.num_states > 1 else states[0]

    def _checked(self, input: Any) -> Tensor:
        x, name = as_tensor(input), type(self).__name__
        order = "batch, length" if self.batch_first else "length, batch"
        if x.ndim not in (2, 3):
            raise ShapeError(f"{name}: got {tuple(x.shape)}; need ({order}, input_size) or "
                             "(length, input_size)")  # fmt: skip
        x = self._features(x)
        if not x.shape[1 if x.ndim == 3 and self.batch_first else 0]:
            raise ShapeError(f"{name}: got {tuple(x.shape)}, which has no step; need at least one")
        return x

    def _features(self, x: Tensor) -> Tensor:
        name, found = type(self).__name__, x.shape[-1]
        if found != self.input_size:
            raise ShapeError(
                f"{name}: got {found} features in {tuple(x.shape)}; the layer has "
                f"input_size={self.input_size}; use nn.{name}({found}, {self.hidden_size}, ...)"
            )
        x = floating_input(name, x, next(self.parameters()).dtype)
        if not x.dtype.is_floating:
            raise DTypeError(f"{name}: got {x.dtype.name}; need floating numbers: use x.float()")
        return x

    def _states(self, hx: Any, batch: int, x: Tensor, alone: bool) -> list[Tensor]:
        """The states to start with, (layers * directions, batch, size) each; zeros by default."""
        name, count = type(self).__name__, self.num_layers * len(self._directions())
        sizes = [self._output_size(), self.hidden_size][: self.unit.num_states]
        if hx is None:
            return [zeros((count, batch, size), dtype=x.dtype) for size in sizes]
        if self.unit.num_states == 1:
            hx = (hx,)
        elif not isinstance(hx, (tuple, list)) or len(hx) != 2:
            raise ArgumentTypeError(
                f"{name}: the state is {type(hx).__name__}; need a pair (h_0, c_0)"
            )
        states = [as_tensor(state) for state in hx]
        for label, state, size in zip(("h_0", "c_0"), states, sizes, strict=False):
            need = (count, size) if alone else (count, batch, size)
            if tuple(state.shape) != need:
                words = "layers * directions, size" if alone else "layers * directions, batch, size"
                raise ShapeError(
                    f"{name}: the hidden state {label} is {tuple(state.shape)}; need {need}: "
                    f"({words}), also with batch_first"
                )
            if state.dtype is not x.dtype:
                raise DTypeError(f"{name}: the input is {x.dtype.name} and {label} "
                                 f"{state.dtype.name}; need one dtype")  # fmt: skip
        return [state.unsqueeze(1) for state in states] if alone else states

    def extra_repr(self) -> str:
        return ", ".join(self._said())

    def _said(self) -> Iterator[str]:
        yield f"{self.input_size}, {self.hidden_size}"
        usual = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False,
                 "dropout": 0.0, "bidirectional": False}  # fmt: skip
        for setting, value in usual.items():
            if getattr(self, setting) != value:
                yield f"{setting}={getattr(self, setting)}"


class RNN(RNNBase):
    """Plain recurrent layers: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu for tanh.

    Shapes: input (length, batch, input_size), (batch, length, input_size) with `batch_first`, or
        (length, input_size), or a PackedSequence; state (layers * directions, batch, hidden_size);
        the outputs end in hidden_size * directions.
    Errors: ShapeError, DTypeError; ArgumentError for settings out of range.
    Source: Elman (1990), "Finding structure in time".

    Example:
        >>> import ambos as am
        >>> layer = RNN(3, 4)
        >>> outputs, state = layer(am.ones(5, 2, 3))
        >>> outputs.shape, state.shape
        ((5, 2, 4), (1, 2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.nonlinearity = nonlinearity
        self.unit = gates.plain(type(self).__name__, nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip


class LSTM(RNNBase):
    """Long short-term memory.

    The gates lie in the weights as PyTorch has them: input, forget, cell, output. With `proj_size`
    the hidden state is projected to that size at every step.

    Shapes: as RNN; the states are a pair (h, c), h of `proj_size` where it is given.
    Errors: ShapeError, DTypeError; ArgumentError for settings out of range.
    Source: Hochreiter and Schmidhuber (1997), "Long short-term memory"; projections: Sak, Senior,
        Beaufays (2014).

    Example:
        >>> import ambos as am
        >>> layer = LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)
        >>> outputs, (h, c) = layer(am.ones(2, 5, 3))
        >>> outputs.shape, h.shape, c.shape
        ((2, 5, 8), (4, 2, 4), (4, 2, 4))
    """

    unit = gates.LSTM


class GRU(RNNBase):
    """Gated recurrent units.

    The gates lie in the weights as PyTorch has them: reset, update, new.

    Shapes: as RNN.
    Errors: ShapeError, DTypeError; ArgumentError for settings out of range.
    Source: Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder".

    Example:
        >>> import ambos as am
        >>> layer = GRU(3, 4)
        >>> outputs, state = layer(am.ones(5, 3))  # one sequence alone
        >>> outputs.shape, state.shape
        ((5, 4), (1, 4))
    """

    unit = gates.GRU

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip
