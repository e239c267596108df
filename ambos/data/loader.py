"""Batches in memory, shuffled by a seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import Checked, positive
from ambos.core.errors import ArgumentError
from ambos.data.dataset import ArrayDataset, Dataset, stack
from ambos.tensor.handle import Tensor
from ambos.tensor.random import default_generator


class DataLoader(metaclass=Checked):
    """Batches of tensors from arrays or from a dataset, once through for each `for` loop.

    `dataset` is an array, a tuple of arrays with equally many rows, or anything with `__len__` and
    `__getitem__`. Epoch e of seed s has the same order everywhere and for ever; without a seed one
    is drawn from the global stream, which `am.manual_seed` sets.

    Errors: ArgumentError, ShapeError.

    Example:
        >>> loader = DataLoader((np.arange(5.0), np.arange(5)), batch_size=2)
        >>> [y.tolist() for x, y in loader]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        seed: int | None = None,
        drop_last: bool = False,
    ) -> None:
        batch_size = positive("DataLoader: batch_size", batch_size)
        self.single = not isinstance(dataset, (tuple, Dataset)) and hasattr(dataset, "shape")
        if isinstance(dataset, tuple):
            dataset = ArrayDataset(*dataset)
        elif self.single:
            dataset = ArrayDataset(dataset)
        elif not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise ArgumentError(
                f"DataLoader: got {type(dataset).__name__}; need an array, a tuple of arrays, or a "
                "dataset with __len__ and __getitem__"
            )
        self.dataset = dataset
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        if shuffle and seed is None:
            seed = int(default_generator.next_key().numpy()[0])
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        """The number of batches."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The examples' order in an epoch."""
        count = len(self.dataset)
        if not self.shuffle:
            return np.arange(count)
        # RandomState is NumPy's frozen stream: unlike default_rng it never changes.
        stream = np.random.RandomState([(self.seed or 0) % 2**32, epoch])
        return stream.permutation(count).astype(np.int64)

    def __iter__(self) -> Iterator[Any]:
        order = self.order(self.epoch)
        self.epoch += 1
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield self._batch(order[start : start + self.batch_size])

    def _batch(self, indices: NDArray[np.int64]) -> Any:
        if isinstance(self.dataset, ArrayDataset):
            columns = tuple(Tensor(column) for column in self.dataset.rows(indices))
            return columns[0] if self.single else columns
        return _tensors(stack([self.dataset[int(i)] for i in indices]))


def _tensors(batch: Any) -> Any:
    if isinstance(batch, tuple):
        return tuple(map(_tensors, batch))
    if isinstance(batch, dict):
        return {key: _tensors(value) for key, value in batch.items()}
    return Tensor(batch)
