"""Models that end in probabilities beside losses that take logits."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from ambos import nn
from ambos.core.errors import depth_of_user
from ambos.nn import functional as F
from ambos.nn.symbolic import origins
from ambos.train.functional import Graph

PROBABILITIES = (nn.Sigmoid, nn.Softmax, nn.Softmax2d)
OF_CLASSES, OF_LABELS = "cross_entropy", "binary_cross_entropy_with_logits"
OTHERWISE: dict[tuple[type, str], str] = {  # of a layer and a loss: what the two are together
    (nn.Sigmoid, OF_LABELS): ", or nn.BCELoss(), which takes them",
    (nn.Softmax, OF_CLASSES): ", or nn.LogSoftmax with nn.NLLLoss()",
}


def warn_of_probabilities(model: Any, losses: Any) -> None:
    """Say which output of `model` is made by a sigmoid or softmax that its loss applies again,
    where nothing else can come between the two."""
    for place, (name, layer) in enumerate(ends_of(model)):
        loss, kind = losses, type(layer)
        if isinstance(losses, Mapping):
            loss = losses.get(name)
        elif isinstance(losses, list):
            loss = losses[place] if place < len(losses) else None
        taken = takes_logits(loss)
        if taken is None or kind not in PROBABILITIES:
            continue
        what = f"output {name!r}" if name else "the model"
        warnings.warn(
            f"compile: {what} ends in nn.{kind.__name__}, and {taken} takes logits, to which it "
            f"applies its own, so the model would learn badly; need the model without that layer "
            f"(and F.{'sigmoid' if kind is nn.Sigmoid else 'softmax'} on what it predicts)"
            f"{OTHERWISE.get((kind, taken), '')}",
            stacklevel=depth_of_user(),
        )


def takes_logits(loss: Any) -> str | None:
    """The name of a loss that takes logits; None for any other one."""
    if loss is F.cross_entropy or type(loss) is nn.CrossEntropyLoss:
        return OF_CLASSES
    if loss is F.binary_cross_entropy_with_logits or type(loss) is nn.BCEWithLogitsLoss:
        return OF_LABELS
    return None


def ends_of(model: Any) -> Iterator[tuple[str, Any]]:
    """The names of outputs ("" of the only one) and the layers that make them, where these can be
    told."""
    graph = model.__dict__.get("graph")
    if graph is None:
        yield "", last_of(model)
        return
    for name, output in model.outputs_of(graph.made).items():
        call = origins.get(output._node)
        yield name, None if call is None else last_of(call.module)


def last_of(module: Any) -> Any:
    """The layer that a sequence, or a model around one, ends in; any other module itself."""
    inner = module.__dict__.get("network")
    if inner is not None and has_forward_of(module, "Model"):
        return last_of(inner)
    if isinstance(module.__dict__.get("graph"), Graph) and has_forward_of(module, "Model"):
        ends = list(ends_of(module))
        return ends[0][1] if len(ends) == 1 else None
    if isinstance(module, nn.Sequential) and has_forward_of(module, "Sequential"):
        return last_of(module[-1]) if len(module) else None
    return module


def has_forward_of(module: Any, name: str) -> bool:
    """Is its forward that of ambos's class of this name?"""
    owner = next(kind for kind in type(module).__mro__ if "forward" in vars(kind))
    return owner.__name__ == name and owner.__module__.startswith("ambos.")
