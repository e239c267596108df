"""Who holds a value? Reference counts and the garbage collector tell.

How many references show for what one slot holds differs between versions of Python, so it is
measured once, on objects held in the same way and counted by the same lines.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Collection, Sequence
from sys import getrefcount
from typing import Any


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
    """What refers to `objects` beside variables and `known`. A plain container that only variables
    hold is left out: so is the tuple in which Python passes arguments."""
    if not objects:
        return []
    ours = {id(objects), *map(id, known)}
    found = [holder for holder in gc.get_referrers(*objects) if id(holder) not in ours]
    plain = [holder for holder in found if type(holder) in (tuple, list, dict)]
    ours |= {id(found), id(plain)}
    held: set[int] = set()
    for holder in gc.get_referrers(*plain) if plain else ():
        if id(holder) not in ours:
            held.update(map(id, gc.get_referents(holder)))
    return [h for h in found if type(h) not in (tuple, list, dict) or id(h) in held]


def instances(kind: type) -> list[Any]:
    """Every object of a class and of those derived from it. (An object refers to its class.
    Looking for three classes goes through the heap in a third of the time that looking for
    hundreds of values takes.)"""
    kinds: list[type] = [kind]
    for known in kinds:
        derived: list[type] = type.__subclasses__(known)
        kinds += [other for other in derived if other not in kinds]
    return [found for found in gc.get_referrers(*kinds) if isinstance(found, kind)]
