"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from ambos.core.errors import ArgumentError, IndexingError
from ambos.nn.module import Module


class Sequential(Module):
    """Layers one after the other: given as arguments, as one list, or as a dictionary of names.

    Errors: ArgumentError for what is no module; IndexingError for an index out of range.

    Example:
        >>> from ambos import nn
        >>> nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        Sequential(
          (0): Linear(in_features=4, out_features=8, bias=True)
          (1): ReLU()
        )
    """

    def __init__(self, *layers: Any) -> None:
        super().__init__()
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            named: Iterable[tuple[str, Any]] = layers[0].items()
        else:
            one = len(layers) == 1 and isinstance(layers[0], (list, tuple))
            named = ((str(i), layer) for i, layer in enumerate(layers[0] if one else layers))
        for name, layer in named:
            self.add_module(name, _module(type(self).__name__, name, layer))

    def forward(self, x: Any) -> Any:
        for layer in self._modules.values():
            assert layer is not None
            x = layer(x)
        return x

    def append(self, layer: Module) -> Sequential:
        """Add a layer at the end; returns self."""
        name = str(len(self._modules))
        self.add_module(name, _module(type(self).__name__, name, layer))
        return self

    add = append  # Keras's word

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return (layer for layer in self._modules.values() if layer is not None)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module | Sequential:
        items = list(self._modules.items())
        if isinstance(index, slice):
            return Sequential(dict(items[index]))
        if not -len(items) <= index < len(items):
            raise IndexingError(f"Sequential: index {index} of {len(items)} layers; "
                                f"need {-len(items)} <= index < {len(items)}")  # fmt: skip
        found = items[index][1]
        assert found is not None
        return found


class ModuleList(Module):
    """A list whose modules are found by `parameters()`; the forward is yours.

    Errors: ArgumentError for what is no module; IndexingError for an index out of range.

    Example:
        >>> from ambos import nn
        >>> layers = ModuleList([nn.Linear(2, 2), nn.ReLU()])
        >>> len(layers), layers[1]
        (2, ReLU())
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end; returns self."""
        name = str(len(self._modules))
        self.add_module(name, _module("ModuleList", name, module))
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return (module for module in self._modules.values() if module is not None)

    def __getitem__(self, index: int) -> Module:
        found = list(self._modules.values())
        if not -len(found) <= index < len(found):
            raise IndexingError(f"ModuleList: index {index} of {len(found)} modules; "
                                f"need {-len(found)} <= index < {len(found)}")  # fmt: skip
        module = found[index]
        assert module is not None
        return module


def _module(owner: str, name: str, given: Any) -> Module:
    if isinstance(given, Module):
        return given
    if isinstance(given, type) and issubclass(given, Module):
        hint = f"{given.__name__} is a class; need an object: {given.__name__}(...)"
    elif callable(given):
        hint = f"{getattr(given, '__name__', given)} is a function; need a module, e.g. nn.ReLU()"
    else:
        hint = f"got {type(given).__name__}; need a module"
    raise ArgumentError(f"{owner}: layer {name!r}: {hint}")
