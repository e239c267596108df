"""Whether operations record gradients: `no_grad`, `enable_grad`, `set_grad_enabled`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from ambos.core.arguments import checked
from ambos.graph.node import tracking

F = TypeVar("F", bound=Callable[..., Any])


@checked
def is_grad_enabled() -> bool:
    """Do operations in this thread record gradients?"""
    return tracking.enabled


class set_grad_enabled:
    """Record gradients or not, from now on or within a `with` block.

    Example:
        >>> import ambos as am
        >>> with am.set_grad_enabled(False):
        ...     am.is_grad_enabled()
        False
    """

    def __init__(self, mode: bool) -> None:
        self.before = [tracking.enabled]
        tracking.enabled = bool(mode)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tracking.enabled = self.before.pop()


class _Mode:
    """A context manager and a decorator, with or without parentheses; may be entered again."""

    enabled: bool

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        mode = super().__new__(cls)
        return mode if function is None else mode(function)

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(tracking.enabled)
        tracking.enabled = self.enabled

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tracking.enabled = self.before.pop()

    def __call__(self, function: F) -> F:
        mode = type(self)

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with mode():
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


class no_grad(_Mode):
    """Results need no gradient, even when operands do. A context manager and a decorator.

    Example:
        >>> import ambos as am
        >>> w = am.ones(3, requires_grad=True)
        >>> with am.no_grad():
        ...     (w * 2).requires_grad
        False
    """

    enabled = False


class inference_mode(_Mode):
    """The same as `no_grad`: tensors have no version counters that could be saved."""

    enabled = False


class enable_grad(_Mode):
    """Record gradients again, inside `no_grad`. A context manager and a decorator."""

    enabled = True
