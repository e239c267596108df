"""What every model function shares: `weights`, from a file or from numbers that are there."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ambos.core.errors import ArgumentError
from ambos.core.misuse import misfit
from ambos.nn.module import Module
from ambos.tensor.files import load

Net = TypeVar("Net", bound=Module)
Weights = str | os.PathLike[str] | Mapping[str, Any] | None


def fitting(function: Callable[..., Net]) -> Callable[..., Net]:
    """Decorate a function that hands settings on: a call that does not fit its signature is told
    of it, one that does not fit what it calls is told by that."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Net:
        if (complaint := misfit(function.__name__, function, args, kwargs)) is not None:
            raise complaint
        return function(*args, **kwargs)

    return call


def builder(function: Callable[..., Net]) -> Callable[..., Net]:
    """Decorate a function that makes a model: it takes `weights=` too, and loads them.

    `weights` is None (new random numbers), the path of a file (see `am.load`), or a `state_dict`.
    `progress`, which says in torchvision whether a download shows a bar, is accepted and ignored.
    """

    make = fitting(function)

    @functools.wraps(function)
    def build(*args: Any, weights: Weights = None, progress: bool = True, **settings: Any) -> Net:
        model = make(*args, **settings)
        if weights is not None:
            model.load_state_dict(numbers(function.__name__, weights))
        return model

    return build


def numbers(name: str, weights: str | os.PathLike[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    """The `state_dict` that `weights` stands for.

    Errors: ArgumentError for what is neither a mapping nor the path of a file.
    """
    if isinstance(weights, Mapping):
        return weights
    if not os.path.isfile(weights):
        raise ArgumentError(
            f"{name}: weights is {weights!r}; need None, a state_dict or the path of a file that "
            "exists (nothing is downloaded)"
        )
    found: Mapping[str, Any] = load(weights)
    return found


def understand(model: Module, old: re.Pattern[str], new: str | Callable[..., str]) -> None:
    """Let `load_state_dict` take keys that fit `old`, the names of older checkpoints."""
    model.register_load_state_dict_pre_hook(functools.partial(_rename, old, new))


def _rename(
    old: re.Pattern[str],
    new: str | Callable[..., str],
    module: Module,
    state: dict[str, Any],
    prefix: str,
    *others: Any,
) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        renamed = old.sub(new, key)
        if renamed != key:
            state[renamed] = state.pop(key)
