"""What is called around steps and states of an optimizer: `register_..._hook`, as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ambos.core.errors import ArgumentError
from ambos.tensor.hooks import Removable, enroll

Call = Callable[..., Any]


class Hook(NamedTuple):
    """A function, and when it is called."""

    kind: str
    call: Call


class Hooked:
    """Base of optimizers. All hooks are in one table, in the order of their calls."""

    def __init__(self) -> None:
        self.hooks: dict[int, Hook] = {}

    def register_step_pre_hook(self, hook: Call) -> Removable:
        """Call `hook(optimizer, args, kwargs)` before every step; it may return other arguments,
        as (args, kwargs). The optimizer itself is `args[0]`, a closure `kwargs["closure"]`.

        Example:
            >>> import ambos as am
            >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)])
            >>> handle = rule.register_step_pre_hook(lambda rule, args, kwargs: print("before"))
            >>> rule.step(lambda: (rule.param_groups[0]["params"][0] * 2).sum().backward())
            before
            >>> handle.remove()
        """
        return enroll(self.hooks, Hook("step_pre", hook))

    def register_step_post_hook(self, hook: Call) -> Removable:
        """Call `hook(optimizer, args, kwargs)` after every step. In a jitted function it is called
        while that is recorded."""
        return enroll(self.hooks, Hook("step", hook))

    def register_state_dict_pre_hook(self, hook: Call, prepend: bool = False) -> Removable:
        """Call `hook(optimizer)` before a state is taken down."""
        return enroll(self.hooks, Hook("state_pre", hook), prepend)

    def register_state_dict_post_hook(self, hook: Call, prepend: bool = False) -> Removable:
        """Call `hook(optimizer, state_dict)` with a state that was taken down; it may change it, or
        return another.

        Example:
            >>> import ambos as am
            >>> rule = am.optim.SGD([am.ones(2, requires_grad=True)])
            >>> handle = rule.register_state_dict_post_hook(lambda _, state: {**state, "epoch": 3})
            >>> rule.state_dict()["epoch"]
            3
        """
        return enroll(self.hooks, Hook("state", hook), prepend)

    def register_load_state_dict_pre_hook(self, hook: Call, prepend: bool = False) -> Removable:
        """Call `hook(optimizer, state_dict)` with a shallow copy of a state before it is loaded; it
        may change it, or return another."""
        return enroll(self.hooks, Hook("load_pre", hook), prepend)

    def register_load_state_dict_post_hook(self, hook: Call, prepend: bool = False) -> Removable:
        """Call `hook(optimizer)` once a state was loaded."""
        return enroll(self.hooks, Hook("load", hook), prepend)

    def steps_are_watched(self) -> bool:
        """Are there hooks that are to be called at every step?"""
        return any(hook.kind in ("step_pre", "step") for hook in self.hooks.values())

    def _before_step(self, kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the hooks make of the arguments of a step."""
        args: tuple[Any, ...] = (self,)
        for hook in self._hooks_of("step_pre"):
            found = hook(self, args, kwargs)
            if found is None:
                continue
            if not (isinstance(found, tuple) and [*map(type, found)] == [tuple, dict]):
                raise ArgumentError(
                    f"{type(self).__name__}.step: a hook before it returned {found!r}; need "
                    "(args, kwargs) as it got them, a tuple and a dictionary, or None"
                )
            args, kwargs = found
        return args, kwargs

    def _hooks_of(self, kind: str) -> list[Call]:
        return [hook.call for hook in self.hooks.values() if hook.kind == kind]

    def _passed(self, kind: str, state: Any) -> Any:
        """What the hooks of one kind make of a state."""
        for call in self._hooks_of(kind):
            found = call(self, state)
            state = state if found is None else found
        return state
