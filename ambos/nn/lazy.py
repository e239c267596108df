"""Layers whose input size is learnt at the first call."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import numpy as np

from ambos.core.dtype import as_dtype
from ambos.core.shape import Shape
from ambos.nn.functional.shared import as_tensor
from ambos.nn.parameter import Parameter, UninitializedParameter, Unsized, unset
from ambos.tensor.handle import Tensor
from ambos.tensor.live import evaluate
from ambos.tensor.names import check_device
from ambos.tensor.tracing import paused

_settling = threading.RLock()  # first calls of one layer may come from several threads

Pattern = tuple[int | None, ...]  # a shape with None where an extent is open


class Lazy:
    """Mixin in front of an ordinary layer; the first call turns the object into that layer.

    The layer itself provides `features_of(x)`, which checks the input and returns its number of
    features, and `settle(features)`, which stores it and returns each parameter's shape.
    """

    becomes: ClassVar[type]
    told_by: ClassVar[tuple[str, ...]] = ("weight",)  # tensors whose shape tells the features

    def forward(self, input: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Learn the sizes, become the ordinary layer, and go on as that."""
        layer: Any = self
        input = as_tensor(input)
        with _settling, paused():  # done once, not at every call of a jitted function
            if isinstance(self, Lazy):  # no other thread was faster
                self._size(layer.features_of(input))
                layer.reset_parameters()
                evaluate([*layer.parameters(), *layer.buffers()])
                self.__class__ = self.becomes  # whose forward needs all of this
        return layer.forward(input, *args, **kwargs)

    def after_load(self) -> None:
        """A loaded state has the sizes: become the ordinary layer."""
        layer: Any = self
        for tensor in (getattr(layer, name) for name in self.told_by):
            if tensor is not None and not isinstance(tensor, Unsized):
                self._size(layer.features_in(tensor.shape))
                self.__class__ = self.becomes
                return

    def _size(self, features: int) -> None:
        """Be for so many features; tensors without numbers become zeros."""
        layer: Any = self
        for name, shape in layer.settle(features).items():
            tensor = getattr(layer, name)
            if isinstance(tensor, Unsized):
                tensor.materialize(Tensor(np.zeros(shape, np.float32)))


def weight_and_bias(
    weight: Pattern, bias: Shape | None, device: Any = None, dtype: Any = None
) -> tuple[Parameter, Parameter | None]:
    """Parameters of these shapes (zeros for now), or without sizes where the weight's is open."""
    if None not in weight:
        shape: Any = weight
        return unset(shape, device, dtype), None if bias is None else unset(bias, device, dtype)
    return (
        open_parameter(weight, device, dtype),
        None if bias is None else open_parameter(bias, device, dtype),
    )


def open_parameter(pattern: Pattern, device: Any, dtype: Any) -> Parameter:
    """A parameter of which only the pattern of its shape is known."""
    check_device("nn", device)
    return UninitializedParameter(as_dtype(dtype or "float32"), pattern)
