"""The activations that networks use most, and softmax. `inplace` is accepted and changes nothing:
values never alias."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import ArgumentError
from ambos.nn.functional.shared import floating, in_dtype, inexact, nodes
from ambos.ops import activations
from ambos.ops.arithmetic import multiply
from ambos.ops.arithmetic import relu as relu_op
from ambos.ops.arithmetic import relu6 as relu6_op
from ambos.ops.functions import tanh as tanh_op
from ambos.tensor import soft
from ambos.tensor.composite import sigmoid_node
from ambos.tensor.handle import Tensor, wrap

GELUS = {"none": activations.gelu, "tanh": activations.gelu_tanh}


def relu(input: Any, inplace: bool = False) -> Tensor:
    """max(x, 0).

    Example:
        >>> import ambos as am
        >>> relu(am.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    return wrap(relu_op(nodes(input)[0]))


def relu6(input: Any, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6).

    Source: Krizhevsky (2010), "Convolutional deep belief networks on CIFAR-10".

    Example:
        >>> import ambos as am
        >>> relu6(am.tensor([-1.0, 2.0, 8.0]))
        tensor([0., 2., 6.])
    """
    return wrap(relu6_op(nodes(input)[0]))  # flat at 0 and at 6, as PyTorch's


def tanh(input: Any) -> Tensor:
    """Hyperbolic tangent.

    Dtypes: integers give float32.

    Example:
        >>> import ambos as am
        >>> tanh(am.tensor([0.0, 1.0]))
        tensor([0.    , 0.7616])
    """
    return wrap(tanh_op(inexact(input)._node))


def sigmoid(input: Any) -> Tensor:
    """1 / (1 + exp(-x)), without overflow.

    Dtypes: integers give float32.

    Example:
        >>> import ambos as am
        >>> sigmoid(am.tensor([-200.0, 0.0])).numpy()
        array([0. , 0.5], dtype=float32)
    """
    return wrap(sigmoid_node(inexact(input)._node))


def silu(input: Any, inplace: bool = False) -> Tensor:
    """x * sigmoid(x).

    Errors: DTypeError unless the input is floating or complex.
    Source: Elfwing, Uchibe, Doya (2017), "Sigmoid-weighted linear units".

    Example:
        >>> import ambos as am
        >>> silu(am.tensor([0.0, 1.0]))
        tensor([0.    , 0.7311])
    """
    (x,) = nodes(input)
    if not x.dtype.is_complex:
        floating("silu", x)
    return wrap(multiply(x, sigmoid_node(x)))


def gelu(input: Any, approximate: str = "none") -> Tensor:
    """x times the normal distribution function of x; "tanh" gives the usual approximation.

    Errors: ArgumentError for another `approximate`; DTypeError unless the input is floating.
    Source: Hendrycks and Gimpel (2016), "Gaussian error linear units".

    Example:
        >>> import ambos as am
        >>> gelu(am.tensor([0.0, 1.0])).numpy().round(3)
        array([0.   , 0.841], dtype=float32)
    """
    if approximate not in GELUS:
        raise ArgumentError(f"gelu: approximate is {approximate!r}; need 'none' or 'tanh'")
    return wrap(GELUS[approximate](floating("gelu", nodes(input)[0])))


def softmax(input: Any, dim: int = -1, dtype: Any = None) -> Tensor:
    """exp(x) with sum 1 along `dim`, computed in `dtype` where one is given.

    Errors: ArgumentError for an axis that the input lacks; DTypeError unless it is floating.

    Example:
        >>> import ambos as am
        >>> softmax(am.tensor([0.0, 0.0])).numpy()
        array([0.5, 0.5], dtype=float32)
    """
    return soft.softmax(wrap(in_dtype("softmax", input, dtype)), dim)


def log_softmax(input: Any, dim: int = -1, dtype: Any = None) -> Tensor:
    """log(softmax(x)), stable, computed in `dtype` where one is given.

    Errors: ArgumentError for an axis that the input lacks; DTypeError unless it is floating.

    Example:
        >>> import ambos as am
        >>> log_softmax(am.tensor([1.0, 1.0]))
        tensor([-0.6931, -0.6931])
    """
    return soft.log_softmax(wrap(in_dtype("log_softmax", input, dtype)), dim)
