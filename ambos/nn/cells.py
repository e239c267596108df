"""Recurrent cells: one step, for loops of one's own."""

from __future__ import annotations

from typing import Any

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentTypeError, ShapeError
from ambos.nn import functional as F
from ambos.nn import gates
from ambos.nn.functional.shared import as_tensor
from ambos.nn.gates import Gates
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter, unset
from ambos.tensor.creation import zeros
from ambos.tensor.handle import Tensor


class RNNCellBase(Module):
    """What cells share; a class states its `unit`.

    Errors: ArgumentError for settings out of range; ShapeError for an input or a state of another
        size.
    """

    unit: Gates
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = positive("input_size", input_size)
        self.hidden_size = positive("hidden_size", hidden_size)
        self.bias = bool(bias)
        rows = self.unit.num_gates * hidden_size
        self.weight_ih = unset((rows, input_size), device, dtype)
        self.weight_hh = unset((rows, hidden_size), device, dtype)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, unset((rows,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """PyTorch's initial values: uniform, within 1 / sqrt(hidden_size)."""
        gates.start(self, self.hidden_size)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The states after one step; zeros are those before where `hx` is None."""
        x = as_tensor(input)
        name = type(self).__name__
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: got {tuple(x.shape)}; need (batch, {self.input_size}) or "
                f"({self.input_size},): input_size={self.input_size}"
            )
        new = self.unit.step(
            F.linear(x, self.weight_ih, self.bias_ih),
            self._states(hx, x),
            lambda hidden: F.linear(hidden, self.weight_hh, self.bias_hh),
        )
        return new if self.unit.num_states > 1 else new[0]

    def _states(self, hx: Any, x: Tensor) -> tuple[Tensor, ...]:
        name, need = type(self).__name__, (*x.shape[:-1], self.hidden_size)
        if hx is None:
            return (zeros(need, dtype=x.dtype),) * self.unit.num_states
        if self.unit.num_states == 1:
            hx = (hx,)
        elif not isinstance(hx, (tuple, list)) or len(hx) != 2:
            raise ArgumentTypeError(f"{name}: the state is {type(hx).__name__}; need a pair (h, c)")
        states = tuple(as_tensor(state) for state in hx)
        for state in states:
            if tuple(state.shape) != need:
                raise ShapeError(f"{name}: a hidden state is {tuple(state.shape)}; need {need}")
        return states

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """One step of `RNN`: tanh(W_ih x + b_ih + W_hh h + b_hh), or relu for tanh.

    Shapes: input (batch, input_size) or (input_size,), state the same with hidden_size.
    Errors: ShapeError; ArgumentError for settings out of range.
    Source: Elman (1990), "Finding structure in time".

    Example:
        >>> import ambos as am
        >>> RNNCell(3, 4)(am.ones(2, 3)).shape
        (2, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.nonlinearity = nonlinearity
        self.unit = gates.plain(type(self).__name__, nonlinearity)
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def extra_repr(self) -> str:
        said = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + said


class LSTMCell(RNNCellBase):
    """One step of `LSTM`; takes and gives a pair (h, c).

    Shapes: as RNNCell.
    Errors: ShapeError; ArgumentTypeError for a state that is no pair.
    Source: Hochreiter and Schmidhuber (1997), "Long short-term memory".

    Example:
        >>> import ambos as am
        >>> h, c = LSTMCell(3, 4)(am.ones(2, 3))
        >>> h.shape, c.shape
        ((2, 4), (2, 4))
    """

    unit = gates.LSTM


class GRUCell(RNNCellBase):
    """One step of `GRU`.

    Shapes: as RNNCell.
    Errors: ShapeError; ArgumentError for settings out of range.
    Source: Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder".

    Example:
        >>> import ambos as am
        >>> GRUCell(3, 4)(am.ones(3)).shape
        (4,)
    """

    unit = gates.GRU
