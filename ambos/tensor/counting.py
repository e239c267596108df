"""Who holds a value? Reference counts and the garbage collector tell.

How many references show for what one slot holds differs between versions of Python, so it is
measured once, on objects held in the same way and counted by the same lines.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Collection, Sequence
from sys import getrefcount
from types import FrameType
from typing import Any

from ambos.core.containers import container_of
from ambos.core.tree import is_object


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


def _held_gradient(owner: Any) -> int:
    return getrefcount(owner._grad)


def _measure() -> tuple[int, int, int, int]:
    """References to node, array, storage and gradient where one slot holds each, and in the case
    of the array a list besides (of what a running recording reads). Counted in the way in which
    `is_alone` and `has_gradient_alone` do. Zeros, which are never met, where counts do not tell."""
    handle, node, array = _Sample(), _Sample(), _Sample()
    array.storage, handle._grad = object(), object()
    node.value, handle._node = array, node
    alive = [array]
    del node, array
    counts = *_held(handle), _held_gradient(handle)
    more = [handle._node, *alive, handle._node.value.storage, handle._grad]
    tell = (*_held(handle), _held_gradient(handle)) == tuple(n + 1 for n in counts)
    del more
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    return counts if tell and has_lock else (0, 0, 0, 0)


_NODE, _ARRAY, _STORAGE, _GRADIENT = _measure()


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


def has_gradient_alone(owner: Any) -> bool:
    """Does only `owner` hold the tensor in its `.grad`?"""
    return getrefcount(owner._grad) == _GRADIENT


def holders(objects: Sequence[Any], known: Collection[Any]) -> list[Any]:
    """What refers to `objects` beside variables and `known`. A container (of a tree) that only
    variables hold, or other such containers, is left out: so is the tuple in which Python passes
    arguments."""
    if not objects:
        return []
    ours = {id(objects), id(known), *map(id, known)}
    found = [holder for holder in gc.get_referrers(*objects) if id(holder) not in ours]
    ours.add(id(found))
    level = [holder for holder in found if _is_container(holder)]
    inside: dict[int, list[int]] = {id(holder): [] for holder in level}  # and what holds it
    held: list[int] = []
    while level:
        ours.add(id(level))
        above = []
        for holder in gc.get_referrers(*level):
            if id(holder) in ours or type(holder) is FrameType:
                continue
            holds = [number for item in gc.get_referents(holder) if (number := id(item)) in inside]
            if not _is_container(holder):
                held += holds
                continue
            if id(holder) not in inside:
                inside[id(holder)] = []
                above.append(holder)
            inside[id(holder)] += holds
        level = above
    seen: set[int] = set()
    while held:
        number = held.pop()
        if number not in seen:
            seen.add(number)
            held += inside[number]
    return [h for h in found if not _is_container(h) or id(h) in seen]


def _is_container(holder: Any) -> bool:
    """Does it hold its parts only: no module that is itself?"""
    return container_of(type(holder)) is not None and not is_object(holder)


def instances(kind: type) -> list[Any]:
    """Every object of a class and of those derived from it. (An object refers to its class.
    Looking for three classes goes through the heap in a third of the time that looking for
    hundreds of values takes.)"""
    kinds: list[type] = [kind]
    for known in kinds:
        derived: list[type] = type.__subclasses__(known)
        kinds += [other for other in derived if other not in kinds]
    return [found for found in gc.get_referrers(*kinds) if isinstance(found, kind)]
