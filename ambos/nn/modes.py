"""Modes: whether a module trains. Also Keras's words, `module(x, training=False)`.

The mode of a module belongs to it, as everything else that all threads share. A call in a mode of
its own does not touch it: `in_mode` says for the thread, and for as long as it lasts, in which
modes the modules are there. A class whose `train` does more (it merges adapters) is switched
really, and switched back when the call is over.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any

from ambos.tensor.live import evaluate
from ambos.tensor.tracing import current, guard_mode, makeup

Train = Callable[..., Any]


@lru_cache(maxsize=1024)
def takes_training(cls: type) -> bool:
    """Has the `forward` of this class an argument `training` of its own?"""
    forward: Any = cls.forward  # type: ignore[attr-defined]  # every module has one
    return "training" in inspect.signature(forward).parameters


def says_modes_alone(train: Train) -> Train:
    """Marks a `train` that does nothing but `put_mode`."""
    train.says_modes_alone = True  # type: ignore[attr-defined]  # functions have attributes
    return train


class Modes:
    """The modes that a call says of modules, over those of the calls `outer` to it. While it
    `is_open`, modules that are given a mode join."""

    __slots__ = ("asked", "is_open", "outer", "recorded", "said", "switched", "token")

    def __init__(self, outer: Modes | None) -> None:
        self.outer, self.is_open = outer, False
        self.said: dict[Any, bool] = {}
        # The same for the same modes.
        self.token: object = object() if outer is None else outer.token
        self.recorded = _recorded()  # what is said inside of a recorded function is part of it
        self.asked: tuple[Any, bool] | None = None  # of which module's `train`
        self.switched: list[Any] = []  # modules whose `train` may do more

    def say(self, module: Any, mode: bool) -> None:
        """From now on the module is in this mode."""
        self.said[module], self.token = mode, object()


class Found:
    """Called, it says in which mode a module is here and now."""

    __slots__ = ("_module", "of")

    def __init__(self, module: Any) -> None:
        self.of = type(module).__name__
        self._module = weakref.ref(module)

    def __call__(self) -> dict[str, Any] | None:
        module = self._module()
        return None if module is None else {"training": _found(module)[0]}


def _recorded() -> Any:
    """What the function that is being recorded rests on, if there is one."""
    return None if current.trace is None else current.trace.guards


def _found(module: Any) -> tuple[bool, Modes | None]:
    """The mode of a module, and who says so; None for itself."""
    modes: Modes | None = current.modes
    while modes is not None:
        mode = modes.said.get(module)
        if mode is not None:
            return mode, modes
        modes = modes.outer
    return module.__dict__["training"], None


def mode_of(module: Any) -> bool:
    """The mode of a module here and now; a recording that depends on it holds while it stays."""
    if current.modes is None and current.trace is None:  # nearly always
        own: bool = module.__dict__["training"]
        return own
    mode, modes = _found(module)
    if current.trace is not None and (modes is None or modes.recorded is not _recorded()):
        module._guard_recording()
        guard_mode(module, Found(module))
    return mode


def put_mode(module: Any, mode: bool) -> None:
    """Set it: for the call, where one is under way that says in which mode the module is."""
    modes: Modes | None = current.modes
    if modes is not None and (modes.is_open or _found(module)[1] is not None):
        if modes.recorded is not _recorded():
            modes = current.modes = Modes(modes)
        modes.say(module, mode)
    elif module.__dict__["training"] is not mode:  # it is often said again, before each step
        makeup.version += 1
        module.__dict__["training"] = mode


def _asked(module: Any, training: bool) -> Modes:
    """The modes into which `module.train(training)` puts all that it reaches; classes with a
    `train` of their own are `switched` by it."""
    outer, modes = current.modes, Modes(current.modes)
    modes.asked, modes.is_open, current.modes = (module, training), True, modes
    try:
        module.train(training)
    finally:
        modes.is_open, current.modes = False, outer
    modes.switched = [each for each in modes.said if _may_do_more(each.__class__)]
    return modes


@lru_cache(maxsize=1024)
def _may_do_more(cls: type) -> bool:
    train: Any = cls.train  # type: ignore[attr-defined]  # every module has one
    return not hasattr(train, "says_modes_alone")


def _switch_back(modes: Modes) -> None:
    """What `train` did beside saying modes is undone by `train` in the mode of outside."""
    for module in modes.switched:
        mode = mode_of(module)
        if mode is not modes.said[module]:
            _asked(module, mode)
            if current.trace is None:  # other threads find values
                evaluate([*module.parameters(), *module.buffers()])


@contextmanager
def _within(modes: Modes) -> Iterator[None]:
    outer, current.modes = current.modes, Modes(modes)
    try:
        yield
    finally:
        current.modes = outer
        _switch_back(modes)


def modes_of(module: Any, training: bool) -> Modes:
    """The modes into which `module.train(training)` would put all that it reaches; everything is
    left as it is."""
    modes = _asked(module, training)
    _switch_back(modes)
    return modes


def using(modes: Modes) -> AbstractContextManager[None]:
    """In this thread modules are in these modes meanwhile. What is said of them then (`eval()`, in
    a forward) holds as long."""
    if modes.switched and modes.asked is not None:
        modes = _asked(*modes.asked)
    return _within(modes)


def in_mode(module: Any, training: bool) -> AbstractContextManager[None]:
    """The module and all below it in training mode, or in eval mode, for the time being and for
    this thread."""
    return _within(_asked(module, training))
