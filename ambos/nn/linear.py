"""Linear, the smallest layer that is complete."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ambos.core.arguments import positive
from ambos.core.errors import ShapeError
from ambos.core.shape import Shape
from ambos.nn import functional as F
from ambos.nn import init
from ambos.nn.functional.shared import as_tensor
from ambos.nn.lazy import Lazy, weight_and_bias
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter
from ambos.tensor.handle import Tensor


class Linear(Module):
    """x @ weight.T + bias.

    Shapes: (..., in_features) to (..., out_features).
    Errors: ShapeError, with the size to use, where the input does not fit.

    Example:
        >>> import ambos as am
        >>> layer = Linear(3, 2)
        >>> layer, layer(am.ones((5, 3))).shape
        (Linear(in_features=3, out_features=2, bias=True), (5, 2))
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int | None,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = 0 if in_features is None else positive("in_features", in_features)
        self.out_features = positive("out_features", out_features)
        self.weight, self.bias = weight_and_bias(
            (out_features, in_features), (out_features,) if bias else None, device, dtype
        )
        if in_features is None:
            self.__class__ = LazyLinear
        else:
            self.reset_parameters()

    @staticmethod
    def advice(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        if len(args) == 1 and not kwargs:
            return f"to infer in_features use nn.LazyLinear({args[0]})"
        return ""

    def reset_parameters(self) -> None:
        """PyTorch's initial values: uniform, within 1 / sqrt(in_features)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        x = as_tensor(input)
        found = self.features_of(x)
        if found != self.in_features:
            raise ShapeError(
                f"Linear: got {found} features; the layer has in_features={self.in_features}; "
                f"use nn.Linear({found}, {self.out_features}) or nn.LazyLinear({self.out_features})"
            )
        return F.linear(x, self.weight, self.bias)

    def features_of(self, x: Tensor) -> int:
        """The number of features of an input."""
        if x.ndim == 0:
            raise ShapeError("Linear: got a scalar; need (..., in_features)")
        return int(x.shape[-1])

    def features_in(self, shape: Shape) -> int:
        """The number of features of a weight."""
        return shape[1]

    def settle(self, features: int) -> dict[str, Shape]:
        """Take over the input size; the shapes of the parameters."""
        self.in_features = features
        return {"weight": (self.out_features, features)} | (
            {} if self.bias is None else {"bias": (self.out_features,)}
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class LazyLinear(Lazy, Linear):
    """A Linear that learns `in_features` at the first call, and is an ordinary one from then on.

    Shapes: (..., any) to (..., out_features).
    Errors: ShapeError for a scalar, and for a loaded weight of other than `out_features` rows.

    Example:
        >>> import ambos as am
        >>> layer = LazyLinear(2)
        >>> layer(am.ones((5, 3))).shape, layer
        ((5, 2), Linear(in_features=3, out_features=2, bias=True))
    """

    becomes = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(None, out_features, bias, device, dtype)


class Bilinear(Module):
    """x1 @ weight[k] @ x2 for each k, + bias.

    Shapes: (..., in1_features) and (..., in2_features) to (..., out_features).
    Errors: ShapeError where an input does not fit.

    Example:
        >>> import ambos as am
        >>> Bilinear(3, 4, 2)(am.ones((5, 3)), am.ones((5, 4))).shape
        (5, 2)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in1_features = positive("in1_features", in1_features)
        self.in2_features = positive("in2_features", in2_features)
        self.out_features = positive("out_features", out_features)
        self.weight, self.bias = weight_and_bias(
            (out_features, in1_features, in2_features), (out_features,) if bias else None,
            device, dtype,
        )  # fmt: skip
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """PyTorch's initial values: uniform, within 1 / sqrt(in1_features)."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
