"""Handles at rest: what nobody looks at, a jitted function need not look at either.

A recording depends on what hundreds of handles hold, and asking each of them takes longer than
their arithmetic. So the handles that some recording depends on are *watched*: whoever gives one of
them another node or another gradient moves `attention.version`, and as long as that stays where it
was, nothing has to be asked.

A watched handle that alone holds its value can be put to *rest*: its node moves from the slot
`_node` to the slot `_kept`. Whoever reads `_node` then finds it empty, and `Tensor.__getattr__`
wakes the handle, which moves the version as well. So while the version stays, nobody can have taken
hold of the value since it was known to be held by the handle alone: it may be written in place, and
no reference has to be counted.

What a jitted function returns is at rest from the start: it keeps an Array, and has no node until
somebody asks for it.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ambos.core.dtype import DType
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.ops.sources import data
from ambos.tensor.array import Array, is_dense
from ambos.tensor.counting import is_alone


class Handle(Protocol):
    """What this file knows of a Tensor."""

    _node: Node  # empty at rest
    _grad: Any
    _kept: Any  # a node or an Array at rest; else AWAKE, or None if no recording depends on it


class Awake:
    """What a watched handle keeps that is not at rest."""


class Attention:
    """`version` is another object after each change of a watched handle."""

    __slots__ = ("version",)

    def __init__(self) -> None:
        self.version = object()


AWAKE = Awake()
attention = Attention()
changing = threading.RLock()
# Of each call of a jitted function, by the id of the list: what it may still read though no handle
# holds it any more.
_runs: dict[int, list[Any]] = {}


def _in_child() -> None:
    """Another thread of the parent may have held the lock, or been in a call."""
    global changing
    changing = threading.RLock()
    _runs.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def begin() -> list[Any]:
    """A call begins that will read what watched handles hold from now on: all of it stays alive
    until `end`, though other threads may rebind handles meanwhile."""
    run: list[Any] = []
    _runs[id(run)] = run
    return run


def end(run: list[Any]) -> None:
    """That call is over."""
    _runs.pop(id(run), None)


def changed(old: Any) -> None:
    """Something that recordings depend on is no longer `old`."""
    # In this order: a call either sees the change or is known here.
    with changing:
        attention.version = object()
    for run in list(_runs.values()):
        run.append(old)


def observe(handles: Iterable[Handle]) -> None:
    """From now on some recording depends on these."""
    for handle in handles:
        if isinstance(handle._kept, Array):
            wake(handle)
        if handle._kept is None:
            handle._kept = AWAKE


def peek(handle: Handle) -> Node:
    """The node of `handle`, for those who neither keep it nor show it to anybody."""
    kept = handle._kept
    return kept if isinstance(kept, Node) else handle._node


def is_at_rest(handle: Handle) -> bool:
    """Has nobody looked at this watched handle since it was put to rest?"""
    return isinstance(handle._kept, Node)


def rest(handle: Handle) -> bool:
    """Put a watched handle to rest if nobody else holds its value. Is it at rest?"""
    if is_at_rest(handle):
        return True
    with changing:
        handle._kept = handle._node
        del handle._node
        if is_alone(handle):  # counted where nobody can get at it any more
            return True
        handle._node = handle._kept
        handle._kept = AWAKE
    return False


def zeroed(handle: Handle) -> bool:
    """Write zeros over what `handle` holds, if it is at rest: everything stays as recordings expect
    it. Is it done?"""
    kept = handle._kept
    if not isinstance(kept, Node) or kept.value.storage.readonly:
        return False
    array: Array = kept.value
    if not is_dense(array.shape, array.strides):
        return False
    ctypes.memset(array.address, 0, math.prod(array.shape) * array.dtype.itemsize)
    return True


def wake(handle: Handle) -> Node:
    """Somebody looks at a handle at rest; returns its node."""
    with changing:
        kept = handle._kept
        if isinstance(kept, Node):
            handle._node = kept
            handle._kept = AWAKE
            attention.version = object()
        elif isinstance(kept, Array):
            handle._node = data.leaf(kept, kept.shape, kept.dtype)
            handle._kept = None
        # Another thread may have been first; a tensor that is not made yet has no node.
        node: Node = object.__getattribute__(handle, "_node")
    return node


def array_of(handle: Handle) -> Array:
    """What `handle` holds, which has a value, for those who neither keep it nor show it."""
    kept = handle._kept
    if isinstance(kept, Array):
        return kept
    found: Array = peek(handle).value
    return found


def kind_of(handle: Handle) -> tuple[Shape, DType]:
    """Shape and dtype of what `handle` holds, which stays at rest."""
    kept = handle._kept
    held = kept if isinstance(kept, Array) else peek(handle)
    return held.shape, held.dtype


def has_value(handle: Handle) -> bool:
    """Is the value of `handle` known, with no graph behind it?"""
    if isinstance(handle._kept, Array):
        return True
    node = peek(handle)
    return node.value is not None and not node.inputs


def rebind(handle: Handle, node: Node) -> None:
    """`handle` holds `node` from now on."""
    old = peek(handle)
    if handle._kept is None:
        handle._node = node
        if handle._kept is not None:  # since just now
            changed(old)
        return
    with changing:
        handle._node = node
        handle._kept = AWAKE
        changed(old)


def use_up(
    handles: Sequence[Handle], arrays: Sequence[Array], numbers: Iterable[int],
    nodes: Iterable[Node],
) -> None:  # fmt: skip
    """Of the handles of these numbers, those that still hold their array hold a node without value
    from now on."""
    with changing:
        for number, node in zip(numbers, nodes, strict=True):
            handle, array = handles[number], arrays[number]
            if handle._kept is array:
                handle._node = node
                handle._kept = None
            elif array_of(handle) is array:
                rebind(handle, node)


def put_gradient(handle: Handle, grad: Any) -> None:
    """`.grad` of `handle` is `grad` from now on."""
    old, handle._grad = handle._grad, grad
    if handle._kept is not None and old is not grad:
        changed(old)
