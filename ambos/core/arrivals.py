"""What to do once another package is imported, if it ever is; modules under second names.

A package that wants to know ambos (einops looks for subclasses of its backend class) is not
imported for that, and need not be installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def on_import(name: str, then: Callable[[], None]) -> None:
    """Call `then` as soon as module `name` is there: now, or right after its code has run."""
    if name in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _Finder(name, then))


class _Finder(MetaPathFinder):
    """Stands before all finders until `name` is asked for, and finds nothing else."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self.name, self.then = name, then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)  # whoever really finds it is asked next
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.then)
        return spec


def also_at(places: Mapping[str, str]) -> None:
    """Let modules be imported by further names as well: `{"ambos.fft": "ambos.tensor.fft"}`.

    Both names give the same module, which is imported when one of them is first used.
    """
    sys.meta_path.append(_Places(places))


class _Places(MetaPathFinder):
    """Stands behind all finders and knows where the names of a table lead."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = places

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = self.places.get(fullname)
        return None if place is None else ModuleSpec(fullname, _Known(place))


class _Known(Loader):
    """Hands out a module that its own name imports, as it is."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self.place)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has put that of the other name there


class _Loader(Loader):
    """Another loader, and something to do when it is done."""

    def __init__(self, loader: Loader, then: Callable[[], None]) -> None:
        self.loader, self.then = loader, then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        self.then()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)  # sources, data files
