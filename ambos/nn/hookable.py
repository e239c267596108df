"""What a module offers to those who want to look in: `register_..._hook`, under PyTorch's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ambos.nn.hooks import EVERYWHERE, Call, Hook, Table, add
from ambos.tensor.hooks import Removable


class Hookable:
    """Base of modules."""

    _hooks: Table

    def register_forward_pre_hook(
        self, hook: Call, *, prepend: bool = False, with_kwargs: bool = False
    ) -> Removable:
        """Call `hook(module, args)` before every forward; what it returns, unless None, replaces
        the arguments. With `with_kwargs` it is `hook(module, args, kwargs)` and returns both."""
        return add(self._hooks, Hook("forward_pre", hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Call,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> Removable:
        """Call `hook(module, args, result)` after every forward; what it returns, unless None,
        replaces the result. `remove()` on what this returns ends it. With `with_kwargs` it is
        `hook(module, args, kwargs, result)`, with `always_call` it is called also where the forward
        raised an error (the result being None)."""
        return add(self._hooks, Hook("forward", hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Call, prepend: bool = False) -> Removable:
        """Call `hook(module, grad_output)` with the gradients of the module's results, a tuple;
        what it returns, unless None, replaces them."""
        return add(self._hooks, Hook("backward_pre", hook), prepend)

    def register_full_backward_hook(self, hook: Call, prepend: bool = False) -> Removable:
        """Call `hook(module, grad_input, grad_output)` with the gradients of the positional
        arguments and of the results, tuples with None where there is none; what it returns, unless
        None, replaces `grad_input`."""
        return add(self._hooks, Hook("backward", hook), prepend)

    def register_backward_hook(self, hook: Call) -> Removable:
        """`register_full_backward_hook`, as it was called before it saw all gradients."""
        return self.register_full_backward_hook(hook)

    def register_state_dict_pre_hook(self, hook: Call) -> Removable:
        """Call `hook(module, prefix, keep_vars)` before the module's state is collected."""
        return add(self._hooks, Hook("state_pre", hook))

    def register_state_dict_post_hook(self, hook: Call) -> Removable:
        """Call `hook(module, state_dict, prefix, local_metadata)` once the module's state is
        collected; it may change `state_dict`."""
        return add(self._hooks, Hook("state", hook))

    def register_load_state_dict_pre_hook(self, hook: Call) -> Removable:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)` before a state is loaded; it may change `state_dict`, a copy
        of the one that was given, and add to `error_msgs`."""
        return add(self._hooks, Hook("load_pre", hook))

    def register_load_state_dict_post_hook(self, hook: Call) -> Removable:
        """Call `hook(module, incompatible_keys)` once a state was loaded."""
        return add(self._hooks, Hook("load", hook))

    def _register_state_dict_hook(self, hook: Call) -> Removable:
        """As `register_state_dict_post_hook`; what the hook returns, unless None, replaces the
        state."""
        return add(self._hooks, Hook("state_replaced", hook))

    def _register_load_state_dict_pre_hook(
        self, hook: Call, with_module: bool = False
    ) -> Removable:
        """As `register_load_state_dict_pre_hook`, whose hook is not given the module, unless
        `with_module`."""
        call = hook if with_module else Unbound(hook)
        return add(self._hooks, Hook("load_pre", call))

    def called(self, kind: str, *args: Any) -> Any:
        """Call the hooks of one kind; what the last of them returned, unless that is None."""
        found = None
        for hook in [*self._hooks.values()]:
            if hook.kind == kind:
                result = hook.call(self, *args)
                found = found if result is None else result
        return found

    def has_hook(self, kind: str) -> bool:
        """Are there hooks of this kind?"""
        return any(hook.kind == kind for hook in self._hooks.values())


@dataclass(frozen=True)
class Unbound:
    """A hook that is not told whose it is; a class, so that modules can be pickled."""

    hook: Call

    def __call__(self, module: Any, *args: Any) -> Any:
        return self.hook(*args)


def register_module_forward_pre_hook(hook: Call) -> Removable:
    """Call `hook(module, args)` before the forward of every module.

    Example:
        >>> from ambos import nn
        >>> hook = nn.register_module_forward_pre_hook(lambda module, args: print(module))
        >>> found = nn.Identity()(1)
        Identity()
        >>> hook.remove()
    """
    return add(EVERYWHERE, Hook("forward_pre", hook))


def register_module_forward_hook(
    hook: Call, *, with_kwargs: bool = False, always_call: bool = False
) -> Removable:
    """Call `hook(module, args, result)` after the forward of every module.

    Example:
        >>> from ambos import nn
        >>> hook = nn.register_module_forward_hook(lambda module, args, result: result + 1)
        >>> nn.Identity()(1)
        2
        >>> hook.remove()
    """
    return add(EVERYWHERE, Hook("forward", hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Call) -> Removable:
    """Call `hook(module, grad_output)` with the gradients of every module's results.

    Example:
        >>> from ambos import nn
        >>> nn.register_module_full_backward_pre_hook(lambda module, grads: None).remove()
    """
    return add(EVERYWHERE, Hook("backward_pre", hook))


def register_module_full_backward_hook(hook: Call) -> Removable:
    """Call `hook(module, grad_input, grad_output)` with the gradients of every module.

    Example:
        >>> from ambos import nn
        >>> nn.register_module_full_backward_hook(lambda module, inputs, outputs: None).remove()
    """
    return add(EVERYWHERE, Hook("backward", hook))
