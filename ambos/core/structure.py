"""Structure: what is left of a tree when its leaves are taken out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from ambos.core.containers import Container, container_of
from ambos.core.errors import ArgumentError
from ambos.core.paths import ROOT, Key, Path, StateKey

IsLeaf = Callable[[Any], bool]


class Structure:
    """The shape of a tree: hashable, and equal for trees whose containers are equal. `kind` is the
    container's type, or None for a leaf; `template` is what building takes besides and comparing
    does not look at."""

    __slots__ = (
        "_hash", "aux", "children", "has_state", "has_template", "is_flat", "keys", "kind",
        "num_leaves", "template",
    )  # fmt: skip
    _hash: int
    num_leaves: int
    has_state: bool  # something below is kept, but not trained
    has_template: bool
    is_flat: bool  # all children are leaves

    def __init__(
        self, kind: type | None, keys: tuple[Any, ...] = (), children: tuple[Structure, ...] = (),
        aux: Hashable = None, template: Any = None,
    ) -> None:  # fmt: skip
        self.kind, self.keys, self.children = kind, keys, children
        self.aux, self.template = aux, template
        self.has_state, self.has_template = False, template is not None
        self.num_leaves = 1 if kind is None else len(children)
        below: Hashable = self.num_leaves
        # Most children are leaves, and there may be hundreds of them.
        self.is_flat = not children or children.count(LEAF) == len(children)
        if not self.is_flat:
            self.num_leaves = sum([child.num_leaves for child in children])
            self.has_state = any(child.has_state for child in children)
            self.has_template |= any(child.has_template for child in children)
            below = tuple([child._hash for child in children])
        try:
            self._hash = hash((kind, keys, aux, below))
        except TypeError as error:
            raise ArgumentError(
                f"tree: {kind.__name__ if kind else 'a leaf'} has {error} among what it keeps "
                "beside its children; need hashable values there (a tuple, not a list)"
            ) from None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Structure) and self._hash == other._hash and self.kind is other.kind
            and self.keys == other.keys and self.aux == other.aux
            and self.children == other.children
        )  # fmt: skip

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Structure({self})"

    def __str__(self) -> str:
        if self.kind is None:
            return "*"
        return self.container.show(self.kind, self.keys, self.aux, [*map(str, self.children)])

    @property
    def container(self) -> Container:
        """How nodes of this kind are taken apart and built."""
        found = container_of(self.kind or object)
        if found is None:
            raise ArgumentError(f"tree: {self} is a leaf; need a container")
        return found

    def steps(self) -> Iterator[tuple[Key, Structure]]:
        """The children with the keys that lead there."""
        if self.kind is None:
            return iter(())
        return zip(
            self.container.path_keys(self.kind, self.keys, len(self.children)), self.children,
            strict=True,
        )  # fmt: skip

    def paths(self, start: Path = ROOT) -> Iterator[Path]:
        """The way to each leaf, in order."""
        if self.kind is None:
            yield start
        for key, child in self.steps():
            yield from child.paths(start.to(key))

    def build(self, leaves: Iterator[Any]) -> Any:
        """The tree with these leaves."""
        if self.kind is None:
            return next(leaves)
        if self.is_flat:
            children = [*islice(leaves, len(self.children))]
        else:
            children = [next(leaves) if child.kind is None else child.build(leaves)
                        for child in self.children]  # fmt: skip
        return self.container.build(self, children)

    def templates(self) -> Iterator[Any]:
        """What building takes besides, of all nodes that have such a thing."""
        if self.template is not None:
            yield self.template
        for child in self.children:
            yield from child.templates()

    def states(self) -> list[bool]:
        """For each leaf: is it what a module keeps but does not train?"""
        if not self.has_state:
            return [False] * self.num_leaves
        found: list[bool] = []
        for key, child in self.steps():
            is_state = isinstance(key, StateKey)
            found += [True] * child.num_leaves if is_state else child.states()
        return found


LEAF = Structure(None)


def take_apart(tree: Any, leaves: list[Any], is_leaf: IsLeaf | None = None) -> Structure:
    """The structure of `tree`, whose leaves are appended to `leaves`."""
    container = container_of(tree.__class__)
    if container is None or (is_leaf is not None and is_leaf(tree)):
        leaves.append(tree)
        return LEAF
    found, keys, aux, template = container.parts(tree)
    leaf_kind: type | None = None  # the one met last
    children, inner = [], []
    for child in found:  # leaves are most of what there is: no call for them
        if child.__class__ is leaf_kind or container_of(child.__class__) is None:
            leaf_kind = child.__class__
            leaves.append(child)
            children.append(LEAF)
        else:
            inner.append(take_apart(child, leaves, is_leaf))
            children.append(inner[-1])
    kind, has_state = tree.__class__, container.has_state(keys)
    is_plain = template is None and not has_state and (aux is None or aux.__class__ is int)
    if is_plain and not [child for child in inner if child.has_template or child.has_state]:
        return kept(kind, keys, tuple(children) if inner else len(children), aux)
    structure = Structure(kind, keys, tuple(children), aux, template)
    structure.has_state |= has_state
    return structure


MOST_KEPT = 4096
_kept: dict[Hashable, Structure] = {}


def kept(kind: type, keys: tuple[Any, ...], children: Any, aux: Hashable) -> Structure:
    """The structure of a plain container with these children, or so many leaves. Calls of a
    function have the same ones over and over, and to find one takes a third of making it."""
    key = kind, keys, tuple(map(type, keys)), children  # 1 and True are equal, but not the same
    found = _kept.get(key)
    if found is None:
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        below = (LEAF,) * children if isinstance(children, int) else children
        found = _kept[key] = Structure(kind, keys, below, aux)
    return found


def difference(
    one: Structure, other: Structure, names: Sequence[str] = ("the first", "the second"),
    at: Path = ROOT,
) -> str:  # fmt: skip
    """Where two structures differ first, in words, and the fix; nothing where they do not. A leaf
    of `one` stands for anything."""
    if one.kind is None:
        return ""
    if not alike(one, other):
        where = f"at {at}" if at else "at the top"
        return f"{where} {names[0]} has {described(one)}, {names[1]} {described(other)}; need " + (
            _fix(one, other)
        )
    for (key, child), counterpart in zip(one.steps(), other.children, strict=True):
        found = difference(child, counterpart, names, at.to(key))
        if found:
            return found
    return ""


def first_difference(one: Structure, other: Structure, at: Path = ROOT) -> Path | None:
    """The way to the first nodes that consist of different things."""
    if not alike(one, other):
        return at
    for (key, child), counterpart in zip(one.steps(), other.children, strict=True):
        found = first_difference(child, counterpart, at.to(key))
        if found is not None:
            return found
    return None


def below(node: Structure, path: Path) -> Structure:
    """What `path` leads to."""
    for key in path:
        node = dict(node.steps())[key]
    return node


def alike(one: Structure, other: Structure) -> bool:
    """Do two nodes, what is below them apart, consist of the same?"""
    return (
        one.kind is other.kind and one.keys == other.keys and one.aux == other.aux
        and len(one.children) == len(other.children)
    )  # fmt: skip


def described(node: Structure) -> str:
    """A node in a few words."""
    if node.kind is None:
        return "a leaf"
    return node.container.describe(node.kind, node.keys, node.aux, len(node.children))


def _fix(one: Structure, other: Structure) -> str:
    if type(None) in (one.kind, other.kind):
        return ("the same on both sides (None is a container without leaves; "
                "is_leaf=lambda x: x is None makes it a leaf)")  # fmt: skip
    if one.kind is other.kind and one.keys != other.keys:
        missing = [key for key in one.keys if key not in other.keys]
        more = [key for key in other.keys if key not in one.keys]
        parts = [f"{_listed(missing)} there as well"] * bool(missing)
        parts += [f"no {_listed(more)}"] * bool(more)
        return " and ".join(parts) or "the same order of keys"
    return "the same containers on both sides"


def _listed(keys: Iterable[Any]) -> str:
    return ", ".join(map(repr, keys))
