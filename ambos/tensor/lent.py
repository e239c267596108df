"""`x.data` and the tensors of a state: handles whose in-place changes reach their owner."""

from __future__ import annotations

from typing import Any
from weakref import ref

from ambos.core.errors import GradientError
from ambos.graph.node import Node
from ambos.tensor.handle import Tensor, wrap
from ambos.tensor.live import leaf_node
from ambos.tensor.tracing import current


class Lent(Tensor):
    """The values of another tensor, without gradients.

    Changed in place it gives its owner the result, as long as that lives and has this shape and
    dtype. Read it is a snapshot: what happens to the owner otherwise does not show. A handle from
    outside of a jitted function that is changed inside reaches its owner after each call.
    """

    __slots__ = {"_owner": "A weak reference.", "_trace": "Where this was made."}

    _owner: ref[Tensor]
    _trace: Any

    def _lender(self) -> Tensor | None:
        owner, node = self._owner(), self._node
        fits = owner is not None and owner.shape == node.shape and owner.dtype is node.dtype
        return owner if fits else None

    def _newest(self) -> Tensor:
        owner = self._lender() if self._trace == _place() else None
        return self if owner is None else owner.detach()

    def _rebind(self, node: Node, name: str = "assignment") -> Tensor:
        owner = self._lender()
        if owner is not None and not owner.is_leaf:
            raise GradientError(
                f"{name}: in-place on the data of a tensor that was computed with gradients; "
                "need a leaf, or an operation that makes a new tensor"
            )
        super()._rebind(node, name)
        self.give_back()
        return self

    def give_back(self) -> None:
        """The owner holds what this holds."""
        owner = self._lender() if self._trace == _place() else None
        if owner is not None:
            owner.data = self

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return self.detach()

    def __reduce__(self) -> Any:
        return self.detach().__reduce__()


def _place() -> Any:
    return None if current.trace is None else ref(current.trace)


def lend(owner: Tensor) -> Tensor:
    """The values without gradients; assigning replaces them and nothing else.

    What changes `x.data` in place changes `x`. Held and read later it is a snapshot.
    """
    node = owner._node
    lent: Any = wrap(leaf_node(node, False) if node.tracked else node, Lent)
    lent._owner = owner._owner if isinstance(owner, Lent) else ref(owner)
    lent._trace = _place()
    return lent
