"""How a batch is made of samples: what the process itself and each of its workers do alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError
from ambos.data import randomness
from ambos.data.collate import Empty, as_array, stack
from ambos.data.dataset import Dataset, rows_of
from ambos.data.selection import Selection

BATCH = 1 << 32  # no stage of a pipeline has this number


@dataclass
class Fetcher:
    """Everything that decides what a batch is, apart from its indices.

    `batch_size` is None where samples are not batched; `collate` is None for the default."""

    dataset: Any
    batch_size: int | None
    drop_last: bool
    collate: Callable[[Any], Any] | None
    count: int | None = None  # samples that the dataset said it has, where it says so
    sample: int | None = None  # the one that is being read, for messages

    def batch(
        self, seed: randomness.Seed, epoch: int, indices: Any, empty: Empty = np.empty
    ) -> Any:
        """The batch of these samples; one sample where there are no batches."""
        if self.batch_size is None:
            samples = self._several(seed, epoch, [indices])
            return self._together(seed, epoch, samples, [indices], empty)
        rows, many = rows_of(self.dataset), getattr(self.dataset, "__getitems__", None)
        if many is None and (rows is None or self.collate is not None):
            samples = self._several(seed, epoch, indices)
            return self._together(seed, epoch, samples, indices, empty)
        self.sample = None
        randomness.enter(seed, epoch, indices[0], BATCH)
        try:
            if rows is not None and self.collate is None:
                return rows(np.asarray(indices), empty)
            samples = many([int(index) for index in indices])  # type: ignore[misc]  # one of both
        finally:
            randomness.leave()
        return self._together(seed, epoch, samples, indices, empty)

    def _several(self, seed: randomness.Seed, epoch: int, indices: Any) -> list[Any]:
        dataset, index = self.dataset, None
        samples: list[Any] = []
        making = randomness.enter(seed, epoch, None)
        begin, add = making.begin, samples.append
        try:
            for index in indices.tolist() if isinstance(indices, np.ndarray) else indices:
                begin(index)
                add(dataset[index])
        except BaseException:
            self.sample = index
            raise
        finally:
            randomness.leave()
        return samples

    def _together(
        self, seed: randomness.Seed, epoch: int, samples: list[Any], indices: Any, empty: Empty
    ) -> Any:
        """Samples collated; or the one sample as it is."""
        self.sample = None
        single = self.batch_size is None
        if self.collate is None and not single:
            return stack(samples, indices, empty)
        if self.collate is None:
            array = as_array(samples[0])
            return samples[0] if array is None else array
        # What is random for a batch (mixup) follows its first sample.
        randomness.enter(seed, epoch, indices[0], BATCH)
        try:
            return self.collate(samples[0] if single else samples)
        finally:
            randomness.leave()

    def stream(
        self, seed: randomness.Seed, epoch: int, selection: Selection,
        empty: Callable[[tuple[int, ...], Any], Any] = np.empty,
    ) -> Iterator[Any]:  # fmt: skip
        """The batches of an iterable dataset, made of the selected elements."""
        size = self.batch_size or 1
        elements = elements_of(self.dataset, seed, epoch, selection)
        numbers = selection.numbers()
        while True:
            samples = list(itertools.islice(elements, size))
            if not samples or (len(samples) < size and self.drop_last):
                return
            indices = list(itertools.islice(numbers, len(samples)))
            yield self._together(seed, epoch, samples, indices, empty)

    def explain(self, error: BaseException) -> str:
        """Where it happened, in words."""
        if self.sample is None:
            return ""
        text = f"sample {self.sample}"
        if self.count is not None:
            now = None
            with suppress(Exception):  # a broken dataset may not even have a length: say nothing
                now = len(self.dataset)
            if now is not None and now != self.count:
                text += f" (the dataset had {self.count} samples when the epoch began, now {now})"
        return text


def elements_of(
    dataset: Any, seed: randomness.Seed, epoch: int, selection: Selection
) -> Iterator[Any]:
    """The selected elements of an iterable dataset in an epoch."""
    if isinstance(dataset, Dataset):
        return dataset.stream(epoch, seed, selection)
    if hasattr(dataset, "set_epoch"):
        dataset.set_epoch(epoch)
    return selection.of(dataset)


def check_positive(op: str, value: Any) -> float:
    """Seconds, 0 for no limit, or an ArgumentError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise ArgumentError(f"{op} is {value!r}; need seconds, or 0 to wait for ever")
    return float(value)
