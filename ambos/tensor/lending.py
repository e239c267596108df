"""Handles that hold something else for a while: a module is called with other parameters.

Whoever reads such a handle meanwhile (tied weights, a list of layers, a function made in a
constructor) reads what it was lent.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ambos.core.errors import ArgumentError
from ambos.graph.node import Node
from ambos.tensor.resting import Handle, rebind
from ambos.tensor.tracing import current

_lock = threading.Lock()
_borrowers: dict[int, list[int]] = {}  # id of a handle -> threads, one for each loan


@contextmanager
def lent(op: str, handles: Sequence[Handle], nodes: Sequence[Node]) -> Iterator[None]:
    """`handles` hold `nodes` meanwhile; afterwards everything is as it was before, and no trace
    knows of it.

    Errors: ArgumentError where another thread has lent one of them.
    """
    trace = current.trace
    _borrow(op, handles)
    fresh = [h for h in handles if trace is not None and id(h) not in trace.moved]
    olds = [handle._node for handle in handles]
    for handle, node in zip(handles, nodes, strict=True):
        rebind(handle, node)
    try:
        yield
    finally:
        for handle, node in zip(handles, olds, strict=True):
            rebind(handle, node)
        if trace is not None:
            for handle in fresh:
                trace.forget_move(handle)
        _give_back(handles)


def _borrow(op: str, handles: Sequence[Handle]) -> None:
    thread = threading.get_ident()
    with _lock:
        if any(borrower != thread for h in handles for borrower in _borrowers.get(id(h), ())):
            raise ArgumentError(
                f"{op}: another thread is calling this module with tensors of its own; need a "
                "module for each thread (copy.deepcopy), or calls that take turns"
            )
        for handle in handles:
            _borrowers.setdefault(id(handle), []).append(thread)


def _give_back(handles: Sequence[Handle]) -> None:
    with _lock:
        for handle in handles:
            loans = _borrowers[id(handle)]
            loans.pop()
            if not loans:
                del _borrowers[id(handle)]
