"""Lazy layers of a model: which have no sizes yet, and how they get them before a step."""

from __future__ import annotations

from typing import Any

from ambos.core import tree
from ambos.nn.parameter import UninitializedParameter
from ambos.tensor.creation import zeros_like


def unsized(model: Any) -> list[str]:
    """The parameters that have no size yet."""
    return [
        name
        for name, parameter in model.named_parameters()
        if isinstance(parameter, UninitializedParameter)
    ]


def settle(model: Any, inputs: Any) -> None:
    """Give lazy layers the sizes, and initial numbers, that they would get from `inputs`."""
    if unsized(model):
        model.predict_on_batch(tree.map(zeros_like, inputs))
