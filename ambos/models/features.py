"""A network cut off after the last layer that is asked for, which gives what its layers give."""

from __future__ import annotations

from collections.abc import Mapping

from ambos import nn
from ambos.core.errors import ArgumentError, suggest
from ambos.tensor.handle import Tensor


class IntermediateLayerGetter(nn.Module):
    """The children of `model`, in order, up to the last of `return_layers`: under what name the
    result of each layer is returned. For networks whose forward is their children in turn.

    Errors: ArgumentError for a layer that `model` lacks.
    """

    def __init__(self, model: nn.Module, return_layers: Mapping[str, str]) -> None:
        super().__init__()
        children = dict(model.named_children())
        for name in return_layers:
            if name not in children:
                raise ArgumentError(
                    f"IntermediateLayerGetter: no layer {name!r} in {type(model).__name__}; need "
                    f"one of {', '.join(children)}{suggest(name, children)}"
                )
        self.return_layers = dict(return_layers)
        wanted = set(return_layers)
        for name, child in children.items():
            self.add_module(name, child)
            wanted.discard(name)
            if not wanted:
                break

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = {}
        for name, layer in self.named_children():
            x = layer(x)
            if name in self.return_layers:
                found[self.return_layers[name]] = x
        return found
