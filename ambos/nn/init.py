"""Initial values, drawn from the global stream (`am.manual_seed`), in PyTorch's formulas."""

from __future__ import annotations

import math

import numpy as np

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.nn.parameter import assign
from ambos.tensor.handle import Tensor
from ambos.tensor.modes import no_grad
from ambos.tensor.random import rand, randn


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight shaped (out, in, *window).

    Example:
        >>> fans((8, 3, 5, 5))
        (75, 200)
    """
    if len(shape) < 2:
        raise ShapeError(f"init: {shape} has no fan; need at least two dimensions")
    window = size_of(shape[2:])
    return shape[1] * window, shape[0] * window


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform in [a, b). The bounds are data, so that all layers share one kernel."""
    with no_grad():
        low, width = _number(a, tensor), _number(b - a, tensor)
        assign(tensor, rand(tensor.shape, dtype=tensor.dtype) * width + low)
    return tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal with the given mean and standard deviation."""
    with no_grad():
        middle, width = _number(mean, tensor), _number(std, tensor)
        assign(tensor, randn(tensor.shape, dtype=tensor.dtype) * width + middle)
    return tensor


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Normal with the given mean and standard deviation, restricted to [a, b] (PyTorch's formula:
    the inverse of the distribution function, of uniform numbers)."""
    low, high = (math.erf((bound - mean) / std / math.sqrt(2)) for bound in (a, b))
    with no_grad():
        uniform_(tensor, low, high)
        drawn = tensor.erfinv() * _number(std * math.sqrt(2), tensor) + _number(mean, tensor)
        assign(tensor, drawn.clip(a, b))
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    with no_grad():
        assign(tensor, Tensor(np.full(tensor.shape, val, np.float32)).to(tensor.dtype))
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def gain(nonlinearity: str, param: float = 0.01) -> float:
    """How much a nonlinearity shrinks its input's scale, inverted (PyTorch's table)."""
    known = {
        "linear": 1.0, "sigmoid": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0,
        "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4,
        "leaky_relu": math.sqrt(2 / (1 + param**2)),
    }  # fmt: skip
    if nonlinearity not in known:
        raise ArgumentError(f"init: nonlinearity is {nonlinearity!r}; need one of {list(known)}")
    return known[nonlinearity]


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Uniform with a variance that keeps the scale through `nonlinearity`.

    Source: He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers".
    """
    bound = math.sqrt(3) * gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Normal with a variance that keeps the scale through `nonlinearity` (He et al., 2015)."""
    return normal_(tensor, 0.0, gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform with a variance between those of the two directions.

    Source: Glorot and Bengio (2010), "Understanding the difficulty of training deep networks".
    """
    bound = gain * math.sqrt(6 / sum(fans(tensor.shape)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with a variance between those of the two directions (Glorot and Bengio, 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor.shape))))


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"init: mode is {mode!r}; need 'fan_in' or 'fan_out'")
    return max(1, fans(tensor.shape)[mode == "fan_out"])


def _number(value: float, like: Tensor) -> Tensor:
    return Tensor(np.asarray(value, np.float64)).to(like.dtype)
