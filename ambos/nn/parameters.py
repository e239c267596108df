"""Parameters in a list or under names, as modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from ambos.core.errors import ArgumentError, IndexingError, UnknownNameError, suggest
from ambos.nn.module import Module
from ambos.nn.parameter import Parameter
from ambos.tensor.handle import Tensor


def _parameter(owner: str, name: object, given: Any) -> Parameter:
    if isinstance(given, Parameter):
        return given
    if isinstance(given, Tensor):
        return Parameter(given.detach())
    raise ArgumentError(f"{owner}: {name!r}: got {type(given).__name__}; need a tensor")


def _shown(owner: str, named: Iterable[tuple[str, Any]]) -> str:
    """Kind, dtype and shape of each, as PyTorch shows them."""
    lines = "\n".join(
        f"  ({name}): Parameter containing: [{found.dtype.name} of size "
        f"{'x'.join(map(str, found.shape))}]"
        for name, found in named
        if found is not None
    )
    return f"{owner}(\n{lines}\n)" if lines else f"{owner}()"


class ParameterList(Module):
    """A list of parameters; plain tensors become parameters.

    Errors: ArgumentError for what is no tensor; IndexingError for an index out of range.

    Example:
        >>> import ambos as am
        >>> several = ParameterList([am.ones(2), am.ones(3)])
        >>> len(several), [name for name, _ in several.named_parameters()]
        (2, ['0', '1'])
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(values)

    def append(self, value: Any) -> Self:
        """Add a parameter at the end; returns self."""
        name = str(len(self._parameters))
        self.register_parameter(name, _parameter("ParameterList", name, value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end; returns self."""
        for value in [*values]:
            self.append(value)
        return self

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return (found for found in [*self._parameters.values()] if found is not None)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return ParameterList([*self][index])
        return self._parameters[self._name(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        name = self._name(index)
        self._parameters[name] = _parameter("ParameterList", name, value)
        self._changed()

    def _name(self, index: int) -> str:
        count = len(self._parameters)
        if not hasattr(index, "__index__") or not -count <= index < count:
            raise IndexingError(
                f"ParameterList: index {index!r} of {count} parameters; need "
                f"{-count} <= index < {count}"
            )
        return str(index % count)

    def __repr__(self) -> str:
        return _shown("ParameterList", self._parameters.items())


class ParameterDict(Module):
    """Parameters under names; plain tensors become parameters.

    Errors: ArgumentError for what is no tensor or no name; UnknownNameError for an unknown name.

    Example:
        >>> import ambos as am
        >>> several = ParameterDict({"scale": am.ones(2)})
        >>> several["scale"].shape, "shift" in several
        ((2,), False)
    """

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add parameters, in the place of those of the same names."""
        for name, value in dict(parameters).items():
            self[name] = value

    def __getitem__(self, key: str) -> Parameter:
        found = self._parameters.get(key)
        if found is None:
            raise UnknownNameError(
                f"ParameterDict: no parameter {key!r}; need one of {[*self._parameters]}"
                f"{suggest(str(key), self._parameters)}"
            )
        return found

    def __setitem__(self, key: str, value: Any) -> None:
        value = _parameter("ParameterDict", key, value)
        if key in self._parameters:  # where it was
            self._parameters[key] = value
            self._changed()
        else:
            self.register_parameter(key, value)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def pop(self, key: str) -> Parameter:
        """Take the parameter of this name away; returns it."""
        found = self[key]
        del self._parameters[key]
        self._changed()
        return found

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of this name, or `default`."""
        return self._parameters.get(key, default)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._parameters.keys()

    def values(self) -> Iterable[Any]:
        """The parameters."""
        return self._parameters.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of a name and a parameter."""
        return self._parameters.items()

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: object) -> bool:
        return key in self._parameters

    def __repr__(self) -> str:
        return _shown("ParameterDict", self._parameters.items())
