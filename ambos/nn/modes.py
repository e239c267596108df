"""Modes: whether a module trains. Also Keras's words, `module(x, training=False)`.

The mode of a module belongs to it, as everything else that all threads share. A call in a mode of
its own does not touch it: `in_mode` says for the thread, and for as long as it lasts, in which
modes the modules are there.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from ambos.tensor.guards import Same
from ambos.tensor.tracing import current, guard_mode, makeup


@lru_cache(maxsize=1024)
def takes_training(cls: type) -> bool:
    """Has the `forward` of this class an argument `training` of its own?"""
    forward: Any = cls.forward  # type: ignore[attr-defined]  # every module has one
    return "training" in inspect.signature(forward).parameters


class Asked(frozenset[tuple[Same, bool]]):
    """Modes of modules, as a recording of a call in these modes knows them."""

    def __repr__(self) -> str:
        modes = {mode for _, mode in self}
        return "mixed" if len(modes) > 1 else "training" if True in modes else "evaluation"


class Modes(dict[Any, bool]):
    """The modes of modules in a call; while it `is_open`, modules that are given one join."""

    is_open = False

    @property
    def key(self) -> Hashable:
        """Equal for the same modes of the same modules; it keeps none alive."""
        return Asked((Same(module), mode) for module, mode in self.items())


class Own:
    """Called, it says in which mode a module is where no call says otherwise."""

    __slots__ = ("_module", "of")

    def __init__(self, module: Any) -> None:
        self.of = type(module).__name__
        self._module = weakref.ref(module)

    def __call__(self) -> dict[str, Any] | None:
        module = self._module()
        return None if module is None else {"training": vars(module)["training"]}


def mode_of(module: Any) -> bool:
    """The mode of a module here and now; a recording that depends on it holds while it stays."""
    modes: Modes | None = current.modes
    if modes is not None and module in modes:
        return modes[module]
    if current.trace is not None:
        module._guard_recording()
        guard_mode(module, Own(module))
    own: bool = module.__dict__["training"]
    return own


def put_mode(module: Any, mode: bool) -> None:
    """Set it: for the call, where one is under way that says in which mode the module is."""
    modes = current.modes
    if modes is not None and (modes.is_open or module in modes):
        modes[module] = mode
    elif module.__dict__["training"] is not mode:  # it is often said again, before each step
        makeup.version += 1
        module.__dict__["training"] = mode


def modes_of(module: Any, training: bool) -> Modes:
    """The modes into which `module.train(training)` would put all that it reaches; nothing is
    changed, but by a `train` of a class that changes more than modes."""
    outer, modes = current.modes, Modes()
    if outer is not None:
        modes.update(outer)
    modes.is_open, current.modes = True, modes
    try:
        module.train(training)
    finally:
        modes.is_open, current.modes = False, outer
    return modes


@contextmanager
def using(modes: Modes) -> Iterator[None]:
    """In this thread modules are in these modes meanwhile. What is said of them then (`eval()`, in
    a forward) holds as long."""
    outer, current.modes = current.modes, Modes(modes)
    try:
        yield
    finally:
        current.modes = outer


def in_mode(module: Any, training: bool) -> Any:
    """The module and all below it in training mode, or in eval mode, for the time being and for
    this thread."""
    return using(modes_of(module, training))
