"""The table of a model's layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ambos import nn
from ambos.core.shape import size_of
from ambos.nn.parameter import UninitializedParameter
from ambos.tensor.handle import Tensor
from ambos.tensor.modes import no_grad
from ambos.train.loop import call

Row = tuple[str, str, str]


def summarize(model: Any, example: Any = None) -> str:
    """A table with a line for each layer: name and type, output shape, parameters.

    `example` is the shape of one example, or a batch. Shapes come from recording the model on
    zeros: nothing is computed.
    """
    shapes = {} if example is None else output_shapes(model, example)
    rows: list[Row] = []
    for path, module in model.named_modules():
        own = [p for p in module._parameters.values() if p is not None]
        if any(module.children()) and not own:
            continue
        if module is model and not own:
            continue
        name = f"{path} ({type(module).__name__})" if path else type(module).__name__
        rows.append((name, shapes.get(id(module), "-"), _count(own)))
    total, trained, sized = 0, 0, True
    for parameter in model.parameters():
        if isinstance(parameter, UninitializedParameter):
            sized = False
            continue
        total += size_of(parameter.shape)
        trained += size_of(parameter.shape) * parameter.requires_grad
    title = type(model.__dict__.get("network") or model).__name__
    lines = [title, *_table(rows)]
    lines.append(f"parameters {total:,} ({trained:,} trained)" + ("" if sized else
                 ", and some without sizes until the first call"))  # fmt: skip
    return "\n".join(lines)


def _count(parameters: list[Any]) -> str:
    if any(isinstance(p, UninitializedParameter) for p in parameters):
        return "?"
    return f"{sum(size_of(p.shape) for p in parameters):,}"


def output_shapes(model: Any, example: Any) -> dict[int, str]:
    """The output shape of each module, by identity, for a batch like `example`."""
    found: dict[int, str] = {}

    def note(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            sizes = ["N", *map(str, output.shape[1:])]
            found[id(module)] = f"({', '.join(sizes)})"

    training = model.training
    hooks = [module.register_forward_hook(note) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            call(model, _batch(model, example))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return found


def _batch(model: Any, example: Any) -> Any:
    if isinstance(example, (tuple, list)) and all(isinstance(n, int) for n in example):
        return Tensor(np.zeros((2, *example), np.float32)).to(model.float_dtype)
    return example if isinstance(example, (Tensor, tuple)) else Tensor(np.asarray(example))


def _table(rows: list[Row]) -> list[str]:
    header: Row = ("layer", "output shape", "parameters")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(3)]
    rule = "─" * (sum(widths) + 4)

    def line(row: Row) -> str:
        return f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}"

    return [rule, line(header), rule, *map(line, rows), rule]
