"""Arguments that a jitted function may use up: results are written over them where they can be."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from weakref import ref

from ambos.core.program import ALIGNMENT
from ambos.graph.node import Node, leaf
from ambos.ops.sources import argument
from ambos.runtime.memory import Storage
from ambos.tensor.array import Array
from ambos.tensor.counting import is_alone
from ambos.tensor.handle import Tensor
from ambos.tensor.resting import array_of, rebind


@dataclass(slots=True)
class Donations:
    """`numbers` of the arguments that are given away; `places`, those which a result may be written
    over: (number, slot of the result, its bytes)."""

    numbers: Collection[int]
    places: Sequence[tuple[int, int, int]]
    gone: dict[int, Node] = field(default_factory=dict)  # what then stands for each

    def storages(self, tensors: Sequence[Tensor]) -> Iterator[tuple[int, Storage]]:
        """Slots, and the memory of an argument that nobody else holds."""
        for number, slot, nbytes in self.places:
            # Nothing else here may refer to what is counted.
            if is_alone(tensors[number]) and _is_whole(array_of(tensors[number]), nbytes):
                yield slot, array_of(tensors[number]).storage

    def held(self, tensors: Sequence[Tensor]) -> list[tuple[int, Tensor, ref[Node]]]:
        """The arguments, with what they hold now."""
        return [(n, tensors[n], ref(tensors[n]._node)) for n in self.numbers]

    def spend(self, held: Sequence[tuple[int, Tensor, ref[Node]]], function: str) -> None:
        """Their values are gone, unless the function has given them others."""
        for number, tensor, node in held:
            old = tensor._node
            if node() is old:
                gone = self.gone.get(number)
                if gone is None:
                    gone = self.gone[number] = _gone(old, function)
                rebind(tensor, gone)


def _gone(node: Node, function: str) -> Node:
    """What stands for a value that `function` has used up: it says so."""
    what = (
        f"{node.dtype.name}{list(node.shape)} was donated to the jitted function {function}, "
        "which has written its results there; need those results, or no donate_argnums for it"
    )
    return leaf(argument, (what,), node.shape, node.dtype, False, None)


def _is_whole(array: Array, nbytes: int) -> bool:
    """Is it all of a memory of its own, which is as large as the result?"""
    storage = array.storage
    is_own = storage._owner is None and not storage.readonly
    fits = array.address == storage.address and storage.nbytes == nbytes
    return is_own and fits and storage.address % ALIGNMENT == 0
