"""The pending handles, held weakly, and what is computed when somebody looks at one.

Looking at a value computes every live handle that shares pending work with it: a variable that
the user still holds is never computed twice, and a temporary that nobody holds is fused away.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary, ref

from ambos.core.config import number
from ambos.core.errors import AmbosError, TracingError
from ambos.core.unknown import has_unknown
from ambos.graph.constants import is_constant
from ambos.graph.node import Node, apart, pending
from ambos.ops.movement import detach
from ambos.ops.sources import data
from ambos.tensor.resting import Handle, rebind
from ambos.tensor.tracing import current, sharing


class Settings:
    """`limit`: so many recorded handles since the last look make the graph flush by itself, so
    that a loop that never looks neither grows without bound nor outgrows the compiler."""

    limit: int = number("AMBOS_PENDING", 4_000, 1)
    most_holding: int = 10_000


settings = Settings()


class References(list[ref[Any]]):
    """A list that can be found without being kept."""

    __slots__ = ("__weakref__",)


class _Waiting(threading.local):
    """The pending handles that this thread has made: no other computes or settles them unasked,
    since their thread may be about to bind them to something else."""

    def __init__(self) -> None:
        # Appending a weak reference costs 0.1 us; dead ones are dropped at the next flush.
        self.handles = References()
        _lists[:] = [*(known for known in _lists if known() is not None), ref(self.handles)]


_lists: list[ref[References]] = []  # of all threads
_waiting = _Waiting()
# Handles that hold data, by id. Dead ones go when there are many.
_holding: dict[int, ref[Any]] = {}
_leaves: WeakKeyDictionary[Node, ref[Any]] = WeakKeyDictionary()


def register(handle: Handle) -> None:
    """`handle` holds a pending node."""
    if current.trace is not None:  # other threads compute meanwhile, but nothing of this
        current.trace.pending.append(ref(handle))
        return
    waiting = _waiting.handles
    waiting.append(ref(handle))
    if len(waiting) > settings.limit:
        flush()


def hold(handle: Handle) -> None:
    """`handle` has a value: a recording that reads it will ask who does."""
    _holding[id(handle)] = ref(handle)
    if len(_holding) > settings.most_holding:
        for number, reference in list(_holding.items()):
            if reference() is None and _holding.get(number) is reference:
                del _holding[number]
        settings.most_holding = max(10_000, 2 * len(_holding))


def handles() -> list[Any]:
    """Every live handle that holds data, or waits for it outside of a trace."""
    lists = [list(known() or ()) for known in _lists]
    found = [reference() for reference in itertools.chain(list(_holding.values()), *lists)]
    return list({id(handle): handle for handle in found if handle is not None}.values())


def adopt(handles: list[ref[Any]]) -> None:
    """What a trace has left behind is pending like anything else."""
    _waiting.handles.extend(handles)


def register_leaf(handle: Handle) -> None:
    """Gradients of `handle`'s node belong to `handle`."""
    _leaves[handle._node] = ref(handle)


def leaf_handle(node: Node) -> Any:
    """The live handle whose gradient `node` stands for, or None."""
    found = _leaves.get(node)
    return None if found is None else found()


def leaf_node(node: Node, tracked: bool) -> Node:
    """A node of its own identity with the value of `node`: where gradients end.

    While `node` is pending the result hangs below it but stops gradients; `settle` cuts it off.
    So it does while a function is traced, which reads what `node` will hold at every call.
    """
    if node.value is not None and current.trace is None:
        return data.leaf(node.value, node.shape, node.dtype, tracked)
    if not tracked:
        return detach(node)
    # Not interned: two parameters with equal initial values must not share their gradients.
    return apart(detach, (), node, True)


def settle(handle: Handle) -> None:
    """Let go of the graph behind a computed value, unless gradients still need it."""
    node = handle._node
    if node.value is None:
        return
    if is_constant(node):
        rebind(handle, data.leaf(node.value, node.shape, node.dtype))
    if not node.inputs:
        return
    if not node.tracked:
        rebind(handle, data.leaf(node.value, node.shape, node.dtype))
    elif node.op is detach:
        rebind(handle, data.leaf(node.value, node.shape, node.dtype, True))
        # The old node stays registered as well: an older graph may still lead there.
        register_leaf(handle)


def evaluate(handles: Iterable[Handle]) -> None:
    """Compute `handles`, and with them every live handle that shares pending work."""
    if current.trace is not None:  # a traced function is computed when it is called
        return
    asked = list(handles)
    while not _evaluated(asked):  # another thread has let go of a number that it shares
        pass


def _evaluated(asked: list[Handle]) -> bool:
    """Compute `asked`, once. Have all of them a value?"""
    with sharing:
        roots = list(dict.fromkeys(h._node for h in asked if h._node.value is None))
        others = _connected(roots) if roots else []
        nodes = dict.fromkeys([*roots, *(h._node for h in others)])
    if roots:
        try:
            _realize(list(nodes))
        except AmbosError:
            # Whoever is to blame hears of it when it is looked at itself.
            if len(nodes) == len(roots):
                raise
            _realize(roots)
    with sharing:
        if others:
            _settle_all(others)
        for handle in asked:
            settle(handle)
            if roots:
                hold(handle)
        forget_constants(nodes)
        return all(handle._node.value is not None for handle in asked)


def forget_constants(nodes: Iterable[Node]) -> None:
    """Numbers stay numbers: only the handles that were looked at hold them as data."""
    for node in nodes:
        if is_constant(node):
            node.value = None


def flush() -> None:
    """Compute every live pending handle. What cannot be computed fails when it is looked at."""
    with sharing:
        handles = _connected(())
    try:
        _realize(list(dict.fromkeys(handle._node for handle in handles)))
    except AmbosError:
        for handle in handles:
            with contextlib.suppress(AmbosError):
                _realize([handle._node])
    with sharing:
        nodes = [handle._node for handle in handles]
        _settle_all(handles, failed=True)
        forget_constants(nodes)


def _realize(nodes: list[Node]) -> None:
    from ambos.tensor.realize import realize  # the compiler is loaded when it is first needed

    realize(nodes)


def _settle_all(handles: list[Handle], failed: bool = False) -> None:
    """`handles` wait no longer: who has a value is known to hold it, and who has none stays, unless
    it `failed`."""
    for handle in handles:
        settle(handle)
    tried = set(map(id, handles)) if failed else set()
    waiting = {}
    for reference in _waiting.handles:
        found = reference()
        if found is not None and found._node.value is not None:
            hold(found)
        elif found is not None and id(found) not in tried:
            waiting[id(found)] = reference
    _waiting.handles[:] = list(waiting.values())


def pending_handles(references: Iterable[ref[Any]] | None = None) -> list[Any]:
    """Live handles that wait for a value, each once; those of this thread unless given."""
    found = {}
    for reference in list(_waiting.handles if references is None else references):
        handle = reference()
        if handle is not None and handle._node.value is None:
            found[id(handle)] = handle
    return list(found.values())


CONSTANTS = ("constant", "iota")
VALUELESS = ("input", "argument")
APART, SHARED, ABSTRACT = 0, 1, 2  # unrelated work, work that is due, a traced function's value


def _connected(roots: Sequence[Node]) -> list[Handle]:
    """The live pending handles that share work with `roots`; without roots all of them.

    Constants alone are not work: two graphs that both use 2.0 have nothing to do with each other.
    """
    everything = not roots
    state: dict[Node, int] = {}
    for node in pending(roots):
        state[node] = SHARED
        if node.op.name in CONSTANTS:
            state[node] = APART
        elif node.op.name in VALUELESS and node.value is None:
            if node.attrs:  # which say where the value went
                raise TracingError(f"evaluate: {node.attrs[0]}")
            raise TracingError(
                f"evaluate: {node.dtype.name}{list(node.shape)} depends on the arguments of a "
                "function that is or was being traced, and has no value; need tensor operations "
                "only inside: return the value, or use am.where in place of if"
            )
        elif node.inputs and node.value is None:
            state[node] = max(_work(source, state) for source in node.inputs)
    found = []
    live = [(handle, handle._node) for handle in pending_handles()]
    for node in pending(node for _, node in live):
        if node not in state:
            is_open = node.op.name in VALUELESS and node.value is None
            abstract = is_open or has_unknown(node.attrs)
            state[node] = ABSTRACT if abstract else _inherited(node, state)
    for handle, node in live:
        due = state[node] == SHARED or node in roots
        if due or (everything and state[node] != ABSTRACT):
            found.append(handle)
    return found


def _work(source: Node, state: dict[Node, int]) -> int:
    """Of a node that is due: does it compute with data?"""
    is_data = source.value is not None and source.op.name not in CONSTANTS
    return SHARED if is_data else state[source]


def _inherited(node: Node, state: dict[Node, int]) -> int:
    """Of a node that is not due: what its pending inputs make of it."""
    if node.value is not None:
        return APART
    return max((state[source] for source in node.inputs if source.value is None), default=APART)
