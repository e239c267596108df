"""Activations made of straight pieces, some with an exponential tail.

At a kink the slope is PyTorch's. `inplace` is accepted and changes nothing: values never alias.
"""

from __future__ import annotations

from typing import Any

from ambos.core.errors import ArgumentError, ShapeError
from ambos.nn.functional.shared import along, as_tensor, real, same_dtype
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.pointwise import where
from ambos.tensor.random import rand

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x above 0, negative_slope * x below.

    Errors: DTypeError unless the input is floating.
    Source: Maas, Hannun, Ng (2013), "Rectifier nonlinearities improve neural network acoustic
        models".

    Example:
        >>> import ambos as am
        >>> leaky_relu(am.tensor([-1.0, 2.0]), 0.5).tolist()
        [-0.5, 2.0]
    """
    x = real("leaky_relu", input)
    return where(x > 0, x, x * negative_slope)


def prelu(input: Any, weight: Any) -> Tensor:
    """x above 0, weight * x below; one weight for all, or one per channel (axis 1).

    Shapes: input (N, C, ...), weight () or (1,) or (C,).
    Errors: ShapeError, DTypeError.
    Source: He et al. (2015), "Delving deep into rectifiers".

    Example:
        >>> import ambos as am
        >>> prelu(am.tensor([-1.0, 2.0]), am.tensor(0.25)).tolist()
        [-0.25, 2.0]
    """
    x, w = real("prelu", input), real("prelu", weight)
    same_dtype("prelu", x._node, weight=w._node)
    channels = x.shape[1] if x.ndim > 1 else 1
    if w.ndim > 1 or w.numel() not in (1, channels):
        raise ShapeError(f"prelu: the input is {x.shape} and the weight {w.shape}; need one weight "
                         f"or one for each of {channels} channels, which are axis 1")  # fmt: skip
    if w.numel() == 1:
        slope = w.reshape(())
    else:
        slope = wrap(along(w._node, 1, x.shape))
    return where(x > 0, x, x * slope)


def rrelu(
    input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
    inplace: bool = False,
) -> Tensor:  # fmt: skip
    """`leaky_relu` whose slope is, in training, drawn from [lower, upper] for each element, and
    else their mean.

    Errors: ArgumentError unless lower <= upper.
    Source: Xu et al. (2015), "Empirical evaluation of rectified activations".

    Example:
        >>> import ambos as am
        >>> rrelu(am.tensor([-1.0, 2.0]), 0.25, 0.75).tolist()
        [-0.5, 2.0]
    """
    x = real("rrelu", input)
    if not lower <= upper:
        raise ArgumentError(f"rrelu: lower is {lower} and upper {upper}; need lower <= upper")
    if not training:
        return where(x > 0, x, x * ((lower + upper) / 2))
    slope = (lower + (upper - lower) * rand(x.shape)).to(x.dtype)
    return where(x > 0, x, x * slope)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x above 0, alpha * (exp(x) - 1) below.

    Errors: DTypeError unless the input is floating.
    Source: Clevert, Unterthiner, Hochreiter (2015), "Exponential linear units".

    Example:
        >>> import ambos as am
        >>> elu(am.tensor([-1.0, 2.0])).numpy().round(3)
        array([-0.632,  2.   ], dtype=float32)
    """
    x = real("elu", input)
    return where(x > 0, x, _below(x).expm1() * alpha)


def selu(input: Any, inplace: bool = False) -> Tensor:
    """`elu` scaled so that mean 0 and variance 1 pass through layers.

    Errors: DTypeError unless the input is floating.
    Source: Klambauer et al. (2017), "Self-normalizing neural networks".

    Example:
        >>> import ambos as am
        >>> selu(am.tensor([-1.0, 2.0])).numpy().round(3)
        array([-1.111,  2.101], dtype=float32)
    """
    x = real("selu", input)
    tail = _below(x).expm1() * (SELU_SCALE * SELU_ALPHA)
    return where(x > 0, x * SELU_SCALE, tail)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x above 0, alpha * (exp(x / alpha) - 1) below: its slope has no jump.

    Errors: ArgumentError for alpha 0; DTypeError unless the input is floating.
    Source: Barron (2017), "Continuously differentiable exponential linear units".

    Example:
        >>> import ambos as am
        >>> celu(am.tensor([-1.0, 2.0]), 2.0).numpy().round(3)
        array([-0.787,  2.   ], dtype=float32)
    """
    x = real("celu", input)
    if alpha == 0:
        raise ArgumentError("celu: alpha is 0; need another number, or relu")
    return where(x > 0, x, (_below(x) * (1 / alpha)).expm1() * alpha)


def _below(x: Tensor) -> Tensor:
    """x where it is not above 0: what is not chosen must not overflow in the gradient either."""
    return where(x > 0, 0.0, x)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x above the threshold, `value` up to it.

    Example:
        >>> import ambos as am
        >>> import ambos.nn.functional as F
        >>> F.threshold(am.tensor([0.5, 2.0]), 1.0, -3.0).tolist()
        [-3.0, 2.0]
    """
    x = as_tensor(input)
    if not x.dtype.is_floating:
        value = int(value)
    return where(x <= threshold, value, x)


def hardtanh(
    input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x within [min_val, max_val]; flat outside and at the bounds.

    Errors: ArgumentError unless min_val <= max_val.

    Example:
        >>> import ambos as am
        >>> hardtanh(am.tensor([-3.0, 0.5, 2.0])).tolist()
        [-1.0, 0.5, 1.0]
    """
    x = as_tensor(input)
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: min_val is {min_val} and max_val {max_val}; need min_val "
                            "<= max_val")  # fmt: skip
    if not x.dtype.is_floating:
        min_val, max_val = int(min_val), int(max_val)
    return where(x <= min_val, min_val, where(x >= max_val, max_val, x))


def hardsigmoid(input: Any, inplace: bool = False) -> Tensor:
    """A straight line for sigmoid: x / 6 + 1 / 2 between -3 and 3, 0 below and 1 above.

    Errors: DTypeError unless the input is floating.
    Source: Courbariaux, Bengio, David (2015), "BinaryConnect".

    Example:
        >>> import ambos as am
        >>> hardsigmoid(am.tensor([-4.0, 0.0, 4.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    x = real("hardsigmoid", input)
    return where(x <= -3, 0.0, where(x >= 3, 1.0, (x + 3) / 6))


def hardswish(input: Any, inplace: bool = False) -> Tensor:
    """x * hardsigmoid(x).

    Errors: DTypeError unless the input is floating.
    Source: Howard et al. (2019), "Searching for MobileNetV3".

    Example:
        >>> import ambos as am
        >>> hardswish(am.tensor([-4.0, 3.0, 4.0])).tolist()
        [0.0, 3.0, 4.0]
    """
    x = real("hardswish", input)
    return where(x <= -3, 0.0, where(x >= 3, x, x * (x + 3) / 6))


def hardshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """0 within [-lambd, lambd], x outside.

    Errors: DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> hardshrink(am.tensor([-1.0, 0.25, 2.0])).tolist()
        [-1.0, 0.0, 2.0]
    """
    x = real("hardshrink", input)
    return where((x >= -lambd) & (x <= lambd), 0.0, x)


def softshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, and 0 within [-lambd, lambd].

    Errors: ArgumentError for a negative lambd; DTypeError unless the input is floating.

    Example:
        >>> import ambos as am
        >>> softshrink(am.tensor([-1.0, 0.25, 2.0])).tolist()
        [-0.5, 0.0, 1.5]
    """
    x = real("softshrink", input)
    if lambd < 0:
        raise ArgumentError(f"softshrink: lambd is {lambd}; need at least 0")
    return where(x > lambd, x - lambd, where(x < -lambd, x + lambd, x * 0))
