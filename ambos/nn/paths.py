"""Which layer an error came from: found after the fact, so that a good call pays nothing. What is
only found when it is computed knows its layer from `graph.lines`."""

from __future__ import annotations

from ambos.core.errors import AmbosError
from ambos.graph.lines import Layer


def blame(error: Exception, module: Layer) -> None:
    """Name the layer in `error`, which passes through `module` on its way out.

    Every module on the way calls this; the innermost marks the error, and each outer one extends
    the path: "linear", then "3.linear", then "encoder.3.linear".
    """
    source = getattr(error, "layer", None)
    if source is None:
        error.layer = module  # type: ignore[attr-defined]
        error.plain = str(error)  # type: ignore[attr-defined]
        return
    path = next((path for path, found in module.named_modules() if found is source), "")
    if not path:
        return
    kind = type(source).__name__
    if not isinstance(error, AmbosError):
        note = f"in layer {path!r} ({kind})"
        notes = [n for n in getattr(error, "__notes__", []) if not n.startswith("in layer ")]
        error.__notes__ = [*notes, note]
        return
    message: str = error.plain  # type: ignore[attr-defined]
    if message.startswith(f"{kind}:"):
        message = f"{kind} {path!r}:{message.removeprefix(f'{kind}:')}"
    else:
        text, bracket, line = message.rpartition(" [")
        message = f"{text or message} (in layer {path!r}, {kind}){bracket}{line if text else ''}"
    error.args = (message, *error.args[1:])
