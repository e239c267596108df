"""Functions of the user's that run around a step, and can be taken away again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from ambos.tensor.tracing import makeup

Hook = Callable[..., Any]

_numbers = count()  # an id is used again, once its object is gone


class Removable:
    """A hook that can be taken away.

    Example:
        >>> hooks = {}
        >>> handle = Removable(hooks, print)
        >>> handle.remove()
        >>> hooks
        {}
    """

    def __init__(self, hooks: dict[int, Hook], hook: Hook) -> None:
        makeup.version += 1
        self.hooks, self.number = hooks, next(_numbers)
        hooks[self.number] = hook

    def remove(self) -> None:
        """Do not call the hook any more."""
        makeup.version += 1
        self.hooks.pop(self.number, None)
