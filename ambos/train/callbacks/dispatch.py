"""Calling hooks: those that somebody has written, and no others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakSet

from ambos.core.errors import ArgumentError, UnknownNameError, suggest
from ambos.core.misuse import foreign
from ambos.train.callbacks.base import HOOKS, OLDER, Callback

Hook = Callable[..., None]
FROM_ZERO = "counted from 0"
COUNTED = ("epoch", "batch")  # hooks whose first argument is a number are named after it
approved: WeakSet[type] = WeakSet()  # classes whose hooks are right


class CallbackList:
    """Callbacks that are told together. `list(hook)` are the methods to call, empty where nobody
    listens, which a loop asks once an epoch.

    Errors: ArgumentError for what is no callback, for a hook with other arguments;
        UnknownNameError for a misspelt hook.
    """

    def __init__(self, callbacks: Any, op: str = "fit") -> None:
        self.callbacks = listed(callbacks, op)
        for callback in self.callbacks:
            check(callback)
        self.hooks: dict[str, list[Hook]] = {
            name: [getattr(c, name) for c in self.callbacks if listens(c, name)] for name in HOOKS
        }

    def bind(self, model: Any, params: MutableMapping[str, Any]) -> None:
        """Tell everybody what is trained and how."""
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)
            callback.told_with = self

    def tell(self, hook: str, *args: Any, epoch: int | None = None) -> None:
        """Call `hook` of all who have it. An error says in whose hook it happened, and when;
        `epoch` is that of a batch."""
        for call in self.hooks[hook]:
            try:
                call(*args)
            except Exception as error:
                foreign(error).add_note(_place(call, hook, args, epoch))
                raise

    def close(self) -> None:
        """Let everybody leave things in order; the first error comes out when all have."""
        with ExitStack() as stack:
            for callback in self.callbacks:
                stack.callback(callback.close)

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """The model with the weights that are evaluated."""
        with ExitStack() as stack:
            for callback in self.callbacks:
                stack.enter_context(callback.evaluated())
            yield

    def state_dict(self) -> list[dict[str, Any]]:
        """What each callback remembers, in their order."""
        return [
            {"class": type(callback).__name__, "state": callback.state_dict()}
            for callback in self.callbacks
        ]

    def load_state_dict(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Hand each callback what one of its class remembered; new ones begin anew."""
        waiting = list(states)
        for callback in self.callbacks:
            for saved in waiting:
                if saved["class"] == type(callback).__name__:
                    callback.load_state_dict(saved["state"])
                    waiting.remove(saved)
                    break


def listed(callbacks: Any, op: str) -> list[Callback]:
    """Callbacks as a list: one alone, None and lists are taken."""
    if callbacks is None:
        return []
    if isinstance(callbacks, CallbackList):
        return callbacks.callbacks
    found = [callbacks] if isinstance(callbacks, Callback) else callbacks
    if not isinstance(found, Iterable) or isinstance(found, str):
        found = [found]
    found = list(found)
    for callback in found:
        if isinstance(callback, type) and issubclass(callback, Callback):
            name = callback.__name__
            raise ArgumentError(f"{op}: a callback is the class {name}; need an object: {name}()")
        if not isinstance(callback, Callback):
            raise ArgumentError(
                f"{op}: a callback is {type(callback).__name__}; need objects of am.Callback"
            )
    return found


def listens(callback: Callback, hook: str) -> bool:
    """Does `callback` do anything at `hook`?"""
    own = getattr(callback, hook)
    if getattr(own, "__func__", own) is not getattr(Callback, hook):
        return True
    return hook in OLDER and listens(callback, OLDER[hook])


def check(callback: Callback) -> None:
    """Refuse hooks that nobody would ever call, and those that could not be called."""
    kind = type(callback)
    # Looking at all signatures takes longer than three training steps of a small network.
    if kind not in approved:
        _check(callback, dir(kind))
        approved.add(kind)
    _check(callback, vars(callback))


def _check(callback: Callback, names: Iterable[str]) -> None:
    name = type(callback).__name__
    for hook in names:
        if not hook.startswith("on_") or not callable(getattr(callback, hook)):
            continue
        if hook not in HOOKS:
            raise UnknownNameError(
                f"{name}: {hook} is no hook, so nothing would call it; known: {', '.join(HOOKS)}"
                f"{suggest(hook, HOOKS)}"
            )
        wanted = inspect.signature(getattr(Callback, hook)).parameters
        args = [parameter for parameter in wanted if parameter != "self"]
        try:
            inspect.signature(getattr(callback, hook)).bind(*args)
        except TypeError as error:
            raise ArgumentError(
                f"{name}.{hook}: {error}; need def {hook}(self, "
                f"{', '.join(arg + '=None' * (arg == 'logs') for arg in args)})"
            ) from None


def _place(call: Hook, hook: str, args: tuple[Any, ...], epoch: int | None) -> str:
    owner = type(getattr(call, "__self__", call)).__name__
    counted = next((word for word in COUNTED if f"_{word}_" in hook), None)
    when = [] if epoch is None else [f"epoch {epoch}"]
    when += [f"{counted} {args[0]}"] if counted else []
    text = f" ({', '.join(when)}, {FROM_ZERO})" if when else ""
    return f"in {owner}.{hook}{text}; the model keeps what it has learnt, model.history its numbers"
