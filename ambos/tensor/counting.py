"""Who holds a value? Reference counts and the garbage collector tell.

How many references show for what one slot holds differs between versions of Python, so it is
measured once, on objects held in the same way and counted by the same lines.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from operator import attrgetter
from sys import getrefcount
from types import FrameType
from typing import Any

from ambos.core.containers import container_of
from ambos.core.tree import is_object

_node, _storage = attrgetter("_node"), attrgetter("storage")


class _Sample:
    __slots__ = ("_grad", "_node", "storage", "value")
    _grad: Any
    _node: Any
    storage: Any
    value: Any


def _held(handle: Any) -> tuple[int, int, int]:
    node = handle._node
    array = node.value
    storage = array.storage
    return getrefcount(node), getrefcount(array), getrefcount(storage)


def _all_held(handles: Sequence[Any], arrays: Sequence[Any]) -> list[set[int]]:
    """The counts that are met in `handles`, of nodes, of arrays and of storages; `arrays` begins
    with their values."""
    values = partial(islice, arrays, len(handles))
    held = map(_node, handles), values(), map(_storage, values())
    return [set(map(getrefcount, objects)) for objects in held]


def _held_gradient(owner: Any) -> int:
    return getrefcount(owner._grad)


def _measure() -> tuple[int, int, int, int, list[set[int]]]:
    """References to node, array, storage and gradient where one slot holds each, and in the case
    of the array a list besides (of what a running recording reads). Counted in the way in which
    `is_alone`, `has_gradient_alone` and `are_alone` do. Zeros, which are never met, where counts do
    not tell."""
    handle, node, array = _Sample(), _Sample(), _Sample()
    array.storage, handle._grad = object(), object()
    node.value, handle._node = array, node
    alive = [array]
    del node, array
    counts, met = (*_held(handle), _held_gradient(handle)), _all_held([handle], alive)
    more = [handle._node, *alive, handle._node.value.storage, handle._grad]
    tell = (*_held(handle), _held_gradient(handle)) == tuple(n + 1 for n in counts)
    tell = tell and _all_held([handle], alive) == [{n + 1 for n in held} for held in met]
    del more
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    return (*counts, met) if tell and has_lock else (0, 0, 0, 0, [{0}, {0}, {0}])


_NODE, _ARRAY, _STORAGE, _GRADIENT, _ALONE = _measure()


def is_alone(handle: Any) -> bool:
    """Do only `handle` and a list of arrays in use hold its value?"""
    node = handle._node
    array = node.value
    storage = array.storage
    return (
        getrefcount(node) == _NODE
        and getrefcount(array) == _ARRAY
        and getrefcount(storage) == _STORAGE
    )


def are_alone(handles: Sequence[Any], arrays: Sequence[Any]) -> bool:
    """`is_alone` of every one (there is at least one), in a third of the time; `arrays` is the list
    of arrays in use, and begins with their values."""
    return _all_held(handles, arrays) == _ALONE


def has_gradient_alone(owner: Any) -> bool:
    """Does only `owner` hold the tensor in its `.grad`?"""
    return getrefcount(owner._grad) == _GRADIENT


def held(objects: Sequence[Any], known: Sequence[Any]) -> set[int]:
    """Ids of those of `objects` that somebody holds beside variables and the containers `known`.

    A container (of a tree) that only variables hold, or other such containers, is nobody: so is the
    tuple in which Python passes arguments. Every step up goes through the whole heap, so the
    containers within `known` are taken together with the objects.
    """
    if not objects:
        return set()
    level = [*objects, *_containers_in(known)]
    contents: dict[int, list[int]] = {id(item): [] for item in level}
    ours = {id(objects), id(known), *map(id, known)}
    found: set[int] = set()
    while level:
        ours.add(id(level))
        above = []
        for holder in gc.get_referrers(*level):
            number = id(holder)
            if number in ours or type(holder) is FrameType:
                continue
            holds = [id(item) for item in gc.get_referents(holder) if id(item) in contents]
            if not _is_container(holder):
                _add_below(holds, contents, found)
                continue
            if number not in contents and not found.issuperset(holds):
                above.append(holder)
            contents.setdefault(number, []).extend(holds)
            if number in found:
                _add_below(holds, contents, found)
        level = above
    return found


def _add_below(numbers: Iterable[int], contents: dict[int, list[int]], found: set[int]) -> None:
    """`numbers` and all that they contain are found."""
    stack = [*numbers]
    while stack:
        number = stack.pop()
        if number not in found:
            found.add(number)
            stack += contents[number]


def _containers_in(known: Sequence[Any]) -> list[Any]:
    """Plain containers within those known, at any depth."""
    found: dict[int, Any] = {}
    stack = list(known)
    while stack:
        outer = stack.pop()
        for item in outer.values() if isinstance(outer, dict) else outer:
            if isinstance(item, (list, tuple, dict)) and id(item) not in found:
                found[id(item)] = item
                stack.append(item)
    for item in known:
        found.pop(id(item), None)
    return list(found.values())


def _is_container(holder: Any) -> bool:
    """Does it hold its parts only: no module that is itself?"""
    return container_of(type(holder)) is not None and not is_object(holder)
