"""Initial values in PyTorch's formulas: drawn from the global stream (`am.manual_seed`), from a
`generator`, or with a `key` of one's own (`am.random.key`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ambos.core.arguments import share
from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import Shape, size_of
from ambos.nn.parameter import assign
from ambos.tensor import random
from ambos.tensor.handle import Tensor
from ambos.tensor.linalg import qr
from ambos.tensor.live import leaf_handle
from ambos.tensor.modes import no_grad
from ambos.tensor.pointwise import where

VIEWS = ("slice", "reshape", "permute", "expand", "flip")


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


def _give(tensor: Tensor, value: Tensor) -> None:
    """Put `value` into a tensor; an ArgumentError for a view of a parameter, which is a value of
    its own here: PyTorch's would write to the parameter."""
    node = tensor._node
    while node.value is None and node.op.name in VIEWS:
        (node,) = node.inputs
    owner = leaf_handle(node)
    if owner is not None and owner is not tensor and owner._node is node is not tensor._node:
        raise ArgumentError(
            f"init: the tensor of shape {tuple(tensor.shape)} is a view of a parameter of "
            f"shape {tuple(owner.shape)}, which would stay as it is; need the parameter, or under "
            "am.no_grad() to assign: weight[:2] = nn.init.zeros_(am.empty(2, 3))"
        )
    assign(tensor, value)


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None, *, key: Any = None
) -> Tensor:
    """Uniform in [a, b).

    Example:
        >>> import ambos as am
        >>> uniform_(am.empty(2, 3), -1.0, 1.0).shape
        (2, 3)
    """
    with no_grad():  # the bounds are data, so that all layers share one kernel
        low, width = _number(a, tensor), _number(b - a, tensor)
        drawn = random.uniform(key, tensor.shape, dtype=tensor.dtype, generator=generator)
        _give(tensor, drawn * width + low)
    return tensor


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None, *, key: Any = None
) -> Tensor:
    """Normal with the given mean and standard deviation.

    Example:
        >>> import ambos as am
        >>> normal_(am.empty(2, 3), std=0.02).shape
        (2, 3)
    """
    with no_grad():
        middle, width = _number(mean, tensor), _number(std, tensor)
        drawn = random.normal(key, tensor.shape, dtype=tensor.dtype, generator=generator)
        _give(tensor, drawn * width + middle)
    return tensor


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
    *,
    key: Any = None,
) -> Tensor:
    """Normal, given that it lies in [a, b]: the inverse of the distribution function, of uniform
    numbers (PyTorch's formula).

    Errors: ArgumentError unless a <= b.

    Example:
        >>> import ambos as am
        >>> trunc_normal_(am.empty(2, 3), std=0.02).shape
        (2, 3)
    """
    if not a <= b:
        raise ArgumentError(f"trunc_normal_: [{a}, {b}] holds no numbers; need a <= b")
    low, high = (math.erf((bound - mean) / std / math.sqrt(2)) for bound in (a, b))
    with no_grad():
        uniform_(tensor, low, high, generator, key=key)
        drawn = tensor.erfinv() * _number(std * math.sqrt(2), tensor) + _number(mean, tensor)
        _give(tensor, drawn.clip(a, b))
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere.

    Example:
        >>> import ambos as am
        >>> constant_(am.empty(2), 0.5)
        tensor([0.5, 0.5])
    """
    return _set(tensor, np.full(tensor.shape, val, np.float32))


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros.

    Example:
        >>> import ambos as am
        >>> zeros_(am.ones(2))
        tensor([0., 0.])
    """
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Ones.

    Example:
        >>> import ambos as am
        >>> ones_(am.empty(2))
        tensor([1., 1.])
    """
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix.

    Errors: ShapeError unless the tensor has two dimensions.

    Example:
        >>> import ambos as am
        >>> eye_(am.empty(2, 2))
        tensor([[1., 0.],
                [0., 1.]])
    """
    if len(tensor.shape) != 2:
        raise ShapeError(f"eye_: got {tensor.shape}; need two dimensions")
    return _set(tensor, np.eye(*tensor.shape, dtype=np.float32))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The weight of a convolution that passes its channels on, as many as there are.

    Errors: ShapeError unless the tensor has 3 to 5 dimensions; ArgumentError unless `groups`
        divides the first.

    Example:
        >>> import ambos as am
        >>> dirac_(am.empty(1, 1, 3))
        tensor([[[0., 1., 0.]]])
    """
    shape = tensor.shape
    if len(shape) not in (3, 4, 5):
        raise ShapeError(f"dirac_: got {shape}; need the weight of a convolution: 3 to 5 axes")
    if groups < 1 or shape[0] % groups:
        raise ArgumentError(f"dirac_: groups is {groups} for {shape[0]} channels; need a divisor")
    values = np.zeros(shape, np.float32)
    middle = tuple(extent // 2 for extent in shape[2:])
    rows = shape[0] // groups
    for group in range(groups):
        for channel in range(min(rows, shape[1])):
            values[(group * rows + channel, channel, *middle)] = 1
    return _set(tensor, values)


GAINS = {
    "linear": 1.0, "sigmoid": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0,
    "conv_transpose1d": 1.0, "conv_transpose2d": 1.0, "conv_transpose3d": 1.0, "tanh": 5 / 3,
    "relu": math.sqrt(2), "selu": 3 / 4,
}  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """How much a nonlinearity shrinks its input's scale, inverted (PyTorch's table). `param` is the
    slope of "leaky_relu".

    Errors: ArgumentError for an unknown nonlinearity.

    Example:
        >>> calculate_gain("tanh")
        1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in GAINS:
        raise ArgumentError(
            f"init: nonlinearity is {nonlinearity!r}; need one of {[*GAINS, 'leaky_relu']}"
        )
    return GAINS[nonlinearity]


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
    *,
    key: Any = None,
) -> Tensor:
    """Uniform with a variance that keeps the scale through `nonlinearity`.

    Errors: ShapeError for fewer than two dimensions; ArgumentError.
    Source: He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers".

    Example:
        >>> import ambos as am
        >>> kaiming_uniform_(am.empty(2, 3)).shape
        (2, 3)
    """
    bound = math.sqrt(3) * calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator, key=key)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
    *,
    key: Any = None,
) -> Tensor:
    """Normal with a variance that keeps the scale through `nonlinearity`.

    Errors: ShapeError for fewer than two dimensions; ArgumentError.
    Source: He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers".

    Example:
        >>> import ambos as am
        >>> kaiming_normal_(am.empty(2, 3), nonlinearity="relu").shape
        (2, 3)
    """
    std = calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    return normal_(tensor, 0.0, std, generator, key=key)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Any = None, *, key: Any = None
) -> Tensor:
    """Uniform with a variance between those of the two directions.

    Errors: ShapeError for fewer than two dimensions.
    Source: Glorot and Bengio (2010), "Understanding the difficulty of training deep networks".

    Example:
        >>> import ambos as am
        >>> xavier_uniform_(am.empty(2, 3)).shape
        (2, 3)
    """
    bound = gain * math.sqrt(6 / sum(fans(tensor.shape)))
    return uniform_(tensor, -bound, bound, generator, key=key)


def xavier_normal_(
    tensor: Tensor, gain: float = 1.0, generator: Any = None, *, key: Any = None
) -> Tensor:
    """Normal with a variance between those of the two directions.

    Errors: ShapeError for fewer than two dimensions.
    Source: Glorot and Bengio (2010), "Understanding the difficulty of training deep networks".

    Example:
        >>> import ambos as am
        >>> xavier_normal_(am.empty(2, 3)).shape
        (2, 3)
    """
    std = gain * math.sqrt(2 / sum(fans(tensor.shape)))
    return normal_(tensor, 0.0, std, generator, key=key)


def orthogonal_(
    tensor: Tensor, gain: float = 1.0, generator: Any = None, *, key: Any = None
) -> Tensor:
    """A matrix (the first axis, and all others as one) whose rows or columns are orthonormal, times
    `gain`; drawn evenly from all such.

    Errors: ShapeError for fewer than two dimensions.
    Source: Saxe, McClelland, Ganguli (2013), "Exact solutions to the nonlinear dynamics of learning
        in deep linear neural networks".

    Example:
        >>> import ambos as am
        >>> orthogonal_(am.empty(2, 3)).shape
        (2, 3)
    """
    shape = tensor.shape
    if len(shape) < 2:
        raise ShapeError(f"orthogonal_: got {shape}; need at least two dimensions")
    rows, columns = shape[0], size_of(shape[1:])
    long, short = max(rows, columns), min(rows, columns)
    with no_grad():
        q, r = qr(random.normal(key, (long, short), generator=generator))
        q = q * r.diagonal().sign()  # so that no orientation is likelier than another
        flat = q if rows >= columns else q.T
        _give(tensor, (flat.reshape(shape) * gain).to(tensor.dtype))
    return tensor


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None, *, key: Any = None
) -> Tensor:
    """Normal, but for the share `sparsity` of each column, which is 0.

    Errors: ShapeError unless the tensor has two dimensions; ArgumentError for a share
        below 0 or above 1.
    Source: Martens (2010), "Deep learning via Hessian-free optimization".

    Example:
        >>> import ambos as am
        >>> sparse_(am.empty(4, 2), 0.5).shape
        (4, 2)
    """
    if len(tensor.shape) != 2:
        raise ShapeError(f"sparse_: got {tensor.shape}; need two dimensions")
    zeros = math.ceil(share("sparse_: sparsity", sparsity) * tensor.shape[0])
    first, second = (None, None) if key is None else random.split(key)
    normal_(tensor, 0.0, std, generator, key=first)
    with no_grad():
        order = random.uniform(second, tensor.shape, generator=generator).argsort(0).argsort(0)
        _give(tensor, where(order < zeros, 0.0, tensor.detach()).to(tensor.dtype))
    return tensor


def _set(tensor: Tensor, values: Any) -> Tensor:
    with no_grad():
        _give(tensor, Tensor(values).to(tensor.dtype))
    return tensor


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"init: mode is {mode!r}; need 'fan_in' or 'fan_out'")
    return max(1, fans(tensor.shape)[mode == "fan_out"])


def _number(value: float, like: Tensor) -> Tensor:
    return Tensor(np.asarray(value, np.float64)).to(like.dtype)
