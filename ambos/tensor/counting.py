"""Who holds a value? Reference counts tell.

How many references show for what one slot holds differs between versions of Python, so it is
measured once, on objects held in the same way and counted by the same lines.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from sys import getrefcount
from typing import Any

from ambos.graph.node import Node
from ambos.tensor.array import Array


class _Sample:
    __slots__ = ("_grad", "_kept", "_node", "storage", "value")
    _grad: Any
    _kept: Any
    _node: Any
    storage: Any
    value: Any


def _held(handle: Any) -> tuple[int, int, int]:
    node = handle._kept  # where a handle at rest has it
    if not isinstance(node, Node):
        node = handle._node
    array = node.value
    storage = array.storage
    return getrefcount(node), getrefcount(array), getrefcount(storage)


def _held_gradient(owner: Any) -> int:
    return getrefcount(owner._grad)


def _held_array(handle: Any) -> tuple[int, int]:
    array = handle._kept
    storage = array.storage
    return getrefcount(array), getrefcount(storage)


def _all_held(arrays: Sequence[Any]) -> tuple[set[int], set[int]]:
    storages = [array.storage for array in arrays]
    return set(map(getrefcount, arrays)), set(map(getrefcount, storages))


def _measure() -> tuple[tuple[int, int, int], tuple[int, int], int, tuple[set[int], set[int]]]:
    """References to node, array and storage, to array and storage of a handle without node, and to
    a gradient, where one slot holds each; to such an array and storage in two lists. Zeros, which
    are never met, where counts do not tell."""
    handle, node, array = _Sample(), _Sample(), _Sample()
    array.storage, handle._grad, handle._kept = object(), object(), None
    node.value, handle._node = array, node
    result, array = _Sample(), _Sample()
    array.storage, result._kept = object(), array
    del node, array
    counts = _held(handle), _held_array(result), _held_gradient(handle)
    lists = [result._kept], [result._kept]
    both = _all_held(lists[0])
    del lists
    more = [handle._node, handle._node.value, handle._node.value.storage, handle._grad]
    tell = _held(handle) == tuple(n + 1 for n in counts[0])
    more += [result._kept, result._kept.storage]
    tell = tell and _held_array(result) == tuple(n + 1 for n in counts[1])
    tell = tell and _held_gradient(handle) == counts[2] + 1
    del more
    lists = [result._kept], [result._kept, result._kept, result._kept.storage]
    tell = tell and _all_held(lists[0]) == tuple({n + 1 for n in held} for held in both)
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    return (*counts, both) if tell and has_lock else ((0, 0, 0), (0, 0), 0, ({0}, {0}))


(_NODE, _ARRAY, _STORAGE), _ALONE, _GRADIENT, _ALL_ALONE = _measure()


def is_alone(handle: Any, lists: int = 0) -> bool:
    """Do only `handle`, and so many lists of arrays in use, hold its value?"""
    if isinstance(handle._kept, Array):
        return _held_array(handle) == (_ALONE[0] + lists, _ALONE[1])
    return _held(handle) == (_NODE, _ARRAY + lists, _STORAGE)


def are_alone(handles: Sequence[Any], arrays: Sequence[Array]) -> bool:
    """`is_alone` of every one in little time, where all are at rest without a node: `arrays` is
    what they keep, and is in another list besides."""
    return [handle._kept for handle in handles] == arrays and _all_held(arrays) == _ALL_ALONE


def has_gradient_alone(owner: Any) -> bool:
    """Does only `owner` hold the tensor in its `.grad`?"""
    return getrefcount(owner._grad) == _GRADIENT


def has_node_alone(handle: Any) -> bool:
    """Does only `handle` hold its node, and no node read it?"""
    return getrefcount(handle._node) == _GRADIENT  # held in the same way
