"""`jit` for functions of a model that are used behind the user's back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, ref

from ambos.tensor.jit import jit


def jitted(function: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
    """`function(model, *args)`, jitted for each model by itself. A jitted function keeps what it
    was called with, modules and their parameters; this one lets go of a model with its last user.

    `settings` are those of `jit`, whose argument number 0 is the one behind the model.
    """
    known: WeakKeyDictionary[Any, Callable[..., Any]] = WeakKeyDictionary()

    def call(model: Any, *args: Any) -> Any:
        run = known.get(model)
        if run is None:
            run = known[model] = jit(_of(ref(model), function), **settings)
        return run(*args)

    return call


def _of(model: ref[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        return function(model(), *args)

    run.__name__, run.__qualname__ = function.__name__, function.__qualname__
    return run
