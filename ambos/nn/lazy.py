"""Layers whose input size is learnt at the first call."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ambos.core.shape import Shape
from ambos.nn.functional.shared import as_tensor
from ambos.nn.parameter import Parameter, UninitializedParameter
from ambos.tensor.handle import Tensor
from ambos.tensor.live import evaluate
from ambos.tensor.tracing import paused

Pattern = tuple[int | None, ...]  # a shape with None where an extent is open


class Lazy:
    """Mixin in front of an ordinary layer; the first call turns the object into that layer.

    The layer itself provides `sizes_from(x)`, which checks the input and returns its number of
    features, and `settle(features)`, which stores it and returns each parameter's shape.
    """

    becomes: ClassVar[type]

    def forward(self, x: Tensor) -> Any:
        """Learn the sizes, become the ordinary layer, and go on as that."""
        layer: Any = self
        x = as_tensor(x)
        with paused():  # done once, not at every call of a jitted function
            self._become(layer.features_of(x))
            layer.reset_parameters()
            evaluate(layer.parameters())
        return layer.forward(x)

    def after_load(self) -> None:
        """A loaded state has the sizes: become the ordinary layer."""
        layer: Any = self
        if not isinstance(layer.weight, UninitializedParameter):
            self._become(layer.features_in(layer.weight.shape))

    def _become(self, features: int) -> None:
        """The ordinary layer for so many features; parameters without numbers become zeros."""
        layer: Any = self
        for name, shape in layer.settle(features).items():
            parameter = layer._parameters[name]
            if isinstance(parameter, UninitializedParameter):
                parameter.materialize(Tensor(np.zeros(shape, np.float32)))
        self.__class__ = self.becomes


def weight_and_bias(weight: Pattern, bias: Shape | None) -> tuple[Parameter, Parameter | None]:
    """Parameters of these shapes (zeros for now), or without sizes where the weight's is open."""
    make = _open if None in weight else _empty
    return make(weight), None if bias is None else make(bias)


def _open(pattern: Pattern) -> Parameter:
    return UninitializedParameter(pattern=pattern)


def _empty(shape: Any) -> Parameter:
    return Parameter(Tensor(np.zeros(shape, np.float32)))
