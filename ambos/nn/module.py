"""Module: parameters, buffers and children under names, called like a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from ambos.core.arguments import Checked, flag
from ambos.core.errors import ArgumentError, UnknownNameError, suggest
from ambos.core.misuse import misfit
from ambos.graph.lines import enter, leave
from ambos.nn import hooks, state
from ambos.nn.attributes import Attributed
from ambos.nn.conversion import Convertible
from ambos.nn.html import html_of
from ambos.nn.making import made, making, settle, waiting
from ambos.nn.modes import in_mode, mode_of, put_mode, says_modes_alone, takes_training
from ambos.nn.parameter import Parameter
from ambos.nn.paths import blame
from ambos.nn.symbolic import are_symbolic, described, symbols
from ambos.nn.trees import register_modules
from ambos.tensor.creation import zeros_like
from ambos.tensor.handle import Tensor
from ambos.tensor.tracing import current


def portable(values: Any) -> bool:
    """Can constructor arguments be written down as JSON (modules by their own arguments)?"""
    if isinstance(values, (list, tuple)):
        return all(map(portable, values))
    if isinstance(values, Mapping):
        return all(isinstance(key, str) for key in values) and portable([*values.values()])
    return values is None or isinstance(values, (bool, int, float, str, Module))


class ModuleType(Checked):
    """Metaclass of modules: what happens once a constructor has run."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        making.depth += 1
        try:
            module = super().__call__(*args, **kwargs)
        finally:
            making.depth -= 1
        if not making.depth:
            made(module)
        if portable((*args, *kwargs.values())):
            object.__setattr__(module, "_made_with", (cls, args, kwargs))
        return module


class Module(Attributed, Convertible, metaclass=ModuleType):
    """Base of every layer and network: assign layers and parameters, write `forward`, call it.

    Errors: ArgumentError when called without a `forward` of its own; UnknownNameError for an
        attribute that it lacks.

    Example:
        >>> import ambos as am
        >>> class Scale(Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.factor = Parameter(am.tensor([2.0]))
        ...
        ...     def forward(self, x):
        ...         return x * self.factor
        >>> Scale()(am.tensor([1.0, 3.0])).numpy()
        array([2., 6.], dtype=float32)
    """

    _modules: dict[str, Module | None]
    _transient: set[str]

    _made_with: tuple[type, tuple[Any, ...], dict[str, Any]] | None = None
    _is_value = False  # built from leaves by a transform (`nn/trees.py`)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Here, not in __init__, so that a class that forgets super().__init__() works all the same.
        self = super().__new__(cls)
        for name in ("_parameters", "_buffers", "_modules", "_hooks"):
            object.__setattr__(self, name, {})
        object.__setattr__(self, "_transient", set())
        self.__dict__["training"] = True
        return self

    def __init__(self) -> None:
        pass

    def __getstate__(self) -> object:
        settle(self)  # whole: each tensor is copied or pickled by itself
        return super().__getstate__()

    # Calling

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every module defines it."""
        raise ArgumentError(
            f"{type(self).__name__}: has no forward; need `def forward(self, x)` in the class"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if waiting:
            settle(self)
        if current.trace is not None:
            self._guard_recording()
        if symbols.exist and are_symbolic(args, kwargs):
            return described(self, args, kwargs)
        if kwargs and "training" in kwargs and not takes_training(type(self)):
            with in_mode(self, flag("training", kwargs["training"])):
                return self(*args, **{key: kwargs[key] for key in kwargs if key != "training"})
        enter(self)
        try:
            if self._hooks or hooks.EVERYWHERE:
                result = hooks.run(self, args, kwargs)
            else:
                result = self.forward(*args, **kwargs)
            for note in hooks.watchers.calls:
                note(self, result)
        except Exception as error:
            problem = self._misfit(error, args, kwargs)
            blame(problem, self)
            if problem is error:
                raise
            raise problem from None
        finally:
            leave()
        return result

    def _misfit(self, error: Exception, args: Any, kwargs: Any) -> Exception:
        """What says that `forward` does not take these arguments, where that is the error."""
        trace = error.__traceback__
        if type(error) is not TypeError or trace is None or trace.tb_next is not None:
            return error  # it comes from inside of `forward`
        return misfit(type(self).__name__, self.forward, args, kwargs) or error

    # Walking the tree; each object is met once, under its first name

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, with dotted names; each once, unless `remove_duplicate` is
        False, and none of those in `memo`."""
        seen: set[Any] = set() if memo is None else memo
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if remove_duplicate:
                if module in seen:
                    continue
                seen.add(module)
            yield path, module
            children = [
                (state.join(path, n), m) for n, m in module._modules.items() if m is not None
            ]
            stack.extend(reversed(children))

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it."""
        return (m for _, m in self.named_modules(remove_duplicate=remove_duplicate))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below, each once."""
        return (module for _, module in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter, with dotted names: each under its first one, unless `remove_duplicate`
        is False; without `recurse` only the module's own."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter, each once; without `recurse` only the module's own."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Every buffer, with dotted names, as `named_parameters` lists parameters."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer, each once; without `recurse` only the module's own."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        settle(self)
        seen: set[int] = set()
        below = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in below if recurse else [(prefix, self)]:
            for name, value in getattr(module, table).items():
                if value is not None and not (remove_duplicate and id(value) in seen):
                    seen.add(id(value))
                    yield state.join(path, name), value

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path."""
        module: Module = self
        for name in target.split(".") if target else ():
            child = module._modules.get(name)
            if child is None:
                raise UnknownNameError(
                    f"{type(self).__name__}: no module {target!r}: {name!r} is not in "
                    f"{type(module).__name__}{suggest(name, module._modules)}"
                )
            module = child
        return module

    def set_submodule(self, target: str, module: Module) -> None:
        """Put `module` at a dotted path, in the place of the module that is there."""
        parent, _, name = target.rpartition(".")
        self.get_submodule(target)
        if not isinstance(module, Module):
            raise ArgumentError(
                f"set_submodule: {target!r}: got {type(module).__name__}; need a module"
            )
        owner = self.get_submodule(parent)
        owner._modules[name] = module
        owner._changed()

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        found: Parameter = self._tensor_at("_parameters", "parameter", target)
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        found: Tensor = self._tensor_at("_buffers", "buffer", target)
        return found

    def _tensor_at(self, table: str, kind: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = getattr(module, table).get(name)
        if found is None:
            raise UnknownNameError(
                f"{type(self).__name__}: no {kind} {target!r}: {name!r} is not one of "
                f"{type(module).__name__}{suggest(name, getattr(module, table))}"
            )
        return found

    # Modes and wholesale changes

    training = property(mode_of, put_mode, doc="Does it train? As `train` and `eval` set it, or as "
                        "the call says that is under way in this thread.")  # fmt: skip

    @says_modes_alone
    def train(self, mode: bool = True) -> Self:
        """Behave as in training (dropout drops, batch norm uses the batch), and all below it;
        returns self. A class that keeps parts frozen overrides it: `fit` and `training=` ask it."""
        put_mode(self, mode)
        for child in self._modules.values():
            if child is not None:
                child.train(mode)
        return self

    def eval(self) -> Self:
        """Behave as in use; returns self."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let gradients flow to every parameter, or stop them; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        for module in self.modules():
            module.__dict__.pop("_trainable", None)
        return self

    @property
    def trainable(self) -> bool:
        """Are the parameters trained? Keras's word: to set it is `requires_grad_`, for all below.

        A frozen module that should not change its running statistics either is called with
        `training=False`.
        """
        known = self.__dict__.get("_trainable")  # as it was set, also where no parameters are yet
        if known is not None:
            return bool(known)
        return all(parameter.requires_grad for parameter in self.parameters())

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.requires_grad_(flag("trainable", value)).__dict__["_trainable"] = bool(value)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of every parameter."""
        for parameter in self.parameters():
            grad = None if set_to_none else parameter.grad
            parameter.grad = None if grad is None else zeros_like(grad)

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module, children first; returns self."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    # Printing

    def extra_repr(self) -> str:
        """What a layer says about itself inside its parentheses: its settings, if it is a
        dataclass (`nn.layer`). `inplace` is said where it was asked for."""
        names = getattr(self, "__dataclass_fields__", ())
        said = {name: getattr(self, name) for name in names if name in self.__dict__}
        if said.get("inplace") is False:
            del said["inplace"]
        return ", ".join(f"{name}={value}" for name, value in said.items())

    def _get_name(self) -> str:
        """What `repr` calls the module."""
        return type(self).__name__

    def __repr__(self) -> str:
        lines = []
        for name, child in self._modules.items():
            head, *rest = repr(child).split("\n")
            lines.append("\n".join([f"  ({name}): {head}", *(f"  {line}" for line in rest)]))
        extra, kind = self.extra_repr(), self._get_name()
        made = self._modules.get("parametrizations")
        if made is not None and made.makes_tensors:
            kind = f"Parametrized{kind}"
        if not lines:
            return f"{kind}({extra})"
        body = "\n".join([f"  {extra}"] * bool(extra) + lines)
        return f"{kind}(\n{body}\n)"

    def _repr_html_(self) -> str:
        return html_of(self)


register_modules(Module)
