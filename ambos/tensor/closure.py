"""A function's graph: what it makes of arguments that have no value yet.

`close` runs the function once on such arguments. Transforms that need the whole graph of a function
(`vmap`, loops) work on what comes of it. Whatever does not depend on the arguments stays outside
and may even be looked at.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ref

from ambos.core import tree
from ambos.core.dtype import uint32
from ambos.core.errors import AmbosError, TracingError
from ambos.graph.lines import collected, line_of, noted
from ambos.graph.node import Node, toposort
from ambos.tensor import live
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.refusals import require_false
from ambos.tensor.resting import Handle
from ambos.tensor.tracing import Draws, Trace, current, enter

Check = tuple[Node, type[AmbosError], str]


@dataclass(frozen=True, slots=True)
class Closure:
    """`leaves` of the result, in the order of `structure`: tensors, and what else the function
    returned. `checks` are bool scalars, dependent on the arguments, that must be False. `hosts` is
    data that the function took from Python at this call: keys of the global random stream. `made`
    is what was recorded meanwhile, if that was asked for."""

    arguments: tuple[Node, ...]
    leaves: list[Any]
    structure: tree.Structure
    checks: list[Check]
    hosts: list[Node]
    undos: list[Callable[[], None]]
    made: frozenset[Node] = frozenset()

    @property
    def results(self) -> list[Node]:
        """The nodes among the leaves."""
        return [leaf._node for leaf in self.leaves if isinstance(leaf, Tensor)]

    def forget(self) -> None:
        """Let the streams that the function took from go on as if it had not run."""
        for undo in reversed(self.undos):
            undo()
        outer = current.trace
        if outer is not None:
            outer.undos[len(outer.undos) - len(self.undos) :] = []
            for host in self.hosts:
                outer.hosts.pop(host, None)


def is_key(host: Node) -> bool:
    """Is it a key of the global random stream?"""
    return host.dtype is uint32 and host.shape == (2,)


class Closing(Trace):
    """The notes of a function that runs on arguments without values. What concerns later calls
    (random keys, settings of modules) is noted by the jitted function around it, if there is."""

    def __init__(self, op: str, arguments: Sequence[Node], outer: Trace | None) -> None:
        super().__init__(op)
        self.outer = outer
        self.scope = None if outer is None else outer.scope
        self.depends: dict[Node, bool] = dict.fromkeys(arguments, True)
        self.changed: dict[int, tuple[Handle, Node]] = {}  # handles from outside, as in `moved`
        if outer is not None:
            self.guards, self.guarded = outer.guards, outer.guarded
            self.asked, self.draws = outer.asked, outer.draws

    def concerns(self, node: Node) -> bool:
        """Does the value of `node` depend on the arguments?"""
        depends = self.depends
        for inner in toposort([node], stop=depends.__contains__):
            if inner not in depends:
                depends[inner] = any(depends[source] for source in inner.inputs)
        return depends[node]

    def is_inside(self, handle: Handle) -> bool:
        number = id(handle)
        return number in self.made or (
            number not in self.changed and any(inner() is handle for inner in self.pending)
        )

    def note_move(self, handle: Handle) -> None:
        if id(handle) not in self.changed and not self.is_inside(handle):
            self.changed[id(handle)] = handle, handle._node
        super().note_move(handle)

    def forget_move(self, handle: Handle) -> None:
        super().forget_move(handle)
        self.changed.pop(id(handle), None)

    def may_see(self, node: Node) -> bool:
        return not self.concerns(node) and (self.outer is None or self.outer.may_see(node))


def close(
    op: str, call: Callable[[list[Tensor]], Any], arguments: Sequence[Node], apart: bool = False,
    draws: Draws | None = None,
) -> Closure:  # fmt: skip
    """Run `call(tensors)` on new tensors that hold `arguments`.

    `apart`: the function may not run at all. So all that it records belongs to it, also what does
    not depend on the arguments. `draws` are the random keys that it takes.

    Errors: TracingError where a value that depends on the arguments is looked at, a tensor from
        outside is changed, or a tensor is kept otherwise than by returning it. Everything is then
        as it was before.
    """
    outer = current.trace
    trace = Closing(op, arguments, outer)
    if apart:
        trace.scope = trace
    if draws is not None:
        trace.draws = draws
    enter(trace)
    try:
        with collected() if apart else noted() as made:
            leaves, structure = tree.flatten(call([wrap(node) for node in arguments]))
            for path, leaf in zip(structure.paths(), leaves, strict=True):
                tree.refuse_unregistered(op, leaf, f"result{path}")
    except BaseException:
        enter(outer)
        trace.roll_back()
        raise
    enter(outer)
    try:
        _refuse_changes(trace)
        refuse_strays(trace, leaves)
    except TracingError:
        trace.roll_back()
        raise
    checks = []
    for node, (error, message) in trace.checks.items():
        if apart or trace.concerns(node):
            checks.append((node, error, message))
        else:
            require_false(node, error, message)
    if outer is not None:
        outer.hosts |= trace.hosts
        outer.constants |= trace.constants
        outer.undos += trace.undos
    return Closure(tuple(arguments), leaves, structure, checks, list(trace.hosts), trace.undos,
                   frozenset(made or ()))  # fmt: skip


def _refuse_changes(trace: Closing) -> None:
    """A tensor from outside must not have been changed: there is no one value for it."""
    for handle, old in trace.changed.values():
        if handle._node is not old:
            line = line_of(handle._node)
            where = f" (at {line}{f', in layer {line.layer!r}' * bool(line.layer)})" if line else ""
            raise TracingError(
                f"{trace.op}: the function changes a tensor from outside in place, {old.dtype.name}"
                f"{list(old.shape)}{where}; it runs once for all examples or steps, so there is no "
                "one value to leave there; need the new value among its results, assigned outside; "
                "of a module's running statistics: am.functional_call(module, params, x, "
                "return_buffers=True), or module.eval()"
            )
    for touched in trace.gradients.values():
        if touched.is_set and touched.handle._grad is not touched.start:
            raise TracingError(
                f"{trace.op}: the function sets .grad of a tensor from outside (backward()); need "
                "gradients among its results: am.grad or am.value_and_grad inside"
            )


def refuse_strays(trace: Closing, leaves: Sequence[Any]) -> None:
    """No tensor that depends on the arguments may stay but the results. Others that are pending go
    on waiting outside."""
    made = [ref(handle) for handle in trace.kept]
    for notes in trace.kept, trace.moved, trace.changed, trace.gradients:
        notes.clear()  # whoever is alive now is held by somebody else
    returned = {id(leaf) for leaf in leaves}

    def staying() -> list[Any]:
        handles = live.pending_handles(trace.pending)
        return [handle for handle in handles if id(handle) not in returned]

    if any(trace.concerns(handle._node) for handle in staying()):
        gc.collect()  # a reference cycle may have kept it
    for handle in staying():
        node = handle._node
        if trace.concerns(node):
            line = line_of(node)
            raise TracingError(
                f"{trace.op}: the function keeps a tensor that it made, {node.dtype.name}"
                f"{list(node.shape)}{f', at {line}' if line else ''}, other than by returning it "
                "(in a list, an attribute or a global), where it would have no value; need it "
                "among the results"
            )
        live.register(handle)
    if trace.outer is not None:
        for reference in made:
            handle = reference()
            if handle is not None:
                trace.outer.note_made(handle)


__all__ = ["Closing", "Closure", "close", "is_key"]
