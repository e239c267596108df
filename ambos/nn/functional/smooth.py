"""Smooth activations, and what is made of softmax."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import ArgumentError, ShapeError
from ambos.core.shape import normalize_axis
from ambos.nn.functional.shared import back, computed, in_dtype, inexact, real
from ambos.tensor import soft
from ambos.tensor.gather import one_hot
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.pointwise import where
from ambos.tensor.random import rand


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x is above the threshold.

    Errors: ArgumentError for beta 0; DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> softplus(am.tensor([0.0, 30.0])).numpy().round(3)
        array([ 0.693, 30.   ], dtype=float32)
    """
    given = real("softplus", input)
    if beta == 0:
        raise ArgumentError("softplus: beta is 0; need another number")
    x = computed(given)
    scaled = x * beta
    straight = scaled > threshold
    bent = where(straight, 0.0, scaled).exp().log1p() / beta
    return back(where(straight, x, bent), given)


def softsign(input: Any) -> Tensor:
    """x / (1 + |x|).

    Dtypes: integers give float32.

    Example:
        >>> import ambos as am
        >>> softsign(am.tensor([-1.0, 3.0])).tolist()
        [-0.5, 0.75]
    """
    x = inexact(input)
    return x / (1 + x.abs())


def logsigmoid(input: Any) -> Tensor:
    """log(sigmoid(x)), without overflow.

    Errors: DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> logsigmoid(am.tensor([-200.0, 0.0])).numpy().round(3)
        array([-200.   ,   -0.693], dtype=float32)
    """
    given = real("logsigmoid", input)
    return back(log_of_sigmoid(computed(given)), given)


def log_of_sigmoid(x: Tensor) -> Tensor:
    """min(x, 0) - log(1 + exp(-|x|)); the minimum shares ties, so the slope at 0 is 1/2."""
    low: Tensor = x.minimum(0.0) - (-x.abs()).exp().log1p()
    return low


def mish(input: Any, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x)). `inplace` is accepted and changes nothing.

    Errors: DTypeError unless the input is floating.
    Source: Misra (2019), "Mish: a self regularized non-monotonic activation function".

    Example:
        >>> import ambos as am
        >>> mish(am.tensor([0.0, 1.0])).numpy().round(3)
        array([0.   , 0.865], dtype=float32)
    """
    given = real("mish", input)
    x = computed(given)
    # tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2) with e = exp(x): one elementary function.
    large = x > 20
    power = where(large, 0.0, x).exp()
    product = power * (power + 2)
    return back(x * where(large, 1.0, product / (product + 2)), given)


def tanhshrink(input: Any) -> Tensor:
    """x - tanh(x).

    Dtypes: integers give float32.

    Example:
        >>> import ambos as am
        >>> tanhshrink(am.tensor([0.0, 1.0])).numpy().round(3)
        array([0.   , 0.238], dtype=float32)
    """
    x = inexact(input)
    result: Tensor = x - x.tanh()
    return result


def glu(input: Any, dim: int = -1) -> Tensor:
    """The first half along an axis times the sigmoid of the second.

    Errors: ShapeError for an axis of odd size; DTypeError unless the input is floating.
    Source: Dauphin et al. (2016), "Language modeling with gated convolutional networks".

    Example:
        >>> import ambos as am
        >>> glu(am.tensor([1.0, 2.0, 0.0, 0.0])).tolist()
        [0.5, 1.0]
    """
    x = real("glu", input)
    if x.ndim == 0:
        raise ShapeError("glu: the input is a scalar; need an axis to halve")
    axis = normalize_axis("glu", dim, x.ndim)
    if x.shape[axis] % 2:
        raise ShapeError(f"glu: axis {dim} of {x.shape} has {x.shape[axis]} elements; need an even "
                         "number of them")  # fmt: skip
    half = x.shape[axis] // 2
    lead = (slice(None),) * axis
    gate: Tensor = x[(*lead, slice(half, None))].sigmoid()
    return x[(*lead, slice(None, half))] * gate


def softmin(input: Any, dim: int = -1, dtype: Any = None) -> Tensor:
    """softmax(-x) along `dim`, computed in `dtype` where one is given.

    Errors: ArgumentError for an axis that the input lacks; DTypeError unless it is floating.

    Example:
        >>> import ambos as am
        >>> softmin(am.tensor([0.0, 0.0])).tolist()
        [0.5, 0.5]
    """
    return soft.softmin(wrap(in_dtype("softmin", input, dtype)), dim)


def gumbel_softmax(
    logits: Any, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A softmax whose largest entry falls as if drawn by the logits' probabilities.

    With `hard` the result is a one-hot code, and its gradient that of the soft one. `eps` is
    accepted and changes nothing: the noise is finite.
    Errors: ArgumentError unless tau is positive; DTypeError unless the logits are floating.
    Source: Jang, Gu, Poole (2016), "Categorical reparameterization with Gumbel-softmax".

    Example:
        >>> import ambos as am
        >>> gumbel_softmax(am.zeros(2, 3), hard=True).sum(axis=1).tolist()
        [1.0, 1.0]
    """
    x = real("gumbel_softmax", logits)
    if not tau > 0:
        raise ArgumentError(f"gumbel_softmax: tau is {tau}; need a positive number")
    # rand has multiples of 2**-24 below 1: half a step more keeps both logarithms finite.
    drawn = (rand(x.shape) + 2.0**-25).to(x.dtype.compute)
    noisy = (computed(x) - (-drawn.log()).log()) / tau
    share = soft.softmax(noisy, dim)
    if not hard:
        return back(share, x)
    chosen = one_hot(share.argmax(dim), x.shape[dim], share.dtype, normalize_axis(
        "gumbel_softmax", dim, x.ndim))  # fmt: skip
    return back(chosen + (share - share.detach()), x)
