"""Attributes of modules: parameters, buffers and children live in tables of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ambos.core.errors import ArgumentError, NameTakenError, UnknownNameError, suggest
from ambos.nn.composition import Composition
from ambos.nn.making import settle, waiting
from ambos.nn.parameter import Buffer, Parameter
from ambos.nn.stateful import Stateful
from ambos.tensor.handle import Tensor
from ambos.tensor.tracing import current, guard_object, makeup


class Attributed(Stateful):
    """Base of modules: what is assigned finds its table, what is asked for is found in it."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]

    makes_tensors = False  # do its children make tensors of another module (`utils/parametrize`)?

    def __setattr__(self, name: str, value: Any) -> None:
        makeup.version += 1
        if name in self.__dict__.get("_computed", ()):
            self._computed[name].refuse(self)
        made = self._modules.get("parametrizations")
        if made is not None and made.makes_tensors and name in made._modules:
            made.get_submodule(name).right_inverse(value)
            return
        tables = (self._parameters, self._modules, self._buffers)
        if isinstance(value, Parameter):
            home: dict[str, Any] | None = self._parameters
        elif isinstance(value, Attributed):
            home = self._modules
        elif isinstance(value, Buffer):
            home = self._buffers
            (self._transient.discard if value.persistent else self._transient.add)(name)
        elif value is None or isinstance(value, Tensor):
            home = next((table for table in tables if name in table), None)
            if home is self._parameters and value is not None:
                raise ArgumentError(
                    f"{type(self).__name__}.{name}: is a parameter and got a plain tensor; need "
                    f"nn.Parameter(value), or {name}.copy_(value) to change its numbers"
                )
        else:
            home = None
        for table in tables:
            if table is not home:
                table.pop(name, None)
        if home is None:
            object.__setattr__(self, name, value)
        else:
            self.__dict__.pop(name, None)
            home[name] = value

    def __getattr__(self, name: str) -> Any:
        if current.trace is not None and not name.startswith("__"):
            self._guard_recording()  # its parts may be used without calling it
        for table in ("_parameters", "_buffers", "_modules"):
            found: dict[str, Any] = self.__dict__.get(table, {})
            if name in found:
                if waiting and table != "_modules":
                    settle(self)
                return found[name]
        if name.startswith("__"):
            raise AttributeError(name)
        made = self.__dict__.get("_modules", {}).get("parametrizations")
        if made is not None and made.makes_tensors and name in made._modules:
            return made._modules[name]()
        if name in (computed := self.__dict__.get("_computed", {})):  # `utils/older_norms`
            return computed[name](self)
        raise UnknownNameError(
            f"{type(self).__name__}: no attribute {name!r}", hint=lambda: suggest(name, dir(self))
        )

    def __delattr__(self, name: str) -> None:
        makeup.version += 1
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter (or the place of one, None) under `name`."""
        self._claim(name, param, Parameter, "nn.Parameter(value)", self._parameters)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained; saved unless `persistent` is False."""
        self._claim(name, tensor, Tensor, "am.tensor(value)", self._buffers)
        self._buffers[name] = tensor
        if not persistent:
            self._transient.add(name)

    def add_module(self, name: str, module: Attributed | None) -> None:
        """Add a child under `name`."""
        self._claim(name, module, Attributed, "a module", self._modules)
        self._modules[name] = module

    register_module = add_module

    def _changed(self) -> None:
        """Recordings that use the module are to look again at what it consists of."""
        makeup.version += 1

    def _claim(self, name: Any, value: Any, kind: type, need: str, home: Mapping[str, Any]) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(f"{type(self).__name__}: the name is {name!r}; need a word without "
                                "dots")  # fmt: skip
        if name in self.__dict__.get("_computed", ()):
            self._computed[name].refuse(self)
        if not (value is None or isinstance(value, kind)):
            raise ArgumentError(
                f"{type(self).__name__}.{name}: got {type(value).__name__}; need {need} or None"
            )
        if name not in home and (what := self._kind_of(name)):
            raise NameTakenError(
                f"{type(self).__name__}.{name}: is {what} already; need another name, or "
                f"`del module.{name}` before"
            )
        makeup.version += 1
        self._transient.discard(name)

    def _kind_of(self, name: str) -> str:
        """What there is under `name`; nothing for a name that is free."""
        tables = (("a parameter", self._parameters), ("a buffer", self._buffers),
                  ("a module", self._modules), ("an attribute", self.__dict__))  # fmt: skip
        if what := next((what for what, names in tables if name in names), ""):
            return what
        made = self._modules.get("parametrizations")
        if made is not None and made.makes_tensors and name in made._modules:
            return "a parametrized tensor"
        # None stands for a part that instances give: the default of a setting.
        return "" if getattr(type(self), name, None) is None else "a part of its class"

    def _guard_recording(self) -> None:
        """A jitted function that uses this module holds as long as its makeup stays."""
        guard_object(self, lambda: Composition(self))
