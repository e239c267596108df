"""Arguments that a jitted function may use up: results are written over them where they can be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ambos.core.program import ALIGNMENT
from ambos.graph.node import Node, leaf
from ambos.ops.sources import argument
from ambos.tensor.array import Array
from ambos.tensor.counting import are_alone, is_alone
from ambos.tensor.resting import use_up
from ambos.tensor.signature import Given

FEW = 4  # asking one by one takes no longer


@dataclass(frozen=True, slots=True)
class Place:
    """Argument `number` may be written over with the result in `slot`, of `nbytes` bytes;
    `is_like`: it lies in the same way, so that its array serves for the result."""

    number: int
    slot: int
    nbytes: int
    is_like: bool


class Donations:
    """`numbers` of the arguments that are given away; `places`, where a result may be written over
    one."""

    def __init__(self, numbers: Collection[int], places: Sequence[Place]) -> None:
        self.numbers, self.places = list(numbers), places
        self.given = [place.number for place in places]
        self.slots = [place.slot for place in places]
        self.nbytes = [place.nbytes for place in places]
        self.are_like = all(place.is_like for place in places)
        self.gone: list[Node] = []  # what then stands for each

    def arrays(self, given: Given) -> dict[int, tuple[Array, bool]]:
        """By slot: the array of an argument that nobody else holds, whose memory may be written
        over, and whether it serves for the result."""
        found, arrays = {}, given.arrays
        for place in self.places:
            # Nothing may refer to what is counted but the list of arrays.
            if is_alone(given[place.number], 1):
                array = arrays[place.number]
                if _is_whole(array, place.nbytes):
                    found[place.slot] = array, place.is_like
                del array
        return found

    def all_arrays(self, given: Given) -> tuple[list[Array], list[int]] | None:
        """The arrays of all places, and their addresses, in little time; None where some of them
        may not be written over, or do not serve."""
        if not self.are_like or len(self.given) < FEW:
            return None
        arrays = [given.arrays[number] for number in self.given]
        if not are_alone([given[number] for number in self.given], arrays):
            return None
        storages = [array.storage for array in arrays]
        if [storage.nbytes for storage in storages] != self.nbytes:
            return None
        are_own = [storage._block is not None for storage in storages]
        are_parts = [array.offset or array.blank for array in arrays]
        if any(are_parts) or not all(are_own):
            return None
        return arrays, [storage.address for storage in storages]

    def spend(self, given: Given, function: str) -> None:
        """Their values are gone, unless the function has given them others."""
        if not self.gone:
            self.gone = [_gone(given.arrays[number], function) for number in self.numbers]
        use_up(given, given.arrays, self.numbers, self.gone)


def _gone(array: Array, function: str) -> Node:
    """What stands for a value that `function` has used up: it says so."""
    what = (
        f"{array.dtype.name}{list(array.shape)} was donated to the jitted function {function}, "
        "which has written its results there; need those results, or no donate_argnums for it"
    )
    return leaf(argument, (what,), array.shape, array.dtype, False, None)


def _is_whole(array: Array, nbytes: int) -> bool:
    """Is it all of a memory of its own, which is as large as the result?"""
    storage = array.storage
    if array.offset or storage.nbytes != nbytes or storage.readonly:
        return False
    return storage._owner is None and storage.address % ALIGNMENT == 0
