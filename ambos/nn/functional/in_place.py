"""Activations that change their argument: the handle is bound to the result, as by `copy_`."""

from __future__ import annotations

from ambos.nn.functional.activation import relu
from ambos.nn.functional.rectifiers import (
    celu,
    elu,
    hardtanh,
    leaky_relu,
    rrelu,
    selu,
)
from ambos.nn.functional.rectifiers import threshold as _threshold
from ambos.tensor.handle import Tensor


def relu_(input: Tensor) -> Tensor:
    """`relu`, in place.

    Example:
        >>> import ambos as am
        >>> x = am.tensor([-1.0, 2.0])
        >>> relu_(x) is x, x
        (True, tensor([0., 2.]))
    """
    return input.copy_(relu(input))


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu`, in place.

    Example:
        >>> import ambos as am
        >>> elu_(am.tensor([2.0]))
        tensor([2.])
    """
    return input.copy_(elu(input, alpha))


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu`, in place.

    Example:
        >>> import ambos as am
        >>> celu_(am.tensor([2.0]))
        tensor([2.])
    """
    return input.copy_(celu(input, alpha))


def selu_(input: Tensor) -> Tensor:
    """`selu`, in place.

    Example:
        >>> import ambos as am
        >>> selu_(am.tensor([0.0]))
        tensor([0.])
    """
    return input.copy_(selu(input))


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu`, in place.

    Example:
        >>> import ambos as am
        >>> leaky_relu_(am.tensor([-2.0]), 0.5)
        tensor([-1.])
    """
    return input.copy_(leaky_relu(input, negative_slope))


def rrelu_(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
) -> Tensor:
    """`rrelu`, in place.

    Example:
        >>> import ambos as am
        >>> rrelu_(am.tensor([-2.0]), 0.5, 0.5)
        tensor([-1.])
    """
    return input.copy_(rrelu(input, lower, upper, training))


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh`, in place.

    Example:
        >>> import ambos as am
        >>> hardtanh_(am.tensor([-2.0]))
        tensor([-1.])
    """
    return input.copy_(hardtanh(input, min_val, max_val))


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold`, in place.

    Example:
        >>> import ambos as am
        >>> threshold_(am.tensor([0.5, 2.0]), 1.0, 7.0)
        tensor([7., 2.])
    """
    return input.copy_(_threshold(input, threshold, value))
