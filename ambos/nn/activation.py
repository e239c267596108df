"""Activations, softmax and dropout as layers."""

from __future__ import annotations

from ambos.core.arguments import share
from ambos.core.errors import ArgumentError
from ambos.nn import functional as F
from ambos.nn.module import Module
from ambos.tensor.handle import Tensor


class Identity(Module):
    """The input; takes and ignores any arguments.

    Example:
        >>> import ambos as am
        >>> Identity()(am.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class ReLU(Module):
    """max(x, 0). `inplace` is accepted and changes nothing: values never alias.

    Example:
        >>> import ambos as am
        >>> ReLU()(am.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU6(Module):
    """min(max(x, 0), 6). `inplace` is accepted and changes nothing: values never alias.

    Example:
        >>> import ambos as am
        >>> ReLU6()(am.tensor([-1.0, 8.0]))
        tensor([0., 6.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class GELU(Module):
    """x times the normal distribution function of x.

    Errors: ArgumentError for another `approximate`; DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> GELU("tanh")(am.tensor([0.0, 1.0])).numpy().round(3)
        array([0.   , 0.841], dtype=float32)
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ArgumentError(f"GELU: approximate is {approximate!r}; need 'none' or 'tanh'")
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x * sigmoid(x).

    Errors: DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> SiLU()(am.tensor([0.0, 1.0]))
        tensor([0.    , 0.7311])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Tanh(Module):
    """Hyperbolic tangent.

    Errors: DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> Tanh()(am.tensor([0.0, 1.0]))
        tensor([0.    , 0.7616])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)).

    Errors: DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> Sigmoid()(am.tensor([0.0, 1.0]))
        tensor([0.5   , 0.7311])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.sigmoid(x)


class Softmax(Module):
    """exp(x), scaled to sum 1 along `dim`.

    Without `dim` it is the last axis (PyTorch guesses an axis from the rank and warns).

    Errors: ArgumentError for an axis that the input lacks; DTypeError unless it is floating.

    Example:
        >>> import ambos as am
        >>> Softmax()(am.tensor([1.0, 1.0]))
        tensor([0.5, 0.5])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x, -1 if self.dim is None else self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """The logarithm of Softmax, stable.

    Errors: as Softmax.

    Example:
        >>> import ambos as am
        >>> LogSoftmax()(am.tensor([1.0, 1.0]))
        tensor([-0.6931, -0.6931])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(x, -1 if self.dim is None else self.dim)


class Dropout(Module):
    """In training, zeros with probability `p`, the rest divided by 1 - p; otherwise the input.

    Errors: ArgumentError unless 0 <= p <= 1; DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> Dropout(0.5).eval()(am.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p, self.inplace = share("Dropout: p", p), inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
