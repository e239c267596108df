"""Modules made of modules: one after the other, in a list, under names."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from ambos.core.errors import ArgumentError, IndexingError, UnknownNameError, suggest
from ambos.nn.module import Module


class _Row(Module):
    """Modules in order: what Sequential and ModuleList share. Changes renumber."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns self."""
        name = str(len(self._modules))
        self.add_module(name, _module(type(self).__name__, name, module))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end; returns self."""
        for module in [*modules]:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before the one at `index`; returns self."""
        found = [*self]
        found.insert(index, _module(type(self).__name__, str(index), module))
        return self._renew(found)

    def pop(self, index: int = -1) -> Module:
        """Take the module at `index` away; returns it."""
        found = self[index]
        del self[index]
        return found

    def __add__(self, other: Iterable[Module]) -> Self:
        return type(self)([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return (module for module in self._modules.values() if module is not None)

    def __contains__(self, module: object) -> bool:
        return any(module is own for own in self)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            return self._part([*self._modules.items()][index])
        found = self._modules[self._name(index)]
        assert found is not None
        return found

    def __setitem__(self, index: int, module: Module) -> None:
        name = self._name(index)
        self._modules[name] = _module(type(self).__name__, name, module)
        self._changed()

    def __delitem__(self, index: int | slice) -> None:
        if isinstance(index, slice):
            gone = {id(module) for module in self[index]}
            self._renew([module for module in self if id(module) not in gone])
        else:
            name = self._name(index)
            self._renew([m for own, m in self._modules.items() if own != name and m is not None])

    def _part(self, items: list[tuple[str, Any]]) -> Self:
        return type(self)([module for _, module in items])

    def _renew(self, modules: list[Module]) -> Self:
        self._modules.clear()
        self._changed()
        return self.extend(modules)

    def _name(self, index: int) -> str:
        names, kind = [*self._modules], type(self).__name__
        count = len(names)
        if not hasattr(index, "__index__"):
            raise ArgumentError(f"{kind}: index is {index!r}; need an integer or a slice")
        if not -count <= operator.index(index) < count:
            raise IndexingError(f"{kind}: index {index} of {count} modules; "
                                f"need {-count} <= index < {count}")  # fmt: skip
        return names[index]


class Sequential(_Row):
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

    def forward(self, input: Any) -> Any:
        for layer in self._modules.values():
            assert layer is not None
            input = layer(input)
        return input

    def _part(self, items: list[tuple[str, Any]]) -> Self:
        return type(self)(dict(items))

    add = _Row.append  # Keras's word


class ModuleList(_Row):
    """A list whose modules are found by `parameters()`; the forward is yours.

    Errors: ArgumentError for what is no module; IndexingError for an index out of range.

    Example:
        >>> from ambos import nn
        >>> layers = ModuleList([nn.Linear(2, 2), nn.ReLU()])
        >>> len(layers), layers[1]
        (2, ReLU())
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__(modules)

    def __repr__(self) -> str:
        """Equal neighbours are said once, as PyTorch does."""
        runs: list[tuple[int, int, str]] = []
        for number, module in enumerate(self):
            said = repr(module)
            if runs and runs[-1][2] == said:
                runs[-1] = (runs[-1][0], number, said)
            else:
                runs.append((number, number, said))
        if not runs:
            return f"{type(self).__name__}()"
        lines = []
        for first, last, said in runs:
            head = f"({first}): " if first == last else f"({first}-{last}): {last - first + 1} x "
            lines += [f"  {line}" for line in (head + said).split("\n")]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


class ModuleDict(Module):
    """A dictionary whose modules are found by `parameters()`; the forward is yours.

    Errors: ArgumentError for what is no module or no name; UnknownNameError for an unknown name.

    Example:
        >>> from ambos import nn
        >>> layers = ModuleDict({"in": nn.Linear(2, 4), "act": nn.ReLU()})
        >>> layers["act"], [*layers]
        (ReLU(), ['in', 'act'])
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules, in the place of those of the same names."""
        for name, module in dict(modules).items():
            self[name] = module

    def __getitem__(self, key: str) -> Module:
        found = self._modules.get(key)
        if found is None:
            raise UnknownNameError(
                f"ModuleDict: no module {key!r}; need one of {[*self._modules]}"
                f"{suggest(str(key), self._modules)}"
            )
        return found

    def __setitem__(self, key: str, module: Module) -> None:
        module = _module("ModuleDict", key, module)
        if key in self._modules:  # where it was
            self._modules[key] = module
            self._changed()
        else:
            self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def pop(self, key: str) -> Module:
        """Take the module of this name away; returns it."""
        found = self[key]
        del self._modules[key]
        self._changed()
        return found

    def clear(self) -> None:
        """Take all modules away."""
        self._modules.clear()
        self._changed()

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return [*self.children()]

    def items(self) -> Iterable[tuple[str, Module]]:
        """Pairs of a name and a module."""
        return [*self.named_children()]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules


def _module(owner: str, name: str, given: Any) -> Module:
    if isinstance(given, Module):
        return given
    if isinstance(given, type) and issubclass(given, Module):
        hint = f"{given.__name__} is a class; need an object: {given.__name__}(...)"
    elif callable(given):
        hint = (
            f"{getattr(given, '__name__', given)} is a function; need a module, e.g. nn.ReLU(), or "
            "a functional model of it: x = am.Input(shape); am.Model(inputs=x, outputs=net(f(x)))"
        )
    else:
        hint = f"got {type(given).__name__}; need a module"
    raise ArgumentError(f"{owner}: layer {name!r}: {hint}")
