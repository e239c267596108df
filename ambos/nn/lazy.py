"""Layers whose input size is learnt at the first call."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ambos.core.shape import Shape
from ambos.nn.parameter import Parameter, UninitializedParameter
from ambos.tensor.handle import Tensor
from ambos.tensor.live import evaluate


class Lazy:
    """Mixin in front of an ordinary layer; the first call turns the object into that layer.

    The layer itself provides `sizes_from(x)`, which checks the input and returns its number of
    features, and `settle(features)`, which stores it and returns each parameter's shape.
    """

    becomes: ClassVar[type]

    def forward(self, x: Tensor) -> Any:
        """Learn the sizes, become the ordinary layer, and go on as that."""
        layer: Any = self
        shapes = layer.settle(layer.features_of(x))
        for name, shape in shapes.items():
            parameter = layer._parameters[name]
            if isinstance(parameter, UninitializedParameter):
                parameter.materialize(Tensor(np.zeros(shape, np.float32)))
        layer.reset_parameters()
        evaluate(layer._parameters[name] for name in shapes)
        self.__class__ = self.becomes
        return layer.forward(x)

    def after_load(self) -> None:
        """A loaded state has the sizes: become the ordinary layer."""
        layer: Any = self
        if not isinstance(layer.weight, UninitializedParameter):
            layer.settle(layer.features_in(layer.weight.shape))
            self.__class__ = self.becomes


def weight_and_bias(weight: Shape | None, bias: Shape | None) -> tuple[Parameter, Parameter | None]:
    """Parameters of these shapes (zeros for now), or without sizes where `weight` is None."""
    if weight is None:
        return UninitializedParameter(), None if bias is None else UninitializedParameter()
    return _empty(weight), None if bias is None else _empty(bias)


def _empty(shape: Shape) -> Parameter:
    return Parameter(Tensor(np.zeros(shape, np.float32)))
