"""Activations made of straight pieces, and their relatives, as layers.

`inplace` is accepted everywhere and changes nothing: values never alias.
"""

from __future__ import annotations

from dataclasses import InitVar
from typing import Any

from ambos.core.arguments import positive
from ambos.core.errors import ArgumentError
from ambos.nn import functional as F
from ambos.nn import init
from ambos.nn.layer import layer
from ambos.nn.module import Module
from ambos.nn.parameter import unset
from ambos.tensor.handle import Tensor


@layer
class ReLU(Module):
    """max(x, 0).

    Example:
        >>> import ambos as am
        >>> ReLU()(am.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input)


@layer
class ReLU6(Module):
    """min(max(x, 0), 6).

    Example:
        >>> import ambos as am
        >>> ReLU6()(am.tensor([-1.0, 8.0]))
        tensor([0., 6.])
    """

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.relu6(input)


@layer
class LeakyReLU(Module):
    """x where it is positive, `negative_slope` * x elsewhere.

    Example:
        >>> LeakyReLU(0.2)
        LeakyReLU(negative_slope=0.2)
    """

    negative_slope: float = 0.01
    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope)


@layer
class PReLU(Module):
    """x where it is positive, weight * x elsewhere; one weight, or one for each channel (axis 1).

    Errors: ShapeError where there are more weights than one and other than channels.
    Source: He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers".

    Example:
        >>> layer = PReLU(3)
        >>> layer, layer.weight.shape
        (PReLU(num_parameters=3), (3,))
    """

    num_parameters: int = 1
    init: float = 0.25
    device: InitVar[Any] = None
    dtype: InitVar[Any] = None

    def __post_init__(self, device: Any, dtype: Any) -> None:
        positive("PReLU: num_parameters", self.num_parameters)
        self.weight = unset((self.num_parameters,), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """`init` everywhere."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


@layer
class RReLU(Module):
    """x where it is positive; elsewhere x times a slope: in training drawn for each element from
    `lower` to `upper`, otherwise their middle.

    Example:
        >>> RReLU(0.1, 0.3)
        RReLU(lower=0.1, upper=0.3)
    """

    lower: float = 1 / 8
    upper: float = 1 / 3
    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training)


@layer
class ELU(Module):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere.

    Source: Clevert, Unterthiner, Hochreiter (2015), "Fast and accurate deep network learning by
        exponential linear units".

    Example:
        >>> ELU()
        ELU(alpha=1.0)
    """

    alpha: float = 1.0
    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha)


@layer
class CELU(Module):
    """x where it is positive, alpha * (exp(x / alpha) - 1) elsewhere.

    Errors: ArgumentError for alpha = 0.

    Example:
        >>> CELU(2.0)
        CELU(alpha=2.0)
    """

    alpha: float = 1.0
    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha)


@layer
class SELU(Module):
    """ELU with the constants that keep mean 0 and variance 1 from layer to layer.

    Source: Klambauer, Unterthiner, Mayr, Hochreiter (2017), "Self-normalizing neural networks".

    Example:
        >>> SELU()
        SELU()
    """

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.selu(input)


@layer
class Threshold(Module):
    """x where it exceeds `threshold`, `value` elsewhere.

    Example:
        >>> Threshold(0.1, 20)
        Threshold(threshold=0.1, value=20)
    """

    threshold: float
    value: float
    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value)


@layer
class Hardtanh(Module):
    """x, kept between `min_val` and `max_val`.

    Errors: ArgumentError unless min_val < max_val.

    Example:
        >>> Hardtanh(-2.0, 2.0)
        Hardtanh(min_val=-2.0, max_val=2.0)
    """

    min_val: float = -1.0
    max_val: float = 1.0
    inplace: bool = False
    min_value: InitVar[float | None] = None  # how the limits were called once
    max_value: InitVar[float | None] = None

    def __post_init__(self, min_value: float | None, max_value: float | None) -> None:
        self.min_val = self.min_val if min_value is None else min_value
        self.max_val = self.max_val if max_value is None else max_value
        if not self.min_val < self.max_val:
            raise ArgumentError(
                f"Hardtanh: min_val is {self.min_val!r} and max_val {self.max_val!r}; need "
                "min_val < max_val"
            )

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val)


@layer
class Hardsigmoid(Module):
    """x / 6 + 1 / 2, kept between 0 and 1.

    Example:
        >>> Hardsigmoid()
        Hardsigmoid()
    """

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input)


@layer
class Hardswish(Module):
    """x * hardsigmoid(x).

    Source: Howard et al. (2019), "Searching for MobileNetV3".

    Example:
        >>> Hardswish()
        Hardswish()
    """

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input)


@layer
class Hardshrink(Module):
    """x where it is farther than `lambd` from 0, 0 elsewhere.

    Example:
        >>> Hardshrink(0.5)
        Hardshrink(0.5)
    """

    lambd: float = 0.5

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(Hardshrink):
    """x moved towards 0 by `lambd`, and 0 where it is nearer than that.

    Errors: ArgumentError for a negative `lambd`.

    Example:
        >>> Softshrink(0.5)
        Softshrink(0.5)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)
