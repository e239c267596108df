"""What tells one call of a jitted function from another: its arguments without their values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any
from weakref import ReferenceType, ref

import numpy as np

from ambos.core import tree
from ambos.core.arguments import integer
from ambos.core.containers import container_of
from ambos.core.errors import ArgumentError, ArgumentTypeError
from ambos.core.paths import DictKey, Path, SequenceKey
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.tensor import live
from ambos.tensor.array import Array
from ambos.tensor.handle import Tensor
from ambos.tensor.resting import peek

FIRST = 5  # parts of a signature before those of the arguments
Layout = Any  # a Structure, or the number of plain arguments


class Fixed(tuple[type, Hashable]):
    """An argument that is no tensor: its type and what is equal for equal bits; for an object that
    is equal to itself alone (a module) a weak reference, since no recording keeps one alive."""

    __slots__ = ()

    @property
    def is_weak(self) -> bool:
        """Is it an object that is equal to itself alone?"""
        return isinstance(self[1], ReferenceType) and self[0] is not ReferenceType

    @property
    def object(self) -> Any:
        """That object, None once it is gone."""
        return self[1]() if isinstance(self[1], ReferenceType) else None


class Facts(tuple[Any, ...]):
    """What a recording fixes of a tensor: shape, dtype, strides, whether it is tracked, the number
    of the argument that is the same tensor. There is one object for all that are alike, so that a
    call compares hundreds of them in no time."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__
    __ne__ = object.__ne__


class Given(list[Tensor]):
    """The tensors among the arguments of a call, with what they hold and their ids."""

    __slots__ = ("arrays", "ids")
    arrays: list[Array]
    ids: list[int]


NOTHING = Given()
NOTHING.arrays, NOTHING.ids = [], []


class Positional(tuple[Any, ...]):
    """The arguments of a call without keywords."""

    __slots__ = ()


class Static:
    """An argument that was said to be static."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Chosen:
    """Some arguments of `fn` (the `kind` static or donate), by number or by name; each counts under
    both."""

    def __init__(
        self, fn: Callable[..., Any], kind: str, argnums: int | Iterable[int] | None,
        argnames: str | Iterable[str] | None,
    ) -> None:  # fmt: skip
        numbers = () if argnums is None else (argnums,) if isinstance(argnums, int) else argnums
        names = () if argnames is None else (argnames,) if isinstance(argnames, str) else argnames
        self.numbers = {*_each(f"jit: {kind}_argnums", numbers, int, "an argument's number")}
        self.names = {*_each(f"jit: {kind}_argnames", names, str, "an argument's name")}
        positional = positional_names(fn) if self else []
        self.places = {name: number for number, name in enumerate(positional)}
        if positional:
            count = len(positional)
            for number in self.numbers:
                if not -count <= integer(f"jit: {kind}_argnums", number) < count:
                    raise ArgumentError(
                        f"jit: {kind}_argnums names argument {number!r}; need numbers of "
                        f"{', '.join(positional)}"
                    )
            parameters = parameters_of(fn)
            unknown = self.names - {p.name for p in parameters}
            if unknown and all(p.kind is not p.VAR_KEYWORD for p in parameters):
                raise ArgumentError(f"jit: {kind}_argnames names {min(unknown)!r}; need names of "
                                    f"{', '.join(positional)}")  # fmt: skip
            self.numbers = {number % count for number in self.numbers}
            self.names |= {positional[number] for number in self.numbers}
            self.numbers |= {n for n, name in enumerate(positional) if name in self.names}

    def __bool__(self) -> bool:
        return len(self.numbers) + len(self.names) > 0

    def has(self, path: Path) -> bool:
        """Does `path`, of a leaf of (args, kwargs), lead into one of them?"""
        first = path[1]
        if isinstance(first, SequenceKey):
            return first.idx in self.numbers
        return isinstance(first, DictKey) and first.key in self.names

    def of_method(self) -> tuple[list[int], set[str]]:
        """The same numbers and names where argument number 0 is given."""
        first = {name for name, number in self.places.items() if number == 0}
        return [number - 1 for number in self.numbers if number], self.names - first

    def wrapped(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, with static ones marked."""
        return (
            tuple([Static(arg) if n in self.numbers else arg for n, arg in enumerate(args)]),
            {k: Static(value) if k in self.names else value for k, value in kwargs.items()},
        )


def flattened(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Layout]:
    """The leaves of all arguments, and their structure: of plain ones merely their number."""
    if not kwargs:
        for arg in args:
            if container_of(arg.__class__) is not None:
                break
        else:
            return list(args), len(args)
        return tree.flatten(Positional(args), tree.is_object)
    return tree.flatten((args, kwargs), tree.is_object)


def laid_out(layout: Layout) -> tree.Structure:
    """The structure of (args, kwargs)."""
    if not isinstance(layout, tree.Structure):
        return tree.structure(((0,) * layout, {}))
    if layout.kind is not Positional:
        return layout
    children = layout.children
    args = tree.Structure(tuple, (), children, len(children))
    return tree.Structure(tuple, (), (args, tree.structure({})), 2)


def layout_key(layout: Layout) -> Hashable:
    """What is equal for arguments that are nested alike; modules that are values count with all
    that they consist of."""
    if isinstance(layout, tree.Structure) and layout.has_template:
        return layout, *(template.makeup for template in layout.templates())
    return layout


def filled(leaves: Sequence[Any], tensors: Sequence[Tensor]) -> list[Any]:
    """`leaves` with these in place of their tensors."""
    each = iter(tensors)
    return [next(each) if isinstance(leaf, Tensor) else leaf for leaf in leaves]


def built(structure: tree.Structure, leaves: Sequence[Any]) -> Any:
    """(args, kwargs) of new containers; static ones are still marked."""
    return structure.build(iter(leaves))


def unmarked(args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments as the function wants them."""
    plain = lambda value: value.value if isinstance(value, Static) else value
    return [plain(arg) for arg in args], {name: plain(value) for name, value in kwargs.items()}


def read(leaves: list[Any], key: list[Any]) -> Given | None:
    """The tensors among `leaves`, where arrays of other libraries become tensors; what a recording
    fixes of each leaf is added to `key`. None where a tensor belongs to an outer graph."""
    if not leaves:
        return NOTHING
    given, arrays, start = Given(), [], len(key)
    for place, leaf in enumerate(leaves):
        if not isinstance(leaf, Tensor):
            if isinstance(leaf, type) or not hasattr(leaf, "__array__"):
                key.append(fixed_key(leaf))
                continue
            leaf = leaves[place] = Tensor(np.asarray(leaf))
        array, is_tracked = leaf._kept, False
        if not isinstance(array, Array):
            node = _computed(leaf)
            if node is None:
                return None
            array, is_tracked = node.value, node.tracked
        key.append(_tracked_facts(array) if is_tracked else array.facts or facts_of(array))
        given.append(leaf)
        arrays.append(array)
    given.arrays, given.ids = arrays, list(map(id, given))
    if len(set(given.ids)) < len(arrays):
        _mark_repeated(given, key, start)
    return given


def _computed(tensor: Tensor) -> Node | None:
    """The node of `tensor`, which has a value; None where it belongs to an outer graph."""
    node = peek(tensor)
    if node.value is None:
        if node.tracked:
            return None
        live.evaluate([tensor])
        node = peek(tensor)
    return None if node.value is None or (node.tracked and node.inputs) else node


@lru_cache(1 << 16)
def _facts(
    shape: Shape, dtype: str, strides: Shape, is_tracked: bool = False, same: int | None = None
) -> Facts:
    return Facts((shape, dtype, strides, is_tracked, same))


def facts_of(array: Array) -> Facts:
    """What a recording fixes of an argument that holds `array`."""
    found: Facts | None = array.facts
    if found is None:
        found = array.facts = _facts(array.shape, array.dtype.name, array.strides)
    return found


def _tracked_facts(array: Array) -> Facts:
    return _facts(array.shape, array.dtype.name, array.strides, True)


def _mark_repeated(given: Given, key: list[Any], start: int) -> None:
    """Tensors that are an argument already are told by the number of the first time."""
    first: dict[int, int] = {}
    number = 0
    for place, part in enumerate(key[start:], start):
        if isinstance(part, Facts):
            known = first.setdefault(given.ids[number], number)
            if known != number:
                key[place] = _facts(*part[:4], known)
            number += 1


def fixed_key(leaf: Any) -> Fixed:
    """An argument that is no tensor: part of the recording's identity."""
    value = leaf.value if isinstance(leaf, Static) else leaf
    if value is leaf:
        tree.refuse_unregistered("jit", leaf, "an argument")
    try:
        hash(value)
    except TypeError:
        what = f"an argument is a {type(value).__name__}, neither a tensor nor hashable"
        if value is not leaf:
            what = f"a static argument is a {type(value).__name__}, which is not hashable"
        raise ArgumentError(
            f"jit: {what}; need tensors, arrays, and fixed values such as numbers, strings and "
            "tuples of these; a class of your own is registered by am.tree.register_node"
        ) from None
    kind: Any = type(value)
    if kind in (float, complex):
        value = repr(value)
    elif kind.__hash__ is object.__hash__ and kind.__eq__ is object.__eq__:
        with suppress(TypeError):  # of a class with slots
            value = ref(value)
    return Fixed((kind, value))


def _each(what: str, given: Any, kind: type, name: str) -> list[Any]:
    """What was chosen, one by one."""
    if not isinstance(given, Iterable) or any(not isinstance(one, kind) for one in given):
        raise ArgumentTypeError(f"{what} is {given!r}; need {name}, or several in a list or tuple")
    return [*given]


def parameters_of(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of `fn`; none where Python cannot tell."""
    try:
        return [*inspect.signature(fn).parameters.values()]
    except (TypeError, ValueError):
        return []


def positional_names(fn: Callable[..., Any]) -> list[str]:
    """Names of the parameters that positional arguments fill."""
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [p.name for p in parameters_of(fn) if p.kind in kinds]


def argument_name(fn: Callable[..., Any], path: Path) -> str:
    """How a message calls the leaf of (args, kwargs) at `path`."""
    first, rest = path[1], Path(path[2:])
    if path[0] != SequenceKey(0):
        assert isinstance(first, DictKey)  # a keyword
        return f"{first.key}{rest}"
    number = first.idx  # type: ignore[union-attr]
    names = positional_names(fn)
    return f"{names[number] if number < len(names) else number}{rest}"
