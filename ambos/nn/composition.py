"""What of a module a recorded call depends on, its tensors' values apart."""

from __future__ import annotations

import weakref
from typing import Any, Protocol

from ambos.nn.hooks import EVERYWHERE
from ambos.tensor.guards import Same, exactly

TABLES = ("_parameters", "_buffers", "_modules")
APART = (*TABLES, "_hooks", "_transient", "_made_with", "_is_value", "training")


class Module(Protocol):
    """What is asked of a module here."""

    _hooks: Any


class Composition:
    """Called, it says what the module consists of now: its class, hooks, and attributes by name.
    Parts are told by identity, numbers and text by their bits. Modes are apart (`modes.py`). It
    keeps no module alive."""

    __slots__ = ("_module", "of")

    def __init__(self, module: Module) -> None:
        self.of = type(module).__name__
        self._module = weakref.ref(module)

    def __call__(self) -> dict[str, Any] | None:
        module = self._module()
        if module is None:
            return None
        fields = vars(module)
        hooks = (*EVERYWHERE, *module._hooks)
        found: dict[str, Any] = {"class": type(module), "hooks": hooks}
        for table in TABLES:
            for name, part in fields[table].items():
                found[name] = Same(part)
        for name, value in fields.items():
            if name not in APART:
                found[name] = exactly(value)
        return found
