"""Hooks: functions that are called around a module's forward, its gradient, and its state.

All hooks of a module are in one table, in the order of their calls; what holds for every module is
in `EVERYWHERE`, which comes first. Under `am.jit` a hook runs when the function is recorded, like
all its Python; in gradients and `vmap` it sees the tensors of the transform.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ambos.core.errors import ArgumentTypeError, ShapeError
from ambos.graph.lines import layer_path
from ambos.tensor.functions import Function
from ambos.tensor.handle import Tensor
from ambos.tensor.hooks import Removable, enroll

Call = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Hook:
    """A function, when it is called, and how."""

    kind: str
    call: Call
    with_kwargs: bool = False
    always: bool = False


Table = dict[int, Hook]
EVERYWHERE: Table = {}


def add(table: Table, hook: Hook, prepend: bool = False) -> Removable:
    """Put a hook at the end of its table, or at its front."""
    if not callable(hook.call):
        raise ArgumentTypeError(
            f"{hook.kind} hook: got {type(hook.call).__name__}; need a function"
        )
    return enroll(table, hook, prepend)


class Watchers(threading.local):
    """Who wants to see every module's result in this thread (`am.capture`)."""

    def __init__(self) -> None:
        self.calls: list[Callable[[Any, Any], None]] = []


watchers = Watchers()


def run(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`module.forward(*args, **kwargs)` with all that hooks make of it."""
    hooks = [*EVERYWHERE.values(), *module._hooks.values()]
    after = [hook for hook in hooks if hook.kind == "forward"]
    result = None
    try:
        for hook in hooks:
            if hook.kind == "forward_pre":
                args, kwargs = _prepared(hook, module, args, kwargs)
        gradient = Gradient.of(module, hooks)
        if gradient is not None:
            args = gradient.of_inputs(args)
        result = _forwarded(module, args, kwargs)
        while after:
            result = _changed(after.pop(0), module, args, kwargs, result)
        return result if gradient is None else gradient.of_results(result)
    except Exception as error:
        for hook in after:
            if hook.always:
                _told(hook, module, args, kwargs, result, error)
        raise


def _forwarded(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return module.forward(*args, **kwargs)
    except TypeError as error:
        problem = module._misfit(error, args, kwargs)
        if problem is error:
            raise
        raise problem from None


def _prepared(
    hook: Hook, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    found = hook.call(module, args, kwargs) if hook.with_kwargs else hook.call(module, args)
    if found is None:
        return args, kwargs
    if not hook.with_kwargs:
        return found if isinstance(found, tuple) else (found,), kwargs
    if not isinstance(found, tuple) or len(found) != 2:
        raise ArgumentTypeError(
            f"forward pre-hook of {type(module).__name__}: returned {type(found).__name__}; with "
            "with_kwargs=True need None or a pair: (args, kwargs)"
        )
    return found


def _changed(
    hook: Hook, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> Any:
    given = (args, kwargs, result) if hook.with_kwargs else (args, result)
    found = hook.call(module, *given)
    return result if found is None else found


def _told(
    hook: Hook, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any,
    error: Exception,
) -> None:  # fmt: skip
    """Call a hook that wants to be called although the forward failed."""
    try:
        _changed(hook, module, args, kwargs, result)
    except Exception as another:
        error.add_note(f"and a forward hook failed: {type(another).__name__}: {another}")


class Gradient:
    """What backward hooks see of one call of a module: the gradients of its results, and then those
    of its inputs. Both pass through identities that are recorded around the forward."""

    def __init__(self, module: Any, before: list[Hook], after: list[Hook]) -> None:
        self.module, self.before, self.after = module, before, after
        path = layer_path()
        self.name = f"{type(module).__name__} {path!r}" if path else type(module).__name__
        self.reaches_inputs = False
        self.arriving: tuple[Tensor | None, ...] = ()

    @classmethod
    def of(cls, module: Any, hooks: Sequence[Hook]) -> Gradient | None:
        """For the hooks among these that look at gradients."""
        before = [hook for hook in hooks if hook.kind == "backward_pre"]
        after = [hook for hook in hooks if hook.kind == "backward"]
        return cls(module, before, after) if before or after else None

    def of_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs, whose gradients the hooks are going to see."""
        if not self.after:
            return args
        self.reaches_inputs = any(isinstance(x, Tensor) and x.requires_grad for x in args)
        return _passed(self._leave, args) if self.reaches_inputs else args

    def of_results(self, result: Any) -> Any:
        """The results, whose gradients the hooks are going to see."""
        several = isinstance(result, tuple)
        found = _passed(self._enter, result if several else (result,))
        return found if several else found[0]

    def _enter(self, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        for hook in self.before:
            grads = self._replaced(hook, grads, grads)
        self.arriving = grads
        if self.after and not self.reaches_inputs:
            self._leave((None,))
        return grads

    def _leave(self, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        for hook in self.after:
            grads = self._replaced(hook, grads, grads, self.arriving)
        self.arriving = ()
        return grads

    def _replaced(
        self, hook: Hook, grads: tuple[Tensor | None, ...], *given: tuple[Tensor | None, ...]
    ) -> tuple[Tensor | None, ...]:
        try:
            found = hook.call(self.module, *given)
        except Exception as error:
            error.add_note(f"in a backward hook of {self.name}")
            raise
        if found is None:
            return grads
        new = found if isinstance(found, tuple) else (found,)
        if len(new) != len(grads):
            raise ArgumentTypeError(
                f"backward hook of {self.name}: returned {len(new)} gradients; "
                f"need None or {len(grads)}"
            )
        for number, (mine, grad) in enumerate(zip(new, grads, strict=True)):
            if isinstance(mine, Tensor) and grad is not None and mine.shape != grad.shape:
                raise ShapeError(
                    f"backward hook of {self.name}: returned "
                    f"{tuple(mine.shape)} for gradient {number}; need None or "
                    f"{tuple(grad.shape)}, that of the gradient it was given"
                )
        return new


class Passing(Function):
    """Tensors as they are; their gradients go through a function."""

    @staticmethod
    def forward(ctx: Any, change: Call, *tensors: Any) -> Any:
        """The tensors."""
        ctx.change = change
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        """What the function makes of their gradients."""
        return (None, *ctx.change(grads))


def _passed(change: Call, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """`values`, the gradients of the tensors among which go through `change` (with None in the
    places of the others)."""
    places = [n for n, value in enumerate(values) if isinstance(value, Tensor)]
    count = len(values)  # of the tensors themselves the rule must keep none

    def on_tensors(grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        every: list[Tensor | None] = [None] * count
        for place, grad in zip(places, grads, strict=True):
            every[place] = grad
        changed = change(tuple(every))
        return tuple(changed[place] for place in places)

    if not any(values[place].requires_grad for place in places):
        return values
    passed = Passing.apply(on_tensors, *(values[place] for place in places))
    found = [*values]
    for place, tensor in zip(places, passed, strict=True):
        found[place] = tensor
    return type(values)(*found) if hasattr(values, "_fields") else tuple(found)
