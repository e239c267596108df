"""What a function gets in place of its arguments while `am.jit` records it: handles of their own.

A function may know an argument by another way as well (a closure, a global, an optimizer). Then the
graph depends on which tensor it is, and a recording holds for that very one only. So what that way
leads to holds another value meanwhile, a mark: whoever computes with a mark, changes its handle or
looks at `.grad` there has come by that way. So has who keeps a stand-in, or asks who it is (a dict
does): then the function runs once more, on the arguments themselves.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from weakref import ref

from ambos.graph.node import Node
from ambos.ops.sources import data
from ambos.tensor import live
from ambos.tensor.handle import Tensor
from ambos.tensor.resting import put_gradient, rebind
from ambos.tensor.tracing import Trace


class Met(Exception):
    """The arguments of `numbers` were met otherwise, or may have been."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers = frozenset(numbers)


class StandIns:
    """Those for `tensors`, of which the ones of numbers `met` stand for themselves."""

    def __init__(self, tensors: Sequence[Tensor], met: Collection[int]) -> None:
        self.tensors = tensors
        self.originals = [tensor._node for tensor in tensors]
        self.arguments: dict[Node, int] = {}  # what the arguments hold meanwhile
        self.marks: dict[Node, int] = {}
        self.given: list[Tensor] = []
        known: dict[int, Tensor] = {}  # by the id of what they stand for
        for number, tensor in enumerate(tensors):
            stand_in = known.get(id(tensor))
            if stand_in is None:
                stand_in = tensor
                if number not in met:
                    stand_in = _alike(tensor)
                    mark = _like(self.originals[number])
                    rebind(tensor, mark)
                    self.marks[mark] = number
                known[id(tensor)] = stand_in
            node = _like(self.originals[number])
            rebind(stand_in, node)
            self.arguments[node] = number
            if node.tracked:
                live.register_leaf(stand_in)
            self.given.append(stand_in)
        # What somebody may keep, by the numbers of the arguments.
        self.references = {n: ref(stand_in) for n, stand_in in enumerate(self.given)
                           if stand_in is not tensors[n]}  # fmt: skip

    def hand_over(self, trace: Trace, leaves: list[Any]) -> None:
        """What has become of stand-ins has become of the arguments, also among `leaves`.

        Errors: Met.
        """
        noted = {*trace.moved, *trace.gradients, *map(id, leaves)}
        self._refuse(
            n for n, (stand_in, tensor) in enumerate(zip(self.given, self.tensors, strict=True))
            if stand_in is not tensor and (id(tensor) in noted or id(stand_in) in trace.asked)
        )  # fmt: skip
        self._exchange(trace, leaves)
        if are_kept(self.references.values()):
            raise Met(n for n, found in self.references.items() if found() is not None)

    def _exchange(self, trace: Trace, leaves: list[Any]) -> None:
        real = {}
        for stand_in, tensor in zip(self.given, self.tensors, strict=True):
            if stand_in is tensor:
                continue
            real[id(stand_in)] = tensor
            rebind(tensor, stand_in._node)
            put_gradient(tensor, stand_in._grad)
            tensor._retains_grad = stand_in._retains_grad
            if tensor._node.value is None:
                trace.pending.append(ref(tensor))
            elif tensor._node.tracked:
                live.register_leaf(tensor)
        leaves[:] = [real.get(id(leaf), leaf) for leaf in leaves]
        for handle, old in [*trace.moved.values()]:
            if id(handle) in real:
                del trace.moved[id(handle)]
                trace.moved[id(real[id(handle)])] = real[id(handle)], old
        for touched in [*trace.gradients.values()]:
            if id(touched.handle) in real:
                del trace.gradients[id(touched.handle)]
                touched.handle = real[id(touched.handle)]
                trace.gradients[id(touched.handle)] = touched
        self.given = list(self.tensors)

    def refuse_met(self, nodes: Iterable[Node]) -> None:
        """Errors: Met where a mark is among `nodes`."""
        self._refuse(self.marks[node] for node in nodes if node in self.marks)

    @staticmethod
    def _refuse(numbers: Iterable[int]) -> None:
        met = frozenset(numbers)
        if met:
            raise Met(met)

    def give_back(self) -> None:
        """The arguments hold again what they held before."""
        for tensor, stand_in, node in zip(self.tensors, self.given, self.originals, strict=True):
            rebind(tensor, node)
            put_gradient(tensor, stand_in._grad)
            if node.tracked:
                live.register_leaf(tensor)


def are_kept(stand_ins: Iterable[ref[Tensor]]) -> bool:
    """Does somebody keep any of them?"""
    found = list(stand_ins)
    if any(stand_in() is not None for stand_in in found):
        gc.collect()  # a reference cycle may have kept it
    return any(stand_in() is not None for stand_in in found)


def _like(node: Node) -> Node:
    """A node of its own identity with the value of `node`."""
    return data.leaf(node.value, node.shape, node.dtype, node.tracked)


def _alike(tensor: Tensor) -> Tensor:
    """A handle like `tensor`, whose gradient is there now and there alone."""
    kind = type(tensor)
    made: Tensor = kind.__new__(kind)
    made._node, made._grad, made._kept = tensor._node, tensor._grad, None
    put_gradient(tensor, None)
    made._retains_grad = tensor._retains_grad
    if hasattr(tensor, "__dict__"):
        made.__dict__.update(tensor.__dict__)
    return made


__all__ = ["Met", "StandIns", "are_kept"]
