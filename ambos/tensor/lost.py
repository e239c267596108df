"""Changes in place that are lost: `x[0].add_(1)` and `x[0][1] = 5` as statements.

Tensors do not alias, so such a statement changes a handle that nobody holds and nobody gets, where
PyTorch would change x. Who holds a handle is told by its references, who gets a result by the
instruction after the call. Where an interpreter does not count what a frame's variables lend to the
stack (Python 3.14), nobody can tell, and nothing is refused.
"""

from __future__ import annotations

import sys
from opcode import opmap
from types import FrameType
from typing import Any

from ambos.core.errors import ArgumentError
from ambos.graph.node import Node

VIEWS = frozenset(("slice", "reshape", "permute", "expand", "window", "real", "imag"))
ITEM = "x[...] = v"
CACHE, DISCARD, STORE = (opmap.get(name, 0) for name in ("CACHE", "POP_TOP", "STORE_SUBSCR"))


def refuse_lost(handle: Any, old: Node, name: str) -> None:
    """An ArgumentError where `handle`, which leaves the view `old`, is lost with its new value. For
    `_rebind`, as called by the method that somebody called."""
    if old.value is not None or old.op.name not in VIEWS:
        return
    count = sys.getrefcount(handle)
    if count == LOST and _is_discarded(sys._getframe(3)):
        instead = "x[0] += 1 for x[0].add_(1), x[:] = 0 for x.view(-1).zero_()"
    elif count == LOST_ITEM and name == ITEM and _is_at_store(sys._getframe(3)):
        instead = "x[0, 1] = 5 for x[0][1] = 5"
    else:
        return
    raise ArgumentError(
        f"{name}: changes a view of shape {old.shape} that nobody holds. A view is a value of its "
        f"own: what it was taken from stays as it is; need an assignment to that: {instead}"
    )


def _is_discarded(frame: FrameType) -> bool:
    """Does nobody get what the call that runs in `frame` gives?"""
    code, after = frame.f_code.co_code, frame.f_lasti + 2
    while code[after] == CACHE:
        after += 2
    return code[after] == DISCARD


def _is_at_store(frame: FrameType) -> bool:
    return frame.f_code.co_code[frame.f_lasti] == STORE


class _Probe:
    """Counts the references to itself as `refuse_lost` does those to a tensor."""

    counts: list[int]

    def method(self) -> None:
        self._rebind()

    def __setitem__(self, index: object, value: object) -> None:
        self._rebind()

    def _rebind(self) -> None:
        _note(self)


def _note(probe: _Probe) -> None:
    _Probe.counts.append(sys.getrefcount(probe))


def _measured() -> tuple[int, int]:
    """The references to a handle that nobody holds, in a method and in an assignment to an index;
    0 where one that is held has as many."""
    _Probe.counts = []
    held = _Probe()
    held.method()
    held[0] = 0
    _Probe().method()
    _Probe()[0] = 0
    held_method, held_item, method, item = _Probe.counts
    return method * (method < held_method), item * (item < held_item)


LOST, LOST_ITEM = _measured()
