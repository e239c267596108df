"""`am.viz.summary`: the table of a model's layers, for any module."""

from __future__ import annotations

from typing import Any

from ambos.core.arguments import checked
from ambos.nn.module import Module
from ambos.train.summary import Summary, summarize


@checked
def summary(model: Module, input: Any = None, depth: int | None = None) -> Summary:
    """What is in a module, as a table to print and as numbers: `flops`, `parameters`, `frozen`,
    `parameter_bytes`, `activation_bytes`, and `layers` with those of each.

    `input` is the shape of one example, or a batch, or a list of either for several inputs. Below
    `depth` levels modules are one line each. FLOPs are those of contractions for one example, a
    product and its addition counted as two. Nothing is computed.

    Errors: ArgumentError for no module; those of the layers for such an input.

    Example:
        >>> import ambos as am
        >>> summary(am.nn.Sequential(am.nn.Linear(2, 3), am.nn.ReLU()), (2,))
        Sequential
        ───────────────────────────────────────────
        layer       output shape  parameters  FLOPs
        ───────────────────────────────────────────
        0 (Linear)  (N, 3)                 9     12
        1 (ReLU)    (N, 3)
        ───────────────────────────────────────────
        parameters 9 (9 trained), 36 B
        an example 12 FLOPs, activations 24 B
    """
    return summarize(model, input, depth)
