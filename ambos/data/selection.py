"""Which elements of a stream are wanted: all, those from some number on, or a worker's share.

Stages of a pipeline that keep numbers (map, batch, enumerate) hand the selection down to their
source instead of computing what is then thrown away. So resuming in the middle of an epoch calls no
function for what came before, and workers that share a stream map only their own elements.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ambos.data import information


@dataclass(frozen=True)
class Selection:
    """From element `start` on: all, or in turn `take` elements that count and `gap` that do not.

    `alone` is given for a worker's share: a dataset that asks `get_worker_info` shares by itself,
    and then it is all from `alone` on.

    Example:
        >>> list(Selection(2, take=2, gap=3).of(range(10)))
        [2, 3, 7, 8]
    """

    start: int = 0
    take: int = 0
    gap: int = 0
    alone: int | None = None

    def of(self, elements: Iterable[Any]) -> Iterator[Any]:
        """The selected ones of all elements."""
        rest = iter(elements)
        head = list(itertools.islice(rest, 1))  # by now the dataset has asked, if it ever does
        rest = itertools.chain(head, rest)
        if self.alone is not None and information.has_asked():
            yield from itertools.islice(rest, self.alone, None)
            return
        if not self.gap:
            yield from itertools.islice(rest, self.start, None)
            return
        gap = self.start
        while True:
            for _ in itertools.islice(rest, gap):
                pass
            found = 0
            for element in itertools.islice(rest, self.take):
                found += 1
                yield element
            if found < self.take:
                return
            gap = self.gap

    def numbers(self) -> Iterator[int]:
        """The numbers of the selected elements, without end."""
        if not self.gap:
            yield from itertools.count(self.start)
        for first in itertools.count(self.start, self.take + self.gap):
            yield from range(first, first + self.take)

    def times(self, size: int) -> Selection:
        """The same selection of a stream of which `size` elements make one of this."""
        alone = None if self.alone is None else self.alone * size
        return Selection(self.start * size, self.take * size, self.gap * size, alone)

    def after(self, count: int) -> Selection:
        """The same selection of a stream that has `count` elements more before these."""
        alone = None if self.alone is None else self.alone + count
        return Selection(self.start + count, self.take, self.gap, alone)

    def numbered(self, elements: Iterator[Any], end: int | None = None) -> Iterator[Any]:
        """(number, element) of selected elements, as far as before `end`."""
        for number in self.numbers():
            if end is not None and number >= end:
                return
            try:
                element = next(elements)
            except StopIteration:
                return
            yield number, element


def share_of(worker: int, num_workers: int, skip: int, size: int) -> Selection:
    """Every `num_workers`-th block of `size`, the first `skip` of these left out."""
    start = (worker + skip * num_workers) * size
    return Selection(start, size, (num_workers - 1) * size, skip * size)


ALL = Selection()
