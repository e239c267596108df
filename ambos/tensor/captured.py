"""Tensors from outside that a recorded call reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import ref

from ambos.core.program import ALIGNMENT
from ambos.graph.node import Node
from ambos.tensor import live
from ambos.tensor.array import is_dense, lie_alike
from ambos.tensor.counting import has_gradient_alone, is_alone
from ambos.tensor.handle import Tensor
from ambos.tensor.resting import peek, rest
from ambos.tensor.spent import SPENT
from ambos.tensor.tracing import relay

Target = Tensor | int  # a tensor from outside, or the number of an argument
SOME = object()  # a gradient that is there, whichever it is


def pick(target: Target, tensors: Sequence[Tensor]) -> Tensor:
    """The tensor meant, in a call with the arguments `tensors`."""
    return tensors[target] if isinstance(target, int) else target


class Captured:
    """A tensor from outside, an input of the Program and perhaps of the check before it: what its
    `handles` hold and what lies in `.grad` of `owner`, all of them the same.

    It refers weakly to what its handles hold, since several recordings capture the same parameter
    and none of them may keep the others from writing it in place.
    """

    __slots__ = (
        "address", "dtype", "handles", "is_own", "owner", "reference", "shape", "strides",
        "tracked",
    )  # fmt: skip

    def __init__(
        self, handles: tuple[Tensor, ...], node: Node, owner: Target | None = None
    ) -> None:
        self.handles, self.owner = handles, owner
        self.shape, self.dtype, self.tracked = node.shape, node.dtype, node.tracked
        self.strides = node.value.strides
        self.hold(node)

    def hold(self, node: Node) -> None:
        """`node` is what the handles hold now."""
        array = node.value
        self.reference, self.address = ref(node), array.address
        self.is_own = array.storage._owner is None and self.address % ALIGNMENT == 0

    def holder(self, tensors: Sequence[Tensor]) -> Any:
        """The handle to read."""
        return self.handles[0] if self.owner is None else pick(self.owner, tensors)._grad

    def has_one_holder(self) -> bool:
        """Is it in one place only?"""
        return len(self.handles) + (self.owner is not None) == 1

    def is_exclusive(self, tensors: Sequence[Tensor]) -> bool:
        """May the memory be written? Nobody else can see it then, but for a list of gradients that
        a call reads. (It begins a cache line, since kernels with results too large for the caches
        write whole lines.)"""
        if not self.is_own:
            return False
        if self.owner is None:
            return rest(self.handles[0])
        owner = pick(self.owner, tensors)
        return has_gradient_alone(owner) and is_alone(owner._grad, 1)

    def present(self, tensors: Sequence[Tensor]) -> Node | None:
        """What the handles hold now; None where that needs another recording."""
        handle = self.holder(tensors)
        new = peek(handle)
        if new.value is None:
            live.evaluate([handle])
            new = peek(handle)
        if any(peek(h) is not new for h in self.handles) or (new.tracked and new.inputs):
            return None
        if (new.shape, new.dtype, new.tracked) != (self.shape, self.dtype, self.tracked):
            return None
        if not lie_alike(self.shape, new.value.strides, self.strides):
            if new.value.settled or not is_dense(self.shape, self.strides):
                return None
            relay(new, self.strides)
        return new


class Found:
    """What the function saw in `.grad` of a leaf, where it looked before it set it: nothing, a
    gradient used up, some tensor, or that very one."""

    __slots__ = ("exactly", "state", "target")

    def __init__(self, target: Target, grad: Tensor | None, exactly: bool) -> None:
        self.target = target
        self.exactly = ref(grad) if exactly and grad is not None else None
        self.state: Any = grad if grad is None or grad is SPENT else SOME

    def holds(self, tensors: Sequence[Tensor]) -> bool:
        """Would the function see the same?"""
        grad = pick(self.target, tensors)._grad
        if grad is None or grad is SPENT:
            return grad is self.state
        return self.state is SOME and (self.exactly is None or self.exactly() is grad)
