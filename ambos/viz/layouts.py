"""Charts of several tags, for TensorBoard's custom scalars.

Source: tensorboard/plugins/custom_scalar/layout.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ambos.core.errors import ArgumentError, suggest
from ambos.viz.messages import metadata, strings, tensor
from ambos.viz.wire import blob, many, message, text

TAG = "custom_scalars__config__"
KINDS = ("Multiline", "Margin")

Layout = Mapping[str, Mapping[str, Sequence[Any]]]


def summary(layout: Layout) -> bytes:
    """{category: {chart: ["Multiline", [tag, ...]] or ["Margin", [value, lower, upper]]}}.

    Errors: ArgumentError.
    """
    if not isinstance(layout, Mapping):
        raise ArgumentError(f"add_custom_scalars: layout is {type(layout).__name__}; need "
                            "{category: {chart: [kind, tags]}}")  # fmt: skip
    categories = [
        message(text(1, category), many(2, (_chart(name, given) for name, given in charts.items())))
        for category, charts in layout.items()
    ]
    return tensor(TAG, strings(many(2, categories), scalar=True), metadata("custom_scalars"))


def _chart(name: str, given: Sequence[Any]) -> bytes:
    kind, tags = given if isinstance(given, (list, tuple)) and len(given) == 2 else (given, None)
    if kind not in KINDS or not isinstance(tags, (list, tuple)):
        near = suggest(str(kind), KINDS)
        raise ArgumentError(f"add_custom_scalars: chart {name!r} is {given!r}; need one of "
                            f"{', '.join(KINDS)} and a list of tags{near}")  # fmt: skip
    if kind == "Multiline":
        return message(text(1, name), blob(2, message(*(text(1, tag) for tag in tags))))
    if len(tags) != 3:
        raise ArgumentError(f"add_custom_scalars: chart {name!r} has {len(tags)} tags; need three: "
                            "a value, and what it is above and below of")  # fmt: skip
    series = message(*(text(field, tag) for field, tag in enumerate(tags, 1)))
    return message(text(1, name), blob(3, blob(1, series)))
