"""Smooth activations, and softmax, as layers."""

from __future__ import annotations

from ambos.core.errors import ArgumentError, ShapeError
from ambos.nn import functional as F
from ambos.nn.functional.shared import as_tensor
from ambos.nn.layer import layer
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

    def forward(self, input: Tensor) -> Tensor:
        return input


@layer
class GELU(Module):
    """x times the normal distribution function of x.

    Errors: ArgumentError for another `approximate`; DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> GELU("tanh")(am.tensor([0.0, 1.0])).numpy().round(3)
        array([0.   , 0.841], dtype=float32)
    """

    approximate: str = "none"

    def __post_init__(self) -> None:
        if self.approximate not in ("none", "tanh"):
            raise ArgumentError(f"GELU: approximate is {self.approximate!r}; need 'none' or 'tanh'")

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


@layer
class SiLU(Module):
    """x * sigmoid(x), also called swish.

    Errors: DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> SiLU()(am.tensor([0.0, 1.0]))
        tensor([0.    , 0.7311])
    """

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input)


@layer
class Mish(Module):
    """x * tanh(softplus(x)).

    Errors: DTypeError unless the input is floating.
    Source: Misra (2019), "Mish: a self regularized non-monotonic activation function".

    Example:
        >>> Mish()
        Mish()
    """

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input)


@layer
class Softplus(Module):
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x exceeds `threshold`.

    Errors: DTypeError unless the input is floating.

    Example:
        >>> Softplus(beta=2.0)
        Softplus(beta=2.0, threshold=20.0)
    """

    beta: float = 1.0
    threshold: float = 20.0

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)


class Softsign(Module):
    """x / (1 + abs(x)).

    Example:
        >>> Softsign()
        Softsign()
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softsign(input)


class Tanh(Module):
    """Hyperbolic tangent.

    Errors: DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> Tanh()(am.tensor([0.0, 1.0]))
        tensor([0.    , 0.7616])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


class Tanhshrink(Module):
    """x - tanh(x).

    Example:
        >>> Tanhshrink()
        Tanhshrink()
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.tanhshrink(input)


class Sigmoid(Module):
    """1 / (1 + exp(-x)).

    Errors: DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> Sigmoid()(am.tensor([0.0, 1.0]))
        tensor([0.5   , 0.7311])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class LogSigmoid(Module):
    """The logarithm of sigmoid(x), stable.

    Example:
        >>> LogSigmoid()
        LogSigmoid()
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.logsigmoid(input)


@layer
class GLU(Module):
    """The first half along `dim`, times the sigmoid of the second.

    Errors: ShapeError unless the extent is even; ArgumentError for an axis that the input lacks.
    Source: Dauphin, Fan, Auli, Grangier (2017), "Language modeling with gated convolutional
        networks".

    Example:
        >>> import ambos as am
        >>> GLU()(am.ones(2, 6)).shape
        (2, 3)
    """

    dim: int = -1

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)


@layer
class Softmax(Module):
    """exp(x), scaled to sum 1 along `dim`.

    Without `dim` it is the axis that PyTorch guesses from the rank (its warning says not to rely on
    it): the first one of inputs with one or three axes, the second of all others.

    Errors: ArgumentError for an axis that the input lacks; DTypeError unless it is floating.

    Example:
        >>> import ambos as am
        >>> Softmax(-1)(am.tensor([1.0, 1.0]))
        tensor([0.5, 0.5])
    """

    dim: int | None = None

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self._axis(input))

    def _axis(self, input: Tensor) -> int:
        if self.dim is not None:
            return self.dim
        return 0 if as_tensor(input).ndim in (0, 1, 3) else 1


class LogSoftmax(Softmax):
    """The logarithm of Softmax, stable.

    Errors: as Softmax.

    Example:
        >>> import ambos as am
        >>> LogSoftmax(-1)(am.tensor([1.0, 1.0]))
        tensor([-0.6931, -0.6931])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self._axis(input))


class Softmin(Softmax):
    """Softmax of -x.

    Errors: as Softmax.

    Example:
        >>> Softmin(dim=1)
        Softmin(dim=1)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self._axis(input))


class Softmax2d(Module):
    """Softmax over the channels of images.

    Shapes: (N, C, H, W) or (C, H, W), kept.
    Errors: ShapeError for another shape.

    Example:
        >>> import ambos as am
        >>> Softmax2d()(am.ones(2, 3, 4, 4)).shape
        (2, 3, 4, 4)
    """

    def forward(self, input: Tensor) -> Tensor:
        input = as_tensor(input)
        if input.ndim not in (3, 4):
            raise ShapeError(
                f"Softmax2d: got {tuple(input.shape)}; need (batch, channels, height, width) or "
                "(channels, height, width)"
            )
        return F.softmax(input, -3)
