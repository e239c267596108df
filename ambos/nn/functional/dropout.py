"""Dropout of elements and of whole channels.

Masks are functions of a key, so the backward pass draws them again instead of storing them.
`inplace` is accepted and changes nothing: values never alias. Where nothing is to be dropped the
input comes back as it is, of any dtype.
"""

from __future__ import annotations

import math
from typing import Any

from ambos.core.arguments import share
from ambos.core.errors import ShapeError
from ambos.core.shape import Shape
from ambos.nn.functional.shared import as_tensor, floating, nodes
from ambos.ops.arithmetic import greater_equal, multiply, where
from ambos.ops.kinds import constant_like
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.pointwise import where as choose
from ambos.tensor.random import rand

ALPHA = 1.7580993408473766  # selu's limit far below 0 is -ALPHA


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zeros with probability `p` and the rest divided by 1 - p.

    Errors: ArgumentError unless 0 <= p <= 1.
    Source: Srivastava et al. (2014), "Dropout".

    Example:
        >>> import ambos as am
        >>> dropout(am.tensor([1.0, 2.0]), training=False)
        tensor([1., 2.])
    """
    p = share("dropout: p", p)
    if not training or p == 0:
        return as_tensor(input)
    x = floating("dropout", nodes(input)[0])
    zero = constant_like(x, 0.0)
    if p == 1:
        return wrap(multiply(x, zero))
    (draw,) = nodes(rand(x.shape))
    kept = greater_equal(draw, constant_like(draw, float(p)))
    return wrap(where(kept, multiply(x, constant_like(x, 1 / (1 - p))), zero))


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels.

    Shapes: (N, C, L) or (C, L).
    Errors: ShapeError; ArgumentError unless 0 <= p <= 1.
    """
    return _channels("dropout1d", input, p, training, alone=2, ranks=(2, 3))


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels.

    Shapes: (N, C, H, W); three axes are taken for (N, C, L), as PyTorch does.
    Errors: ShapeError; ArgumentError unless 0 <= p <= 1.
    Source: Tompson et al. (2014), "Efficient object localization using convolutional networks".

    Example:
        >>> import ambos as am
        >>> y = dropout2d(am.ones(3, 4, 5, 5))
        >>> am.array_equal(y.amax(axis=(2, 3)), y.amin(axis=(2, 3)))
        True
    """
    return _channels("dropout2d", input, p, training, alone=None, ranks=(3, 4))


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels.

    Shapes: (N, C, D, H, W) or (C, D, H, W).
    Errors: ShapeError; ArgumentError unless 0 <= p <= 1.
    """
    return _channels("dropout3d", input, p, training, alone=4, ranks=(4, 5))


def _channels(
    name: str, input: Any, p: float, training: bool, alone: int | None, ranks: Shape
) -> Tensor:
    x, p = as_tensor(input), share(f"{name}: p", p)
    if x.ndim not in ranks:
        raise ShapeError(f"{name}: the input is {x.shape}; need {ranks[0]} or {ranks[1]} axes")
    if not training or p == 0:
        return x
    floating(name, x._node)
    if p == 1:
        return x * 0
    kept = _kept(x, p, 1 if x.ndim == alone else 2)
    return choose(kept, x * (1 / (1 - p)), 0.0)


def _kept(x: Tensor, p: float, lead: int) -> Tensor:
    """True with probability 1 - p, drawn once for all elements behind the leading axes."""
    shape = (*x.shape[:lead], *(1 for _ in x.shape[lead:]))
    return rand(shape) >= p


def alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """In training, elements become `selu`'s lower limit with probability `p`, and all are scaled
    and shifted so that mean and variance stay.

    Errors: ArgumentError unless 0 <= p <= 1.
    Source: Klambauer et al. (2017), "Self-normalizing neural networks".

    Example:
        >>> import ambos as am
        >>> alpha_dropout(am.tensor([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    x = as_tensor(input)
    return _alpha("alpha_dropout", x, p, training, x.ndim)


def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels.

    Shapes: (N, C, ...).
    Errors: ShapeError; ArgumentError unless 0 <= p <= 1.

    Example:
        >>> import ambos as am
        >>> feature_alpha_dropout(am.ones(2, 3)).shape
        (2, 3)
    """
    x = as_tensor(input)
    if training and x.ndim < 2:
        raise ShapeError(f"feature_alpha_dropout: the input is {x.shape}; need (batch, channels, "
                         "...)")  # fmt: skip
    return _alpha("feature_alpha_dropout", x, p, training, 2)


def _alpha(name: str, x: Tensor, p: float, training: bool, lead: int) -> Tensor:
    p = share(f"{name}: p", p)
    if not training or p == 0:
        return x
    floating(name, x._node)
    if p == 1:
        return x * 0
    scale = 1 / math.sqrt((ALPHA * ALPHA * p + 1) * (1 - p))
    shift = ALPHA * scale * p
    return choose(_kept(x, p, lead), x * scale + shift, shift - ALPHA * scale)
