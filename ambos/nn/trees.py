"""Modules as trees: parameters and buffers are the leaves, and whatever else a module consists of
is shared by the modules built from it.

What is built is a value: nobody else holds its tensors, and `am.jit` takes it as its leaves, where
a module made by its constructor is itself.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from typing import Any

from ambos.core.containers import Container, Node, Parts, register
from ambos.core.paths import GetAttrKey, Key, StateKey
from ambos.nn.composition import APART
from ambos.tensor.guards import exactly
from ambos.tensor.tracing import current

Fill = Callable[[Any], Any]  # what takes the place of a tensor
TENSORS = ("_parameters", "_buffers")


class Slot(int):
    """The place of leaf number n."""


class Skeleton:
    """A module with numbered places instead of tensors."""

    def __init__(self, module: Any, numbers: dict[int, Slot]) -> None:
        self.module = Copy(module, lambda tensor: numbers[id(tensor)], numbers).of(module)

    def filled(self, leaves: Sequence[Any]) -> Any:
        """A module like it with these leaves."""
        return Copy(self.module, leaves.__getitem__).of(self.module)

    @property
    def makeup(self) -> tuple[Any, ...]:
        """What two such modules share if they compute the same with the same leaves."""
        numbers = {id(module): n for n, module in enumerate(self.module.modules())}
        found: list[Any] = []
        for module in self.module.modules():
            fields = vars(module)
            found += type(module), tuple(map(exactly, fields["_hooks"].values()))
            for table in TENSORS:
                found.append(tuple(fields[table].items()))
            found.append(tuple((name, numbers.get(id(child)))
                               for name, child in fields["_modules"].items()))  # fmt: skip
            found += [(name, told(value, numbers))
                      for name, value in fields.items() if name not in APART]  # fmt: skip
            found.append(fields["training"])
        return tuple(found)


def told(value: Any, numbers: dict[int, int]) -> Hashable:
    """An attribute, such that it is equal to another that does the same."""
    kind = type(value)
    tell = lambda inner: told(inner, numbers)
    if id(value) in numbers:
        return "module", numbers[id(value)]
    if kind is Slot:
        return "tensor", int(value)
    if kind in (list, tuple):
        return (kind, *map(tell, value))
    if kind is dict:
        return kind, tuple((exactly(key), tell(inner)) for key, inner in value.items())
    if kind is types.MethodType:
        return kind, value.__func__, tell(value.__self__)
    if kind is partial:
        return (kind, *map(tell, (value.func, value.args, value.keywords)))
    if kind is types.FunctionType and value.__closure__:
        cells = [_content(cell) for cell in value.__closure__]
        return kind, value.__code__, *(tell(cell) for cell in cells if cell is not value)
    return exactly(value)


class Copy:
    """A copy of a module and all below it, what is shared inside being shared in the copy.

    `fill` gives what takes the place of each parameter and buffer; `known` are the ids of those
    that attributes, too, may hold.
    """

    def __init__(self, module: Any, fill: Fill, known: Collection[int] = ()) -> None:
        self.fill, self.known = fill, known
        self.inside = {id(inner) for inner in module.modules()}
        self.made: dict[int, Any] = {}

    def of(self, module: Any) -> Any:
        """The copy of `module`."""
        found = self.made.get(id(module))
        return found if found is not None else self._make(module)

    def _make(self, module: Any) -> Any:
        kind = type(module)
        new = self.made[id(module)] = object.__new__(kind)
        if current.trace is not None:  # where it came from has a guard, and nobody keeps this
            current.trace.note_built(new)
        fields, old = vars(new), vars(module)
        for table in TENSORS:
            fields[table] = {
                name: None if tensor is None else self.fill(tensor)
                for name, tensor in old[table].items()
            }
        fields["_modules"] = {
            name: None if child is None else self.of(child)
            for name, child in old["_modules"].items()
        }
        for name, value in old.items():
            if name in ("_hooks", "_transient"):
                fields[name] = value.copy()
            elif name not in (*TENSORS, "_modules"):
                fields[name] = self.carried(value)
        fields["training"] = module.training  # as it is here and now
        fields["_is_value"] = True
        return new

    def carried(self, value: Any) -> Any:
        """An attribute: the same object, but for what leads back to the module's own parts (a list
        of layers, a method, a function made in its constructor)."""
        kind = type(value)
        if id(value) in self.inside:
            return self.of(value)
        if kind is Slot or id(value) in self.known:
            return self.fill(value)
        if kind in (list, tuple, set):
            found = [self.carried(item) for item in value]
            return value if _same(found, value) else kind(found)
        if kind is dict:
            found = [self.carried(item) for item in value.values()]
            return value if _same(found, value.values()) else dict(zip(value, found, strict=True))
        if kind is types.MethodType:
            owner = self.carried(value.__self__)
            return value if owner is value.__self__ else types.MethodType(value.__func__, owner)
        if kind is partial:
            parts = [self.carried(item) for item in (value.func, value.args, value.keywords)]
            function, args, keywords = parts
            if _same(parts, (value.func, value.args, value.keywords)):
                return value
            return partial(function, *args, **keywords)
        if kind is types.FunctionType and value.__closure__:
            return self._function(value)
        return value

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        old = [_content(cell) for cell in function.__closure__ or ()]
        # Its own name may be among them: what is being copied stays what it is there.
        new = [item if item is function else self.carried(item) for item in old]
        if _same(new, old):
            return function
        made = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__,
            tuple(types.CellType(item) for item in new),
        )  # fmt: skip
        made.__kwdefaults__ = function.__kwdefaults__
        return made


class ModuleContainer(Container):
    """A module: parameters, then buffers, under their dotted names."""

    def parts(self, tree: Any) -> Parts:
        if current.trace is not None:
            for module in tree.modules():
                module._guard_recording()
        named = [(GetAttrKey(name), tensor) for name, tensor in tree.named_parameters()]
        named += [(StateKey(name), tensor) for name, tensor in tree.named_buffers()]
        numbers = {id(tensor): Slot(number) for number, (_, tensor) in enumerate(named)}
        keys = tuple([key for key, _ in named])
        return [tensor for _, tensor in named], keys, None, Skeleton(tree, numbers)

    def build(self, node: Node, children: list[Any]) -> Any:
        return node.template.filled(children)

    def path_keys(self, kind: type, keys: tuple[Any, ...], count: int) -> Sequence[Key]:
        return keys

    def has_state(self, keys: tuple[Any, ...]) -> bool:
        return any(isinstance(key, StateKey) for key in keys)

    def describe(self, kind: type, keys: tuple[Any, ...], aux: Any, count: int) -> str:
        shown = ", ".join(key.name for key in keys[:6]) + ", ..." * (count > 6)
        return f"module {kind.__name__} with {shown or 'no parameters'}"


def register_modules(base: type) -> None:
    """Modules of this class, and of all derived from it, are trees."""
    register(base, ModuleContainer(), derived=True)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _same(found: Sequence[Any], old: Any) -> bool:
    return all(new is was for new, was in zip(found, old, strict=True))
