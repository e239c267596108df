"""`am.capture`: what modules inside a model return, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from ambos.core.arguments import Checked
from ambos.core.errors import ArgumentError, suggest
from ambos.nn.hooks import watchers
from ambos.nn.module import Module


class capture(metaclass=Checked):
    """A model that also returns what modules inside it return: `capture(model, *patterns)(x)` is a
    pair of `model(x)` and a dict of results by name.

    Patterns are names as `named_modules` gives them, with `*` and `?`; without any every module
    inside is captured. A module that is called several times has an entry for each call, "name",
    "name:1" and so on. Since results are returned, not kept aside, it works inside `am.jit`,
    `am.grad` and `am.vmap` as anywhere.

    Errors: ArgumentError for a pattern that no module has.

    Example:
        >>> import ambos as am
        >>> net = am.nn.Sequential(am.nn.Linear(2, 3), am.nn.ReLU(), am.nn.Linear(3, 1))
        >>> result, inside = am.capture(net, "0", "1")(am.ones(5, 2))
        >>> {name: value.shape for name, value in inside.items()}
        {'0': (5, 3), '1': (5, 3)}
    """

    def __init__(self, model: Module, *patterns: str) -> None:
        if not isinstance(model, Module):
            raise ArgumentError(f"capture: got {type(model).__name__}; need an nn.Module")
        self.model, self.patterns = model, patterns or ("?*",)
        self._names()

    def _names(self) -> dict[int, str]:
        """The names of the modules to look at, by id."""
        known = dict(self.model.named_modules())
        for pattern in self.patterns:
            if not any(fnmatchcase(name, str(pattern)) for name in known):
                raise ArgumentError(
                    f"capture: no module of {type(self.model).__name__} is called {pattern!r}; "
                    f"need names as named_modules gives them{suggest(str(pattern), known)}"
                )
        return {
            id(module): name
            for name, module in known.items()
            if any(fnmatchcase(name, str(pattern)) for pattern in self.patterns)
        }

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        names = self._names()
        found: dict[str, Any] = {}

        def note(module: Any, result: Any) -> None:
            name = names.get(id(module))
            if name is not None:
                calls = sum(key.partition(":")[0] == name for key in found)
                found[f"{name}:{calls}" if calls else name] = result

        with _watched_by(note):
            result = self.model(*args, **kwargs)
        return result, found


@contextmanager
def _watched_by(note: Any) -> Iterator[None]:
    watchers.calls.append(note)
    try:
        yield
    finally:
        watchers.calls.remove(note)
