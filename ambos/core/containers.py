"""Containers: kinds of objects that trees are nested of, how each is taken apart and put together.

Dict keys are visited in sorted order, so that equal dicts give equal trees however they were
filled (an OrderedDict means its own order). None is a container without children.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Protocol

from ambos.core.errors import ArgumentError
from ambos.core.paths import DictKey, FlattenedIndexKey, GetAttrKey, Key, SequenceKey

# Children; keys and what else there is, which are compared; what is not compared.
Parts = tuple[Iterable[Any], tuple[Any, ...], Hashable, Any]
MOST_KINDS = 1000  # that are remembered without having been registered


class Node(Protocol):
    """What is asked of a structure here."""

    kind: type | None
    keys: tuple[Any, ...]
    aux: Any
    template: Any


class Container:
    """The laws of one kind of container."""

    def parts(self, tree: Any) -> Parts:
        """What `tree` consists of."""
        raise NotImplementedError

    def build(self, node: Node, children: list[Any]) -> Any:
        """The opposite."""
        raise NotImplementedError

    def path_keys(self, kind: type, keys: tuple[Any, ...], count: int) -> Sequence[Key]:
        """What leads to each child."""
        return [FlattenedIndexKey(number) for number in range(count)]

    def has_state(self, keys: tuple[Any, ...]) -> bool:
        """Are there children that gradients take for constants?"""
        return False

    def show(self, kind: type, keys: tuple[Any, ...], aux: Any, children: Sequence[str]) -> str:
        """The structure as text."""
        names = self.path_keys(kind, keys, len(children))
        shown = [
            f"{key.name}={text}" if isinstance(key, GetAttrKey) else text
            for key, text in zip(names, children, strict=True)
        ]
        return f"{kind.__name__}({', '.join(shown)})"

    def describe(self, kind: type, keys: tuple[Any, ...], aux: Any, count: int) -> str:
        """A node in a few words."""
        return f"{_article(kind.__name__)} of {count}"


class Nothing(Container):
    """None."""

    def parts(self, tree: Any) -> Parts:
        return (), (), None, None

    def build(self, node: Node, children: list[Any]) -> Any:
        return None

    def show(self, kind: type, keys: tuple[Any, ...], aux: Any, children: Sequence[str]) -> str:
        return "None"

    def describe(self, kind: type, keys: tuple[Any, ...], aux: Any, count: int) -> str:
        return "None"


class Dict(Container):
    """dict and what is derived from it; a defaultdict keeps what it makes of missing keys."""

    def parts(self, tree: Any) -> Parts:
        keys = _sorted(tree) if not isinstance(tree, OrderedDict) else tuple(tree)
        factory = tree.default_factory if isinstance(tree, defaultdict) else None
        return [tree[key] for key in keys], keys, factory, None

    def build(self, node: Node, children: list[Any]) -> Any:
        pairs = dict(zip(node.keys, children, strict=True))
        kind: Any = node.kind
        if kind is dict:
            return pairs
        return kind(node.aux, pairs) if issubclass(kind, defaultdict) else kind(pairs)

    def path_keys(self, kind: type, keys: tuple[Any, ...], count: int) -> Sequence[Key]:
        return [DictKey(key) for key in keys]

    def show(self, kind: type, keys: tuple[Any, ...], aux: Any, children: Sequence[str]) -> str:
        pairs = zip(keys, children, strict=True)
        text = "{" + ", ".join(f"{key!r}: {child}" for key, child in pairs) + "}"
        return text if kind is dict else f"{kind.__name__}({text})"

    def describe(self, kind: type, keys: tuple[Any, ...], aux: Any, count: int) -> str:
        made = f" of {getattr(aux, '__name__', aux)}" if aux is not None else ""
        shown = ", ".join(map(repr, keys[:8])) + ", ..." * (count > 8)
        return f"{_article(kind.__name__)}{made} with the keys {shown or 'none'}"


class Listed(Container):
    """list, tuple, and what is derived from them."""

    def parts(self, tree: Any) -> Parts:
        return tree, (), len(tree), None

    def build(self, node: Node, children: list[Any]) -> Any:
        if node.kind is list:
            return children
        kind: Any = node.kind
        return kind(children)

    def path_keys(self, kind: type, keys: tuple[Any, ...], count: int) -> Sequence[Key]:
        return [SequenceKey(number) for number in range(count)]

    def show(self, kind: type, keys: tuple[Any, ...], aux: Any, children: Sequence[str]) -> str:
        inside = ", ".join(children)
        if kind is list:
            return f"[{inside}]"
        text = f"({inside},)" if len(children) == 1 else f"({inside})"
        return text if kind is tuple else f"{kind.__name__}{text}"


class Named(Container):
    """Named tuples."""

    def parts(self, tree: Any) -> Parts:
        return tree, (), None, None

    def build(self, node: Node, children: list[Any]) -> Any:
        kind: Any = node.kind
        return kind(*children)

    def path_keys(self, kind: type, keys: tuple[Any, ...], count: int) -> Sequence[Key]:
        named: Any = kind
        fields: tuple[str, ...] = named._fields
        return [GetAttrKey(name) for name in fields]


class Fields(Container):
    """Registered dataclasses: `data` fields are children, `meta` fields are compared."""

    def __init__(self, data: tuple[str, ...], meta: tuple[str, ...]) -> None:
        self.data, self.meta = data, meta

    def parts(self, tree: Any) -> Parts:
        fixed = tuple([getattr(tree, name) for name in self.meta])
        return [getattr(tree, name) for name in self.data], self.data, fixed, None

    def build(self, node: Node, children: list[Any]) -> Any:
        kind: Any = node.kind
        values = dict(zip(self.data, children, strict=True))
        return kind(**values, **dict(zip(self.meta, node.aux, strict=True)))

    def path_keys(self, kind: type, keys: tuple[Any, ...], count: int) -> Sequence[Key]:
        return [GetAttrKey(name) for name in keys]

    def show(self, kind: type, keys: tuple[Any, ...], aux: Any, children: Sequence[str]) -> str:
        shown = [f"{name}={child}" for name, child in zip(keys, children, strict=True)]
        shown += [f"{name}={value!r}" for name, value in zip(self.meta, aux, strict=True)]
        return f"{kind.__name__}({', '.join(shown)})"

    def describe(self, kind: type, keys: tuple[Any, ...], aux: Any, count: int) -> str:
        shown = ", ".join(f"{n}={value!r}" for n, value in zip(self.meta, aux, strict=True))
        return _article(kind.__name__) + (f" with {shown}" if shown else "")


class Registered(Container):
    """What a user has registered, by the functions given."""

    def __init__(
        self, flatten: Callable[[Any], tuple[Iterable[Any], Any]],
        unflatten: Callable[[Any, tuple[Any, ...]], Any], with_keys: bool,
    ) -> None:  # fmt: skip
        self.flatten, self.unflatten, self.with_keys = flatten, unflatten, with_keys

    def parts(self, tree: Any) -> Parts:
        found, aux = self.flatten(tree)
        children = tuple(found)
        if not self.with_keys:
            return children, (), (len(children), aux), None
        keys = tuple([_as_key(key) for key, _ in children])
        return [child for _, child in children], keys, (len(children), aux), None

    def build(self, node: Node, children: list[Any]) -> Any:
        return self.unflatten(node.aux[1], tuple(children))

    def path_keys(self, kind: type, keys: tuple[Any, ...], count: int) -> Sequence[Key]:
        return keys or super().path_keys(kind, keys, count)

    def describe(self, kind: type, keys: tuple[Any, ...], aux: Any, count: int) -> str:
        return f"{_article(kind.__name__)} of {count} with {aux[1]!r}"


LISTED, DICT, NAMED = Listed(), Dict(), Named()
_registered: dict[type, Container] = {
    type(None): Nothing(),
    dict: DICT,
    list: LISTED,
    tuple: LISTED,
}
_families: dict[type, Container] = {}  # with all that is derived from them
_known: dict[type, Container | None] = {**_registered}


def container_of(kind: type) -> Container | None:
    """How objects of this type are taken apart; None: they are leaves."""
    try:
        return _known[kind]
    except KeyError:
        pass
    if len(_known) > MOST_KINDS + len(_registered):  # classes made by the thousand are not kept
        _known.clear()
        _known.update(_registered)
    found = _known[kind] = _find(kind)
    return found


def _find(kind: type) -> Container | None:
    for base in kind.__mro__:
        if base in _families:
            return _families[base]
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return NAMED
    if issubclass(kind, (list, tuple)):
        return LISTED
    return DICT if issubclass(kind, dict) else None


def register(kind: type, container: Container, derived: bool = False) -> None:
    """Objects of this type (and of types derived from it) are containers from now on."""
    if kind in _registered or kind in _families:
        raise ArgumentError(f"tree: {kind.__name__} is registered already; need one registration")
    (_families if derived else _registered)[kind] = container
    _known.clear()
    _known.update(_registered)


def is_unregistered(leaf: Any) -> bool:
    """Is `leaf` a dataclass whose fields trees do not know of?"""
    return dataclasses.is_dataclass(leaf) and not isinstance(leaf, type)


def fields_of(kind: type) -> tuple[list[str], list[str]]:
    """The fields of a dataclass that are children, and those said to be static."""
    fields = [field for field in dataclasses.fields(kind) if field.init]
    static = [field.name for field in fields if field.metadata.get("static")]
    return [field.name for field in fields if field.name not in static], static


def _as_key(key: Any) -> Key:
    if isinstance(key, (DictKey, SequenceKey, GetAttrKey, FlattenedIndexKey)):
        return key
    return GetAttrKey(key) if isinstance(key, str) else DictKey(key)


def _sorted(keys: Iterable[Any]) -> tuple[Any, ...]:
    """In an order that does not depend on how the dict was filled, where there is one."""
    try:
        return tuple(sorted(keys))
    except TypeError:
        pass
    try:
        return tuple(sorted(keys, key=lambda key: (type(key).__qualname__, key)))
    except TypeError:
        return tuple(keys)


def _article(name: str) -> str:
    return f"an {name}" if name[:1] in "AEIOUaeiou" else f"a {name}"
