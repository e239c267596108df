"""Loaders of arrays whose rows become batches as they are, whoever copies them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ambos.core.errors import ArgumentError
from ambos.data.dataset import ArrayDataset
from ambos.data.position import Position
from ambos.data.samplers import Indices, RandomSampler, SequentialSampler, is_ordered


def has_rows(loader: Any) -> bool:
    """Is `loader` one of these?"""
    dataset, sampler = loader.dataset, loader.sampler
    return (
        type(dataset) is ArrayDataset and dataset.contiguous
        and isinstance(sampler, (RandomSampler, SequentialSampler)) and is_ordered(sampler)
        and sampler.data_source is dataset
        and not loader.collate_fn and bool(loader.batch_size) and not loader.num_workers
    )  # fmt: skip


def spans(loader: Any, position: Position) -> tuple[Indices, Iterator[tuple[int, int]]]:
    """The numbers of all rows of a pass, and for each batch that is left its first place among
    them and its size. `position` goes with the batches."""
    dataset = loader.dataset
    dataset.set_epoch(position.epoch)
    order = np.ascontiguousarray(loader.sampler.order(position.epoch), np.int64)
    if len(order) and not 0 <= order.min() <= order.max() < len(dataset):
        raise ArgumentError(
            f"DataLoader: the sampler gave numbers {order.min()} to {order.max()} for "
            f"{len(dataset)} examples; need 0 to {len(dataset) - 1}"
        )

    def left() -> Iterator[tuple[int, int]]:
        size = loader.batch_size
        stop = len(order) - len(order) % size if loader.drop_last else len(order)
        for first in range(position.batch * size, stop, size):
            position.batch += 1
            yield first, min(size, stop - first)
        position.finished = True

    return order, left()
