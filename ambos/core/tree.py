"""Trees: nested dicts, lists, tuples and named tuples; everything else (and None) is a leaf.

Dict keys are visited in sorted order, so that equal dicts give equal trees however they were
filled (an OrderedDict means its own order).
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ambos.core.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class Structure:
    """The shape of a tree. `kind` is the container's type, or None for a leaf."""

    kind: type | None
    keys: tuple[Any, ...] = ()
    children: tuple[Structure, ...] = ()

    @property
    def num_leaves(self) -> int:
        return 1 if self.kind is None else sum(child.num_leaves for child in self.children)


LEAF = Structure(None)


def _parts(tree: Any) -> tuple[tuple[Any, ...], list[Any]] | None:
    """(keys, children) of a container, or None for a leaf."""
    if isinstance(tree, dict):
        keys = tuple(tree)
        if not isinstance(tree, OrderedDict):
            with contextlib.suppress(TypeError):  # keys of several types keep their order
                keys = tuple(sorted(keys))
        return keys, [tree[k] for k in keys]
    if isinstance(tree, (list, tuple)):
        return (), list(tree)
    return None


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """Leaves in order, and the structure that puts them back.

    Example:
        >>> leaves, structure = flatten({"b": [1, 2], "a": 3})
        >>> leaves
        [3, 1, 2]
        >>> unflatten(structure, [30, 10, 20])
        {'a': 30, 'b': [10, 20]}
    """
    parts = _parts(tree)
    if parts is None:
        return [tree], LEAF
    keys, children = parts
    leaves: list[Any] = []
    structures = []
    for child in children:
        below, structure = flatten(child)
        leaves += below
        structures.append(structure)
    return leaves, Structure(type(tree), keys, tuple(structures))


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The tree of `structure` with these leaves."""
    if len(leaves) != structure.num_leaves:
        raise ArgumentError(f"tree: got {len(leaves)} leaves; need {structure.num_leaves}")
    return _build(structure, iter(leaves))


def _build(structure: Structure, leaves: Iterator[Any]) -> Any:
    if structure.kind is None:
        return next(leaves)
    children = [_build(child, leaves) for child in structure.children]
    if issubclass(structure.kind, dict):
        pairs = zip(structure.keys, children, strict=True)
        return dict(pairs) if structure.kind is dict else _same_kind(structure.kind, dict(pairs))
    if hasattr(structure.kind, "_fields"):  # a named tuple
        return structure.kind(*children)
    sequence: Any = structure.kind
    return sequence(children)


def _same_kind(kind: type, pairs: dict[Any, Any]) -> Any:
    try:
        return kind(pairs)
    except TypeError:  # a dict type that is made in another way (defaultdict)
        return pairs


def map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`function` on each leaf of `tree` and the corresponding leaves of trees like it.

    Example:
        >>> map(lambda a, b: a + b, {"x": 1}, {"x": 2})
        {'x': 3}
    """
    leaves, structure = flatten(tree)
    columns = [leaves]
    for other in rest:
        found, shape = flatten(other)
        if shape != structure:
            raise ArgumentError(f"tree.map: trees differ: {tree!r} and {other!r}; need one "
                                "structure")  # fmt: skip
        columns.append(found)
    return unflatten(structure, [function(*row) for row in zip(*columns, strict=True)])


def leaves(tree: Any) -> list[Any]:
    """The leaves in order."""
    return flatten(tree)[0]
