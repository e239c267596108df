"""Keras's words for modes: `module(x, training=False)`, and what is trained."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from ambos.tensor.tracing import current


@lru_cache(maxsize=1024)
def takes_training(cls: type) -> bool:
    """Has the `forward` of this class an argument `training` of its own?"""
    forward: Any = cls.forward  # type: ignore[attr-defined]  # every module has one
    return "training" in inspect.signature(forward).parameters


@contextmanager
def in_mode(module: Any, training: bool) -> Iterator[None]:
    """The module and all below it in training mode, or in eval mode, for the time being."""
    own, before = module.training, [(inner, inner.training) for inner in module.modules()]
    if current.trace is not None:
        for inner, _ in before:  # what a recording rests on is the mode outside of this
            inner._guard_recording()
    module.train(training)
    try:
        yield
    finally:
        module.train(own)
        for inner, mode in before:
            if inner.training is not mode:
                inner.training = mode
