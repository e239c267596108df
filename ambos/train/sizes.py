"""Lazy layers of a model: which have no sizes yet, and how they get them before a step."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

from ambos.core import tree
from ambos.core.errors import ArgumentError
from ambos.nn.parameter import Unsized
from ambos.tensor.creation import zeros_like


def unsized(model: Any) -> list[str]:
    """The parameters and buffers that have no size yet."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    return [name for name, tensor in tensors if isinstance(tensor, Unsized)]


def settle(op: str, model: Any, inputs: Any) -> None:
    """Give lazy layers the sizes, and initial numbers, that they would get from `inputs`.

    Errors: ArgumentError for layers that the model does not call when it predicts.
    """
    if unsized(model):
        model.predict_on_batch(tree.map(zeros_like, inputs))
    if lazy := unsized(model):
        raise ArgumentError(f"{op}: {', '.join(lazy)} have no sizes yet, also after a prediction; "
                            "need sizes, or a step of training first")  # fmt: skip


def draw_again(model: Any, names: Collection[str]) -> None:
    """New initial numbers for the layers of these tensors, as far as they have their sizes."""
    places = {name.rpartition(".")[0] for name in set(names).difference(unsized(model))}
    for place in sorted(places):
        layer = model.get_submodule(place)
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
        else:
            name = type(layer).__name__
            warnings.warn(
                f"{place} ({name}) keeps the numbers that it has learnt; need a "
                f"{name}.reset_parameters() that draws new ones",
                stacklevel=2,
            )
