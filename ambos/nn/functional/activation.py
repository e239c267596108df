"""Activations, softmax, dropout."""

from __future__ import annotations

import math
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.core.shape import normalize_axis
from ambos.graph.node import Node
from ambos.nn.functional.shared import floating, keep, nodes
from ambos.ops.arithmetic import (
    add,
    divide,
    greater_equal,
    multiply,
    negative,
    subtract,
    where,
)
from ambos.ops.arithmetic import relu as relu_op
from ambos.ops.functions import erf, exp, log
from ambos.ops.functions import tanh as tanh_op
from ambos.ops.kinds import constant_like
from ambos.ops.movement import detach
from ambos.ops.reductions import max_, sum_
from ambos.tensor import Tensor
from ambos.tensor.handle import wrap
from ambos.tensor.random import rand


def relu(input: Any) -> Tensor:
    """max(x, 0)."""
    return wrap(relu_op(nodes(input)[0]))


def tanh(input: Any) -> Tensor:
    """Hyperbolic tangent."""
    return wrap(tanh_op(floating("tanh", nodes(input)[0])))


def sigmoid(input: Any) -> Tensor:
    """1 / (1 + exp(-x)), without overflow in the value or in the gradient.

    Example:
        >>> import ambos as am
        >>> sigmoid(am.tensor([-200.0, 0.0])).numpy()
        array([0. , 0.5], dtype=float32)
    """
    return wrap(_sigmoid(floating("sigmoid", nodes(input)[0])))


def _sigmoid(x: Node) -> Node:
    """exp(-|x|) never overflows; the branch at 0 keeps the slope of 1/4 there."""
    one = constant_like(x, 1.0)
    upper = greater_equal(x, constant_like(x, 0.0))
    e = exp(where(upper, negative(x), x))
    return divide(where(upper, one, e), add(e, one))


def silu(input: Any) -> Tensor:
    """x * sigmoid(x).

    Source: Elfwing, Uchibe, Doya (2017), "Sigmoid-weighted linear units".
    """
    x = floating("silu", nodes(input)[0])
    return wrap(multiply(x, _sigmoid(x)))


def gelu(input: Any, approximate: str = "none") -> Tensor:
    """x times the normal distribution function of x; "tanh" gives the usual approximation.

    Source: Hendrycks and Gimpel (2016), "Gaussian error linear units".
    """
    x = floating("gelu", nodes(input)[0])
    half = constant_like(x, 0.5)
    if approximate == "none":
        inner = erf(multiply(x, constant_like(x, math.sqrt(0.5))))
    elif approximate == "tanh":
        cube = multiply(multiply(multiply(x, x), x), constant_like(x, 0.044715))
        inner = tanh_op(multiply(add(x, cube), constant_like(x, math.sqrt(2 / math.pi))))
    else:
        raise ArgumentError(f"gelu: approximate is {approximate!r}; need 'none' or 'tanh'")
    return wrap(multiply(multiply(x, half), add(inner, constant_like(x, 1.0))))


def softmax(input: Any, dim: int = -1) -> Tensor:
    """exp(x) with sum 1 along `dim`.

    Example:
        >>> import ambos as am
        >>> softmax(am.tensor([0.0, 0.0])).numpy()
        array([0.5, 0.5], dtype=float32)
    """
    x = floating("softmax", nodes(input)[0])
    axes = (normalize_axis("softmax", dim, x.rank),)
    e = exp(_below_top(x, axes))
    return wrap(divide(e, keep(sum_(e, attrs=(axes,)), axes, x.shape)))


def log_softmax(input: Any, dim: int = -1) -> Tensor:
    """log(softmax(x)), stable."""
    x = floating("log_softmax", nodes(input)[0])
    axes = (normalize_axis("log_softmax", dim, x.rank),)
    return wrap(log_softmax_node(x, axes))


def log_softmax_node(x: Node, axes: tuple[int, ...]) -> Node:
    shifted = _below_top(x, axes)
    return subtract(shifted, keep(log(sum_(exp(shifted), attrs=(axes,))), axes, x.shape))


def _below_top(x: Node, axes: tuple[int, ...]) -> Node:
    """x minus its maximum, through which no gradient needs to flow: it cancels."""
    return subtract(x, keep(detach(max_(x, attrs=(axes,))), axes, x.shape))


def dropout(input: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """In training, zeros with probability `p` and the rest divided by 1 - p.

    The mask is a function of a key, so the backward pass draws it again instead of storing it.
    Errors: ArgumentError unless 0 <= p <= 1.
    Source: Srivastava et al. (2014), "Dropout".
    """
    (x,) = nodes(input)
    floating("dropout", x)
    if not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p is {p!r}; need 0 <= p <= 1")
    if not training or p == 0:
        return input if isinstance(input, Tensor) else wrap(x)
    zero = constant_like(x, 0.0)
    if p == 1:
        return wrap(multiply(x, zero))
    (draw,) = nodes(rand(x.shape))
    kept = greater_equal(draw, constant_like(draw, float(p)))
    return wrap(where(kept, multiply(x, constant_like(x, 1 / (1 - p))), zero))
