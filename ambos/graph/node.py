"""Node: one immutable, hash-consed expression. A graph is what a node reaches through inputs."""

from __future__ import annotations

import atexit
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol
from weakref import ref

from ambos.core.dtype import DType
from ambos.core.errors import ShapeError
from ambos.core.open import Open, listed
from ambos.core.shape import Shape, size_of
from ambos.core.unknown import Size
from ambos.graph.lines import Line, note, noting

Attrs = tuple[Any, ...]
LARGE = 32 << 20  # bytes; who is out of memory wants to know where so much was recorded
MAX_BYTES = 1 << 62  # sizes and offsets stay well within the kernels' 64 bits
MAX_RANK = 64  # NumPy's limit: with more dimensions no value could be looked at


class OpLike(Protocol):
    """What a graph knows of an operation (declared in `ambos.ops`)."""

    @property
    def name(self) -> str: ...

    def infer(self, inputs: tuple[Node, ...], attrs: Attrs) -> tuple[Shape, DType]: ...


class Node:
    """An operation on nodes.

    Equal expressions are one object: making the same node twice returns the first, so common
    subexpressions exist once and a value computed for one holder serves all of them. `value` is
    the only field that changes: the realised data, kept while the node lives. `tracked` says that
    gradients flow through (PyTorch's requires_grad); it is part of the identity. `line` is set
    only while somebody wants to know (`lines.py`), `met` once the expression was written again.
    """

    __slots__ = (
        "__weakref__", "attrs", "dtype", "inputs", "line", "met", "op", "shape", "tracked", "value",
    )  # fmt: skip

    op: OpLike
    inputs: tuple[Node, ...]
    attrs: Attrs
    shape: Shape
    dtype: DType
    tracked: bool
    value: Any
    line: Line
    met: bool

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return size_of(self.shape)

    def __repr__(self) -> str:
        return f"<{self.op.name} {self.dtype.name}{listed(self.shape)}>"

    def __reduce__(self) -> str:
        raise TypeError("a graph node cannot be pickled; save tensors or a state_dict instead")


class Tracking(threading.local):
    """Whether new nodes inherit `tracked` from their inputs; each thread has its own switch.

    `scope`: equal expressions are one node within a scope only. A function that is traced has one
    of its own: its nodes get no values, neither from what was computed before nor from threads
    that compute the same meanwhile.
    """

    enabled = True
    scope: object = None


tracking = Tracking()


@contextmanager
def unscoped() -> Iterator[None]:
    """For nodes that outlive what this thread does now: numbers that are kept."""
    scope, tracking.scope = tracking.scope, None
    try:
        yield
    finally:
        tracking.scope = scope


class _Entry(ref["Node"]):
    """A known node, weakly. (WeakValueDictionary does the same in three times the time, which is
    a fifth of what recording a node takes.)"""

    __slots__ = ("key",)
    key: tuple[Any, ...]


_known: dict[tuple[Any, ...], _Entry] = {}
# At exit keys are compared when much of what that takes is gone.
atexit.register(_known.clear)


_new: Callable[[type[Node]], Node] = object.__new__


def _forget(entry: _Entry) -> None:
    if _known.get(entry.key) is entry:
        found = _known.pop(entry.key, None)
        if found is not None and found is not entry:  # another thread's, made since
            _known.setdefault(entry.key, found)


def make(
    op: OpLike,
    inputs: tuple[Node, ...] = (),
    attrs: Attrs = (),
    tracked: bool | None = None,
) -> Node:
    """The node `op(inputs, attrs)`; shapes and dtypes are checked by the op.

    `tracked` defaults to: some input is tracked and the result is floating or complex, unless this
    thread has switched `tracking` off.
    """
    if tracked is None:
        tracked = False
        for node in inputs:
            if node.tracked:
                tracked = tracking.enabled
                break
    # A float attribute must not meet an equal integer, nor 0.0 its negative.
    bits = exact(attrs) if attrs and isinstance(attrs[0], (int, float, complex)) else None
    key = (op, inputs, attrs, tracked, bits, tracking.scope)
    entry = _known.get(key)
    if entry is not None:
        found = entry()
        if found is not None:
            if noting.wanted:
                note(found)
            if tracked:
                found.met = True
            return found
    shape, dtype = op.infer(inputs, attrs)
    node = _build(op, inputs, attrs, shape, dtype, tracked and dtype.is_inexact)
    entry = _known[key] = _Entry(node, _forget)
    entry.key = key
    if noting.wanted:
        note(node)
    return node


def part(node: Node) -> bool:
    """From now on `node` has an identity of its own: no equal expression is it. May some that was
    written before be it, too?"""
    bits = exact(node.attrs)
    for scope in {tracking.scope, None}:
        key = (node.op, node.inputs, node.attrs, node.tracked, bits, scope)
        entry = _known.get(key)
        if entry is not None and entry() is node:
            _known.pop(key, None)
            return hasattr(node, "met")
    return False


def forget_computed() -> None:
    """What is recorded from now on shares no value that is known: how numbers are computed has
    changed. Nodes without a value stay known, since graphs that hold them are still rewritten."""
    for key, entry in _known.copy().items():  # the collector may take nodes away meanwhile
        node = entry()
        if node is not None and node.value is not None:
            _known.pop(key, None)


def leaf(op: OpLike, attrs: Attrs, shape: Shape, dtype: DType, tracked: bool, value: Any) -> Node:
    """A node of its own identity (data, or a program's input)."""
    return _build(op, (), attrs, shape, dtype, tracked, value)


def apart(op: OpLike, attrs: Attrs, source: Node, tracked: bool) -> Node:
    """A node of its own identity that shows `source`: no equal one is it."""
    node = _build(op, (source,), attrs, source.shape, source.dtype, tracked)
    if noting.wanted:
        note(node)
    return node


def twin(node: Node) -> Node:
    """The same operation on the same inputs, as a node of its own identity."""
    return _build(node.op, node.inputs, node.attrs, node.shape, node.dtype, node.tracked)


def _build(
    op: OpLike,
    inputs: tuple[Node, ...],
    attrs: Attrs,
    shape: Shape,
    dtype: DType,
    tracked: bool,
    value: Any = None,
) -> Node:
    like, nbytes = inputs[0] if inputs else None, 0
    if like is None or shape is not like.shape or dtype is not like.dtype:
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes > MAX_BYTES:
            raise ShapeError(f"{op.name}: {shape} of {dtype.name} is too large; need less than "
                             "2**62 bytes")  # fmt: skip
        if len(shape) > MAX_RANK:
            raise ShapeError(f"{op.name}: {len(shape)} dimensions; need at most {MAX_RANK}: "
                             "reshape to fewer")  # fmt: skip
    node = _new(Node)
    node.op, node.inputs, node.attrs = op, inputs, attrs
    node.shape, node.dtype, node.tracked, node.value = shape, dtype, tracked, value
    if nbytes > LARGE:
        note(node)
    return node


def exact(attrs: Attrs) -> Any:
    """What tells apart attributes that compare equal: 1, 1.0 and True; 0.0 and -0.0."""
    if not attrs or not isinstance(attrs[0], (bool, int, float, complex)):
        return None
    return tuple(_exact(a) for a in attrs)


def _exact(value: Any) -> Any:
    if type(value) is Size or type(value) is Open:
        return type(value)
    if isinstance(value, float):
        return float, math.copysign(1, value)
    if isinstance(value, complex):
        return complex, math.copysign(1, value.real), math.copysign(1, value.imag)
    return type(value)


def toposort(roots: Iterable[Node], stop: Callable[[Node], bool] | None = None) -> list[Node]:
    """Every node below `roots`, inputs first, each once. Nodes where `stop` holds are listed but
    not entered. Iterative: graphs may be deeper than Python's stack."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[Any] = list(roots)  # nodes, and None in front of one that is done
    stack.reverse()
    while stack:
        node = stack.pop()
        if node is None:  # everything below the next one is listed
            order.append(stack.pop())
        elif node not in seen:
            seen.add(node)
            inputs = node.inputs
            if not inputs or (stop is not None and stop(node)):
                order.append(node)
            else:
                stack += (node, None)
                stack += inputs[::-1]
    return order


def pending(roots: Iterable[Node]) -> list[Node]:
    """`toposort` that stops at nodes with a value: what has to be computed, and from what.

    A loop of its own: it runs at every look, and a call of `stop` for each node doubles its time.
    """
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[Any] = list(roots)  # nodes, and None in front of one that is done
    stack.reverse()
    while stack:
        node = stack.pop()
        if node is None:
            order.append(stack.pop())
        elif node not in seen:
            seen.add(node)
            if node.value is not None or not node.inputs:
                order.append(node)
            else:
                stack += (node, None)
                stack += node.inputs[::-1]
    return order


def consumers(nodes: Sequence[Node]) -> dict[Node, list[Node]]:
    """For each of `nodes` the nodes among them that read it (once per use)."""
    found: dict[Node, list[Node]] = {node: [] for node in nodes}
    for node in nodes:
        for source in node.inputs:
            if source in found:
                found[source].append(node)
    return found
