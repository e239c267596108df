"""Datasets made of parts of others, or of several: PyTorch's classes of these names."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError, ArgumentTypeError, IndexingError, ShapeError
from ambos.data.cardinality import cardinality_of, total, without_length
from ambos.data.dataset import Dataset, IterableDataset, rows_of
from ambos.data.fluent import stage
from ambos.data.indices import numbers_in, place_in
from ambos.data.randomness import Seed, seed_of
from ambos.data.samplers import permutation
from ambos.data.selection import ALL, Selection
from ambos.data.stages import Stage


class Subset(Dataset):
    """The examples of `dataset` at `indices`.

    Example:
        >>> list(Subset("abcd", [3, 1]))
        ['d', 'b']
    """

    def __init__(self, dataset: Any, indices: Any) -> None:
        if not hasattr(dataset, "__getitem__"):
            raise ArgumentTypeError(f"Subset: got {type(dataset).__name__}, which has no index; "
                                    "need a dataset with __getitem__")  # fmt: skip
        self.dataset, self.indices = dataset, indices
        self.sources = (dataset,)
        self._numbers = numbers_in("Subset", indices)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self._numbers[place_in("Subset", index, len(self))])]

    @property
    def rows_at(self) -> Callable[..., Any] | None:
        """Several at once, where the dataset can."""
        rows = rows_of(self.dataset)
        if rows is None:
            return None
        return lambda indices, *empty: rows(self._numbers[indices], *empty)


class ConcatDataset(Dataset):
    """Several datasets one after the other.

    Example:
        >>> list(ConcatDataset(["ab", "c"]))
        ['a', 'b', 'c']
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        self.sources = tuple(self.datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset: got no datasets; need at least one")
        for dataset in self.datasets:
            if not hasattr(dataset, "__getitem__") or not getattr(dataset, "indexable", True):
                raise ArgumentTypeError(f"ConcatDataset: {type(dataset).__name__} is a stream; "
                                        "need ChainDataset")  # fmt: skip
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        index = place_in("ConcatDataset", index, len(self))
        place = int(np.searchsorted(self.cumulative_sizes, index, side="right"))
        return self.datasets[place][index - (self.cumulative_sizes[place - 1] if place else 0)]


class ChainDataset(IterableDataset):
    """Several streams one after the other.

    Example:
        >>> list(ChainDataset([Dataset.range(2), Dataset.range(1)]))
        [np.int64(0), np.int64(1), np.int64(0)]
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        self.sources = tuple(self.datasets)

    def __len__(self) -> int:
        count = self.cardinality()
        if count < 0:
            raise ArgumentTypeError(f"ChainDataset: {without_length(self)}")
        return count

    def cardinality(self) -> int:
        return total(map(cardinality_of, self.datasets))

    __iter__ = Dataset.__iter__
    state_dict = Dataset.state_dict

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        parts = (d.stream(epoch, seed, ALL) if isinstance(d, Dataset) else iter(d)
                 for d in self.datasets)  # fmt: skip
        return selection.of(itertools.chain.from_iterable(parts))


class StackDataset(Dataset):
    """One example of each dataset together: positional ones make tuples, named ones dictionaries.

    Example:
        >>> StackDataset(x="ab", y=[1, 2])[1]
        {'x': 'b', 'y': 2}
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ArgumentError("StackDataset: need datasets, all positional or all named")
        self.datasets: Any = args or kwargs
        self.sources = args or tuple(kwargs.values())
        counts = {len(source) for source in self.sources}
        if len(counts) > 1:
            raise ShapeError(f"StackDataset: the datasets have {sorted(counts)} examples; need "
                             "equally many")  # fmt: skip

    def __len__(self) -> int:
        return len(self.sources[0])

    def __getitem__(self, index: int) -> Any:
        found = tuple(source[index] for source in self.sources)
        if isinstance(self.datasets, dict):
            return dict(zip(self.datasets, found, strict=True))
        return found


@stage("concatenate")
class Concatenated(Stage):
    """Datasets of a pipeline one after the other."""

    def __init__(self, *sources: Any) -> None:
        for source in sources:
            if not isinstance(source, Dataset):
                raise ArgumentTypeError(f"concatenate: got {type(source).__name__}; need datasets")
        super().__init__(*sources)

    def cardinality(self) -> int:
        return total(map(cardinality_of, self.sources))

    def element(self, number: int) -> Any:
        for source in self.sources:
            if number < len(source):
                return source[number]
            number -= len(source)
        raise IndexingError(f"concatenate: index {number} is too large")

    def stream(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        if self.indexable and selection.gap:
            return Dataset.stream(self, epoch, seed, selection)
        return self._parts(epoch, seed, selection)

    def _parts(self, epoch: int, seed: Seed, selection: Selection) -> Iterator[Any]:
        if selection.gap or self.cardinality() < 0:
            parts = (source.stream(epoch, seed, ALL) for source in self.sources)
            yield from selection.of(itertools.chain.from_iterable(parts))
            return
        start = selection.start
        for source in self.sources:
            if start < len(source):
                yield from source.stream(epoch, seed, Selection(start))
            start = max(0, start - len(source))


@checked
def random_split(
    dataset: Any, lengths: Sequence[float], generator: Any = None, seed: int | None = None
) -> list[Subset]:
    """Disjoint random parts of a dataset: of so many examples each, or in these shares of one.

    Errors: ArgumentError where the lengths are not those of the dataset.

    Example:
        >>> [len(part) for part in random_split(range(10), [0.75, 0.25], seed=0)]
        [8, 2]
    """
    count = len(dataset)
    if math.isclose(sum(lengths), 1) and all(0 <= share <= 1 for share in lengths):
        sizes = [math.floor(count * share) for share in lengths]
        for place in range(count - sum(sizes)):  # PyTorch hands the rest out in turn
            sizes[place % len(sizes)] += 1
    else:
        sizes = [int(length) for length in lengths]
        if sum(sizes) != count or min(sizes, default=0) < 0:
            raise ArgumentError(f"random_split: lengths {list(lengths)} of {count} examples; "
                                "need numbers that add up to it, or shares of 1")  # fmt: skip
    order = permutation(seed_of("random_split", generator if seed is None else seed), 0, count)
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
