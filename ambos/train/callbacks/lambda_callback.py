"""LambdaCallback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ambos.core.errors import ArgumentTypeError, UnknownNameError, suggest
from ambos.train.callbacks.base import HOOKS, Callback

Hook = Callable[..., Any] | None


class LambdaCallback(Callback):
    """Functions as hooks: `LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs["loss"]))`;
    the order is Keras's, and all other hooks are taken by name.

    Errors: UnknownNameError for what is no hook; ArgumentTypeError for what is no function.

    Example:
        >>> callback = LambdaCallback(on_epoch_begin=lambda epoch, logs: print("epoch", epoch))
        >>> callback.on_epoch_begin(3, {})
        epoch 3
    """

    def __init__(
        self,
        on_epoch_begin: Hook = None,
        on_epoch_end: Hook = None,
        on_train_begin: Hook = None,
        on_train_end: Hook = None,
        on_train_batch_begin: Hook = None,
        on_train_batch_end: Hook = None,
        **hooks: Hook,
    ) -> None:
        usual = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin, "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin, "on_train_batch_end": on_train_batch_end,
        }  # fmt: skip
        for name, function in (usual | hooks).items():
            if name not in HOOKS:
                raise UnknownNameError(
                    f"LambdaCallback: {name} is no hook; known: {', '.join(HOOKS)}"
                    f"{suggest(name, HOOKS)}"
                )
            if function is None:
                continue
            if not callable(function):
                raise ArgumentTypeError(
                    f"LambdaCallback: {name} is {type(function).__name__}; need a function"
                )
            setattr(self, name, function)
