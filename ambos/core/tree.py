"""`am.tree`: nests of dicts, lists, tuples, named tuples, registered dataclasses and modules.

Everything else is a leaf; None is a container without leaves. `is_leaf=` stops at containers of
the caller's choice.
"""

from __future__ import annotations

import builtins
import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

from ambos.core.arguments import checked_all
from ambos.core.containers import (
    Fields,
    Registered,
    container_of,
    fields_of,
    is_unregistered,
    register,
)
from ambos.core.errors import ArgumentError, TracingError
from ambos.core.paths import (
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    Key,
    Path,
    SequenceKey,
    StateKey,
)
from ambos.core.structure import (
    LEAF,
    IsLeaf,
    Structure,
    alike,
    below,
    described,
    difference,
    first_difference,
    take_apart,
)

Kind = TypeVar("Kind", bound=type)
MISSING = object()


# --- apart and together --------------------------------------------------------------------------


def flatten(tree: Any, is_leaf: IsLeaf | None = None) -> tuple[list[Any], Structure]:
    """Leaves in order, and the structure that puts them back.

    Errors: ArgumentError for a tree that contains itself.

    Example:
        >>> leaves, structure = flatten({"b": [1, 2], "a": 3})
        >>> leaves, structure
        ([3, 1, 2], Structure({'a': *, 'b': [*, *]}))
        >>> unflatten(structure, [30, 10, 20])
        {'a': 30, 'b': [10, 20]}
    """
    found: list[Any] = []
    try:
        return found, take_apart(tree, found, is_leaf)
    except RecursionError:
        raise ArgumentError(
            f"tree: {type(tree).__name__} contains itself, or is nested deeper than Python calls; "
            "need a tree"
        ) from None


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """The tree of `structure` with these leaves.

    Errors: ArgumentError for a wrong number of leaves.

    Example:
        >>> unflatten(flatten((1, [2]))[1], "ab")
        ('a', ['b'])
    """
    if not isinstance(structure, Structure):
        raise ArgumentError(f"tree.unflatten: got {type(structure).__name__} first; need the "
                            "structure, then the leaves: unflatten(structure, leaves)")  # fmt: skip
    given = leaves if isinstance(leaves, (list, tuple)) else [*leaves]
    if len(given) != structure.num_leaves:
        raise ArgumentError(f"tree.unflatten: got {len(given)} leaves; need "
                            f"{structure.num_leaves} for {structure}")  # fmt: skip
    return structure.build(iter(given))


def leaves(tree: Any, is_leaf: IsLeaf | None = None) -> list[Any]:
    """The leaves in order.

    Example:
        >>> leaves({"b": (1, None), "a": 2})
        [2, 1]
    """
    return flatten(tree, is_leaf)[0]


def structure(tree: Any, is_leaf: IsLeaf | None = None) -> Structure:
    """What is left of `tree` without its leaves: hashable, equal for trees of equal containers.

    Example:
        >>> structure((1, {"x": None}))
        Structure((*, {'x': None}))
    """
    return flatten(tree, is_leaf)[1]


# --- functions of leaves -------------------------------------------------------------------------


def map(
    function: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf | None = None
) -> Any:  # fmt: skip
    """`function` on each leaf of `tree` and what lies at the same place of further trees (a whole
    tree, where those are deeper).

    Errors: ArgumentError that names the first place where a tree differs.

    Example:
        >>> map(lambda a, b: a + b, {"x": 1, "y": None}, {"x": 2, "y": None})
        {'x': 3, 'y': None}
    """
    found, shape = flatten(tree, is_leaf)
    columns = _columns("map", tree, found, shape, rest)
    return shape.build(iter([function(*row) for row in zip(*columns, strict=True)]))


def map_with_path(
    function: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf | None = None
) -> Any:  # fmt: skip
    """The same with the path of each leaf as the first argument.

    Example:
        >>> map_with_path(lambda path, leaf: f"x{path} = {leaf}", {"a": [5]})
        {'a': ["x['a'][0] = 5"]}
    """
    found, shape = flatten(tree, is_leaf)
    columns = [[*shape.paths()], *_columns("map_with_path", tree, found, shape, rest)]
    return shape.build(iter([function(*row) for row in zip(*columns, strict=True)]))


def flatten_with_path(
    tree: Any, is_leaf: IsLeaf | None = None
) -> tuple[list[tuple[Path, Any]], Structure]:
    """Pairs of path and leaf, and the structure.

    Example:
        >>> [(str(path), leaf) for path, leaf in flatten_with_path({"a": (1, 2)})[0]]
        [("['a'][0]", 1), ("['a'][1]", 2)]
    """
    found, shape = flatten(tree, is_leaf)
    return [*zip(shape.paths(), found, strict=True)], shape


def leaves_with_path(tree: Any, is_leaf: IsLeaf | None = None) -> list[tuple[Path, Any]]:
    """Pairs of path and leaf.

    Example:
        >>> [str(path) for path, _ in leaves_with_path([0, {"x": 1}])]
        ['[0]', "[1]['x']"]
    """
    return flatten_with_path(tree, is_leaf)[0]


def reduce(
    function: Callable[[Any, Any], Any], tree: Any, initializer: Any = MISSING,
    is_leaf: IsLeaf | None = None,
) -> Any:  # fmt: skip
    """The leaves combined from left to right, after `initializer` where one is given.

    Errors: ArgumentError for no leaves and no initializer.

    Example:
        >>> reduce(lambda a, b: a + b, {"x": 1, "y": [2, 3]}, 0)
        6
    """
    found = leaves(tree, is_leaf)
    if initializer is not MISSING:
        return functools.reduce(function, found, initializer)
    if not found:
        raise ArgumentError("tree.reduce: the tree has no leaves; need an initializer")
    return functools.reduce(function, found)


def all(tree: Any, is_leaf: IsLeaf | None = None) -> bool:
    """Are all leaves true?

    Example:
        >>> all({"x": True, "y": [1, 0]}), all(None)
        (False, True)
    """
    return builtins.all(leaves(tree, is_leaf))


def transpose(outer: Structure, inner: Structure | None, tree: Any) -> Any:
    """A tree of trees turned inside out: from `outer` with an `inner` at each leaf to `inner` with
    an `outer` at each leaf. Without `inner`, that of the first is taken.

    Errors: ArgumentError that names the first place where `tree` is not so.

    Example:
        >>> pairs = {"a": (1, 2), "b": (3, 4)}
        >>> transpose(structure({"a": 0, "b": 0}), structure((0, 0)), pairs)
        ({'a': 1, 'b': 3}, {'a': 2, 'b': 4})
    """
    parts = _up_to("transpose", outer, tree)
    if inner is None:
        inner = structure(parts[0]) if parts else LEAF
    rows = [_up_to("transpose", inner, part) for part in parts]
    columns = [[row[place] for row in rows] for place in range(inner.num_leaves)]
    return inner.build(iter([outer.build(iter(column)) for column in columns]))


def _columns(
    name: str, tree: Any, found: list[Any], shape: Structure, rest: Sequence[Any]
) -> list[list[Any]]:  # fmt: skip
    return [found, *(_up_to(name, shape, other) for other in rest)]


def _up_to(name: str, shape: Structure, tree: Any) -> list[Any]:
    """What lies in `tree` where `shape` has leaves."""
    found: list[Any] = []
    if not _matches(shape, tree, found):
        other = structure(tree)
        where = difference(shape, other) or "the trees differ"
        raise ArgumentError(f"tree.{name}: {where}. The structures are {shape} and {other}")
    return found


def _matches(shape: Structure, tree: Any, found: list[Any]) -> bool:
    if shape.kind is None:
        found.append(tree)
        return True
    container = container_of(tree.__class__)
    if container is None or tree.__class__ is not shape.kind:
        return False
    children, keys, aux, _ = container.parts(tree)
    if keys != shape.keys or aux != shape.aux:
        return False
    children = [*children]
    return len(children) == len(shape.children) and builtins.all(
        _matches(part, child, found) for part, child in zip(shape.children, children, strict=True)
    )


# --- prefixes ------------------------------------------------------------------------------------


def broadcast_prefix(
    prefix: Any, tree: Any, is_leaf: IsLeaf | None = None,
    names: tuple[str, str] = ("the prefix", "the tree"),
) -> list[Any]:  # fmt: skip
    """For each leaf of `tree` (or of its structure) the leaf of `prefix` that stands for it: its
    own, or one further up.

    Errors: ArgumentError that names the first place where `prefix` does not fit.

    Example:
        >>> broadcast_prefix({"a": 0, "b": (1, 2)}, {"a": ["x", "y"], "b": ("z", "w")})
        [0, 0, 1, 2]
        >>> broadcast_prefix(None, {"a": ["x", "y"]}, is_leaf=lambda x: x is None)
        [None, None]
    """
    full = tree if isinstance(tree, Structure) else structure(tree)
    top = structure(prefix, is_leaf)
    found = leaves(prefix, is_leaf)
    counts = _spread(top, full)
    if counts is None:
        where = difference(top, full, names)
        raise ArgumentError(f"tree: {where}. {names[0]}: {top}; {names[1]}: {full}; a leaf covers "
                            "all that lies below it")  # fmt: skip
    return [leaf for leaf, count in zip(found, counts, strict=True) for _ in range(count)]


def _spread(top: Structure, full: Structure) -> list[int] | None:
    """For each leaf of `top` the number of leaves that it stands for; None where it is no prefix"""
    if top.kind is None:
        return [full.num_leaves]
    if not alike(top, full):
        return None
    counts: list[int] = []
    for child, counterpart in zip(top.children, full.children, strict=True):
        part = _spread(child, counterpart)
        if part is None:
            return None
        counts += part
    return counts


# --- kinds of one's own --------------------------------------------------------------------------


def register_node(
    kind: Kind, flatten: Callable[[Any], tuple[Iterable[Any], Hashable]],
    unflatten: Callable[[Any, tuple[Any, ...]], Any],
    flatten_with_keys: Callable[[Any], tuple[Iterable[tuple[Any, Any]], Hashable]] | None = None,
) -> Kind:  # fmt: skip
    """Objects of class `kind` are containers from now on: `flatten(x)` gives (children, the rest),
    which is hashable and compared; `unflatten(rest, children)` is its opposite.

    With `flatten_with_keys` the children are pairs of key and child: names of attributes, or one of
    this module's keys; they are what paths in messages consist of.

    Errors: ArgumentError for what is no class, or is a container already.

    Example:
        >>> class Pair:
        ...     def __init__(self, a, b):
        ...         self.a, self.b = a, b
        >>> _ = register_node(Pair, lambda p: ((p.a, p.b), None), lambda _, ab: Pair(*ab))
        >>> leaves([Pair(1, 2), 3])
        [1, 2, 3]
    """
    if not isinstance(kind, type):
        raise ArgumentError(f"tree.register_node: got {type(kind).__name__}; need a class")
    take = flatten if flatten_with_keys is None else flatten_with_keys
    register(kind, Registered(take, unflatten, flatten_with_keys is not None))
    return kind


def register_dataclass(
    kind: Any = None, data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
) -> Any:  # fmt: skip
    """A dataclass as a container: its fields are children, but for those that are static, which
    are compared: named in `meta_fields`, or made by `field(metadata={"static": True})`. Above
    `@dataclass`, or called with a class.

    Errors: ArgumentError for what is no dataclass, and for fields that are not there or left out.

    Example:
        >>> from dataclasses import dataclass, field
        >>> @register_dataclass
        ... @dataclass
        ... class State:
        ...     position: float
        ...     name: str = field(metadata={"static": True})
        >>> map(lambda x: 2 * x, State(1.5, "a"))
        State(position=3.0, name='a')
    """
    if kind is None:
        return functools.partial(
            register_dataclass, data_fields=data_fields, meta_fields=meta_fields
        )
    if not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
        name = getattr(kind, "__name__", type(kind).__name__)
        raise ArgumentError(f"tree.register_dataclass: got {name}, which is no dataclass; need "
                            "@register_dataclass above @dataclass")  # fmt: skip
    data, meta = fields_of(kind)
    if data_fields is not None or meta_fields is not None:
        everything = {*data, *meta}
        meta = [*(meta_fields if meta_fields is not None else everything - {*(data_fields or ())})]
        data = [*(data_fields if data_fields is not None else everything - {*meta})]
        order = [*dataclasses.fields(kind)]
        if len(data) + len(meta) != len(everything) or {*data, *meta} != everything:
            raise ArgumentError(
                f"tree.register_dataclass: {kind.__name__} has the fields "
                f"{', '.join(f.name for f in order if f.init)}; got data_fields {data} and "
                f"meta_fields {meta}; need each field once"
            )
        data = [field.name for field in order if field.name in data]
        meta = [field.name for field in order if field.name in meta]
    register(kind, Fields(tuple(data), tuple(meta)))
    return kind


def is_object(node: Any) -> bool:
    """Is `node` a module as its constructor made it: itself, where one built from leaves is their
    container?"""
    return getattr(node, "_is_value", True) is False


def refuse_changes(
    op: str, structure: Structure, leaves: Sequence[Any], now: Any,
    name: Callable[[Path], str] = "argument{}".format,
) -> None:  # fmt: skip
    """Raise where a function has changed the containers that it was given, which are built for it:
    nobody outside would see it. `structure` and `leaves` are what `now` was built from."""
    found, after = flatten(now, is_object)
    if after == structure and builtins.all(a is b for a, b in zip(found, leaves, strict=True)):
        return
    path, words = first_difference(structure, after), "another value"
    if path is None:
        paths = zip(structure.paths(), found, leaves, strict=True)
        path = next(path for path, new, old in paths if new is not old)
    else:
        words = f"{described(below(after, path))}, and was {described(below(structure, path))}"
    raise TracingError(
        f"{op}: the function changes {name(path)} in place, now {words}; it runs on a copy of its "
        "arguments, so nobody outside would see that; need the new value among its results"
    )


def refuse_unregistered(op: str, leaf: Any, where: str) -> None:
    """Raise for a dataclass that is not registered: what it holds would go unseen."""
    if is_unregistered(leaf):
        name = type(leaf).__name__
        raise ArgumentError(
            f"{op}: {where} is {name}, a dataclass that trees do not know; need "
            f"@am.tree.register_dataclass above @dataclass of {name}"
        )


PUBLIC = (
    "all", "broadcast_prefix", "flatten", "flatten_with_path", "leaves", "leaves_with_path", "map",
    "map_with_path", "reduce", "register_dataclass", "register_node", "structure", "transpose",
    "unflatten",
)  # fmt: skip
checked_all(PUBLIC, globals())
__all__ = [
    "LEAF", "DictKey", "FlattenedIndexKey", "GetAttrKey", "IsLeaf", "Key", "Path", "SequenceKey",
    "StateKey", "Structure", "all", "broadcast_prefix", "described", "difference", "flatten",
    "flatten_with_path", "is_object", "leaves", "leaves_with_path", "map", "map_with_path",
    "reduce", "refuse_changes", "refuse_unregistered", "register_dataclass", "register_node",
    "structure", "transpose", "unflatten",
]  # fmt: skip
