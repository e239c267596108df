"""What is noted down while `am.jit` runs a function to learn its graph.

Nothing is computed meanwhile. Handles that existed before and are rebound inside are noted with the
node they had, so that the jitted function can rebind them at every call, and so that a function
that raises half-way leaves every handle as it was.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from ambos.core.dtype import DType, as_dtype
from ambos.core.errors import AmbosError, TracingError, user_text
from ambos.core.shape import Shape
from ambos.graph.lines import line_of
from ambos.graph.node import Node, tracking
from ambos.ops.sources import data
from ambos.tensor.array import Array, is_dense
from ambos.tensor.counting import has_gradient_alone
from ambos.tensor.resting import Handle, changed, peek, put_gradient, rebind
from ambos.tensor.rewrites import rewritten

HostValue = Callable[[], "int | float"]
Look = Callable[[], Any]  # at something outside; what it gives can be compared


# Nodes are shared by all threads. While one of them settles what has to be computed and from what,
# no other gives nodes a value, takes one away or moves one; what runs natively does not hold this.
sharing = threading.RLock()
# A pending node -> the data that it replaces in a handle. Only layouts follow from it, no bits.
renewals: WeakKeyDictionary[Node, Node] = WeakKeyDictionary()
# A pending gradient -> its leaf, in whose layout it comes out: whoever updates the leaf reads both.
likenesses: WeakKeyDictionary[Node, Node] = WeakKeyDictionary()


class Makeup:
    """`version` counts what changes seldom, and what recordings therefore do not look at in every
    call: attributes of modules, the layout of values that handles go on holding."""

    version = 0


makeup = Makeup()


def relay(node: Node, strides: Shape) -> None:
    """Let the value of `node` lie in memory with other strides. Recordings that read it look up
    its new place."""
    with sharing:
        old = node.value
        node.value = old.laid_out(strides)
        makeup.version += 1
        changed(old)


def lie_like(handle: Handle, other: Handle) -> None:
    """Let the value of `handle` lie in memory as that of `other`, where both are of one shape."""
    node, wish = peek(handle), peek(other)
    if node.value is None or wish.value is None or node.shape != wish.shape:
        return
    strides = wish.value.strides
    if strides != node.value.strides and is_dense(node.shape, strides):
        relay(node, strides)


@dataclass(slots=True)
class Guards:
    """What must still be as it was: looked at in every call, or when `makeup.version` moved."""

    # From before the function ran: what it changed itself (a count of calls) has changed.
    version: int = field(default_factory=lambda: makeup.version)
    volatile: list[tuple[Look, Any]] = field(default_factory=list)
    structural: list[tuple[Look, Any]] = field(default_factory=list)
    modes: dict[int, tuple[Look, Any]] = field(default_factory=dict)  # by the ids of modules
    around: tuple[Any, int] | None = None  # in which they were as they are here, when last looked

    def modes_hold(self) -> bool:
        """Are the modules whose modes were read still in these, here and now?"""
        if not self.modes:
            return True
        modes = current.modes
        around = (None if modes is None else modes.token, makeup.version)
        if around != self.around:
            if any(look() != before for look, before in self.modes.values()):
                return False
            self.around = around
        return True

    def everything(self) -> list[tuple[Look, Any]]:
        """What is looked at, and what each look gave."""
        return [*self.structural, *self.modes.values(), *self.volatile]

    def forget_gone(self) -> None:
        """Nobody can change any more what is gone: a look at that gives None."""
        self.structural = [entry for entry in self.structural if entry[0]() is not None]
        self.modes = {of: entry for of, entry in self.modes.items() if entry[0]() is not None}


@dataclass(slots=True)
class Touched:
    """A leaf whose `.grad` the function read or set: what it was before, whether nobody but the
    leaf held it, whether the function has seen it, and whether it has set another."""

    handle: Any
    start: Any
    alone: bool
    seen: bool = False
    is_set: bool = False


class Draws:
    """Random keys by the stream that they come from, and how many have been taken of each. Of
    functions one of which will run, each takes the same ones."""

    def __init__(self, keys: dict[Any, list[Node]] | None = None) -> None:
        self.keys: dict[Any, list[Node]] = {} if keys is None else keys
        self.counts: Counter[Any] = Counter()

    def again(self) -> Draws:
        """The same keys, for another function that begins here."""
        other = Draws(self.keys)
        other.counts.update(self.counts)
        return other

    def take(self, stream: Any) -> Node | None:
        """The next key, where another function has drawn it."""
        place = self.counts[stream]
        self.counts[stream] += 1
        known = self.keys.setdefault(stream, [])
        return known[place] if place < len(known) else None


class Trace:
    """The notes of one run."""

    def __init__(self, op: str) -> None:
        self.op = op
        self.scope: object = object()  # see graph.node.Tracking; nodes live on, notes do not
        self.moved: dict[int, tuple[Any, Node]] = {}  # handles, and the node each had before
        self.made: set[int] = set()  # ids of handles made inside around data
        self.lasting: set[int] = set()  # ids of handles made inside to stay: an optimizer's state
        self.hosts: dict[Node, HostValue] = {}
        self.constants: set[Node] = set()  # data made inside from what Python holds
        self.gradients: dict[int, Touched] = {}
        self.pending: list[ref[Any]] = []  # handles made or moved inside: no other thread's
        self.undos: list[Callable[[], None]] = []
        self.checks: dict[Node, tuple[type[AmbosError], str]] = {}  # what must be False
        self.guards = Guards()
        self.guarded: dict[int, Any] = {}  # objects with a guard, held so that no id is used twice
        self.kept: list[Any] = []  # made inside: held, so that no id is used twice
        self.draws = Draws()
        self.asked: set[int] = set()  # ids of handles whose identity somebody wanted

    def note_move(self, handle: Handle) -> None:
        """`handle` is about to be rebound."""
        self.moved.setdefault(id(handle), (handle, handle._node))

    def forget_move(self, handle: Handle) -> None:
        """`handle`, of which there was no note, holds again what it held."""
        self.moved.pop(id(handle), None)

    def note_made(self, handle: Handle) -> None:
        """`handle` is new and has a value."""
        self.made.add(id(handle))
        self.kept.append(handle)

    def is_inside(self, handle: Handle) -> bool:
        """Was `handle` made inside?"""
        number = id(handle)
        return number in self.made or (handle._node.value is None and number not in self.moved)

    def let_go(self) -> list[ref[Any]]:
        """What has a guard, held weakly from now on."""
        found = [ref(of) for of in self.guarded.values() if not isinstance(of, ref)]
        self.guarded.clear()
        return found

    def note_built(self, of: Any) -> None:
        """`of` was built inside from what has a guard, and needs none."""
        number, guarded = id(of), self.guarded
        guarded[number] = ref(of, lambda _: guarded.pop(number, None))

    def note_lasting(self, handles: Iterable[Handle]) -> None:
        """`handles` go on from call to call."""
        self.lasting |= set(map(id, handles))

    def note_gradient(self, handle: Handle, sets: bool) -> None:
        """`.grad` of `handle` is about to be read or set."""
        number = id(handle)
        touched = self.gradients.get(number)
        if touched is None:
            if self.is_inside(handle):
                return
            alone = has_gradient_alone(handle)
            touched = self.gradients[number] = Touched(handle, handle._grad, alone)
        touched.seen |= not (sets or touched.is_set)
        touched.is_set |= sets

    def may_see(self, node: Node) -> bool:
        """Has `node` a value of its own that may be looked at meanwhile?"""
        return False

    def roll_back(self) -> None:
        """Every handle and every stream of host values as it was before."""
        for handle, node in self.moved.values():
            rebind(handle, node)
        self.restore_gradients()
        for undo in reversed(self.undos):
            undo()

    def restore_gradients(self) -> None:
        """Every `.grad` as it was before."""
        for touched in self.gradients.values():
            put_gradient(touched.handle, touched.start)


class _Current(threading.local):
    """The trace that runs in this thread, if any, and the modes that modules have here."""

    trace: Trace | None = None
    modes: Any = None  # `nn.modes.Modes`; its `token` is one object while they stay


current = _Current()


def enter(trace: Trace | None) -> None:
    """What this thread does from now on belongs to `trace`."""
    current.trace = trace
    tracking.scope = None if trace is None else trace.scope


def host_value(dtype: DType | str, shape: tuple[int, ...], value: HostValue) -> Node:
    """Data of 8 bytes in all that Python knows: now, and in a jitted function anew at every call.

    `value` gives a float for float64 and the bits as an unsigned integer for other dtypes.
    """
    kind = as_dtype(dtype)
    first = value()
    bits = np.asarray(first, np.float64 if isinstance(first, float) else np.uint64)
    node = data.leaf(Array.from_numpy(bits.reshape(1).view(kind.name).reshape(shape)), shape, kind)
    if current.trace is not None:
        current.trace.hosts[node] = value
    return node


@contextmanager
def paused() -> Iterator[None]:
    """Outside of any trace: what happens once (a lazy layer's first call) is no part of it."""
    trace = current.trace
    enter(None)
    try:
        yield
    finally:
        enter(trace)


def guard(value: Look, structural: bool = False) -> None:
    """A jitted function that is being traced holds only while `value()` stays as it is now.

    `structural`: whoever changes it raises `makeup.version`.
    """
    if current.trace is not None:
        guards = current.trace.guards
        (guards.structural if structural else guards.volatile).append((value, value()))


def guard_object(of: Any, look: Callable[[], Look]) -> None:
    """The same, once for an object that is met many times: `look()` says what to look at. Whoever
    changes it raises `makeup.version`."""
    trace = current.trace
    if trace is not None and id(of) not in trace.guarded:
        depend_on(of)
        guard(look(), structural=True)


def guard_mode(of: Any, look: Look) -> None:
    """The same for what functions seldom look at in an object that has a guard: its mode."""
    trace = current.trace
    if trace is None or trace.guarded.get(id(of)) is not of:  # built inside, in the mode of what
        return  # it was built from
    if id(of) not in trace.guards.modes:
        trace.guards.modes[id(of)] = look, look()


def depend_on(of: Any) -> None:
    """A jitted function that is being traced holds only as long as there is `of`."""
    if current.trace is not None:
        current.trace.guarded.setdefault(id(of), of)


def look_outside(node: Node) -> AbstractContextManager[None]:
    """For the time of a look at the value of `node`: outside of the traced function, if there is
    one that `node` does not depend on.

    Errors: TracingError where the value is still to come.
    """
    trace = current.trace
    if trace is None:
        return nullcontext()
    if trace.may_see(node):
        return paused()
    line = line_of(node)
    made = f" (made at {line})" if line else ""
    raise TracingError(
        f"{trace.op}: the value of {node.dtype.name}{list(node.shape)}{made} is looked at inside "
        "the traced function (if, print, .item(), float, bool, .numpy()); its graph is recorded "
        f"once, before there are values; {rewritten(user_text())}"
    )


def refuse_size(op: str, fix: str) -> None:
    """Raise if a function is traced: how large the result of `op` is depends on values."""
    trace = current.trace
    if trace is not None:
        raise TracingError(
            f"{trace.op}: {op} inside the traced function: how large its result is depends on "
            "values, and the graph is recorded once, before there are values; need sizes that are "
            f"known: {fix}, or use {op} outside and pass the result in"
        )
