"""Rows of arrays as batches, in memory that is used again as soon as nobody holds the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from sys import getrefcount
from typing import Any

from numpy.typing import NDArray

from ambos.core import tree
from ambos.core.dtype import DType, as_dtype
from ambos.core.errors import ArgumentError
from ambos.core.paths import Path, SequenceKey
from ambos.core.shape import row_major
from ambos.runtime.memory import Storage
from ambos.runtime.rows import Taking, in_pieces
from ambos.tensor.array import Array
from ambos.tensor.given import leaf_of
from ambos.tensor.handle import Tensor, wrap
from ambos.train.finite import found_nan, host_name, narrowed

KEPT = 3  # buffers of a size: the batch before, this one, and one that is read ahead


class Columns:
    """The parts of a batch for all examples: `batch` copies some of their rows. Parts that have
    `names` are looked at on the way, where that takes no time: for NaN, and for numbers that a
    model of `dtype` would take for infinite."""

    def __init__(
        self, parts: tuple[Any, ...], op: str, names: Sequence[str], dtype: DType | None = None
    ) -> None:
        columns, self.structure = tree.flatten(parts)
        self.arrays = [in_pieces(column) for column in columns]
        # Plain columns, which is the usual case, need no structure to be put together.
        self.is_plain = [*map(id, columns)] == [*map(id, parts)]
        self.op, self.names, self.dtype = op, names, dtype
        self.buffers: dict[int, list[Buffers]] = {}

    def __len__(self) -> int:
        return len(self.arrays[0])

    def parts(self) -> tuple[Any, ...]:
        """The columns themselves."""
        found: tuple[Any, ...] = self.structure.build(iter(self.arrays))
        return found

    def batch(self, first: int, count: int, order: int | None) -> tuple[Any, ...]:
        """Rows `first` to `first + count`, or those whose numbers (int64) lie there in a list at
        the address `order`.

        Errors: ArgumentError for NaN in them.
        """
        buffers = self._free(count)
        spoiled = buffers.take(first, count, order)
        if spoiled:
            raise self._refusal(spoiled - 1)
        tensors = (*buffers.tensors,)  # another tuple, so that holding it shows
        return tensors if self.is_plain else self.structure.build(iter(tensors))

    def _refusal(self, number: int) -> ArgumentError:
        """What is said of column `number`, which has NaN somewhere."""
        part, *inner = [*self.structure.paths()][number]
        assert isinstance(part, SequenceKey)
        rows = self.arrays[number]
        if self.dtype is not None:
            rows = narrowed(rows, self.dtype)
        return found_nan(rows, f"{self.names[part.idx]}{Path(inner)}", self.op)

    def _free(self, count: int) -> Buffers:
        """Memory for so many rows that nobody holds."""
        known = self.buffers.setdefault(count, [])
        for buffers in known:
            if buffers.are_free():
                return buffers
        if len(known) == KEPT:
            known.pop(0)
        within = None if self.dtype is None else host_name(self.dtype)
        known.append(Buffers(self.arrays, count, not self.names, within))
        return known[-1]


class Buffers:
    """Memory for `count` rows of each column, as tensors; `take` copies rows there."""

    def __init__(
        self, columns: list[NDArray[Any]], count: int, takes_nan: bool, within: str | None
    ) -> None:
        self.tensors = tuple([_memory(column, count) for column in columns])
        nodes = [tensor._node for tensor in self.tensors]
        arrays = [node.value for node in nodes]
        self.take = Taking(columns, [array.address for array in arrays], takes_nan, within)
        # What waits to be computed, gradients of an open loop for example, holds the nodes.
        self.parts = [*self.tensors, *nodes, *arrays, *(array.storage for array in arrays)]
        del nodes, arrays
        self.alone = [*map(getrefcount, self.parts)]

    def are_free(self) -> bool:
        """Does nobody hold what was handed out?"""
        return [*map(getrefcount, self.parts)] == self.alone


def _memory(column: NDArray[Any], count: int) -> Tensor:
    """A tensor of `count` rows that are to be written."""
    shape = (count, *column.shape[1:])
    storage = Storage(max(1, math.prod(shape)) * column.itemsize)
    return wrap(leaf_of(Array(storage, 0, shape, row_major(shape), as_dtype(column.dtype))))
