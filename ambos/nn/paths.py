"""Which layer an error came from: found after the fact, so that a good call pays nothing. What is
only found when it is computed has to be noted, while somebody wants it (`graph.lines`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from ambos.core.errors import AmbosError
from ambos.graph.lines import within


class Tree(Protocol):
    """What is asked of a module."""

    def named_modules(self) -> Iterator[tuple[str, Any]]: ...


def blame(error: Exception, module: Tree) -> None:
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


class Inside(threading.local):
    """The paths of the modules below the outermost one that this thread is in."""

    paths: dict[int, str] | None = None


_inside = Inside()


@contextmanager
def located(module: Tree) -> Iterator[None]:
    """What is recorded meanwhile knows that `module` recorded it."""
    outermost = _inside.paths is None
    if outermost:
        _inside.paths = {id(found): path for path, found in module.named_modules()}
    assert _inside.paths is not None
    try:
        with within(_inside.paths.get(id(module), "")):
            yield
    finally:
        if outermost:
            _inside.paths = None
