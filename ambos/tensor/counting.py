"""Who holds a value? Reference counts tell.

How many references show for what one slot holds differs between versions of Python, so it is
measured once, on objects held in the same way and counted by the same lines.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from itertools import islice
from operator import attrgetter
from sys import getrefcount
from typing import Any

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
