"""Datasets of Hugging Face's `datasets`, with the methods of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ambos.core.arguments import checked
from ambos.core.errors import ArgumentError, ArgumentTypeError, suggest
from ambos.data.dataset import Dataset, IterableDataset
from ambos.data.folders import pixels


def as_value(value: Any) -> Any:
    """Lists of numbers as arrays, images as bytes (3, height, width)."""
    if isinstance(value, list) and value and not isinstance(value[0], (str, bytes, dict)):
        array = np.asarray(value)
        return array.astype(np.float32) if array.dtype == np.float64 else array
    if type(value).__module__.startswith("PIL."):
        return pixels(value.convert("RGB"))
    return value


def as_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row with arrays."""
    return {name: as_value(value) for name, value in row.items()}


class Table(Dataset):
    """A `datasets.Dataset`: rows by index."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return as_row(self.source[int(index)])

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Several rows by one access to the table."""
        columns = self.source[list(indices)]
        return [as_row(dict(zip(columns, row, strict=True)))
                for row in zip(*columns.values(), strict=True)]  # fmt: skip


class Streamed(IterableDataset):
    """A `datasets.IterableDataset`."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Any]:
        return map(as_row, self.source)

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.source.set_epoch(epoch)


@checked
def from_huggingface(dataset: Any, columns: Sequence[str] | None = None) -> Dataset:
    """A dataset of the library `datasets`, or one of its streams: rows as dictionaries.

    Lists of numbers become arrays, images bytes (3, height, width).

    Errors: ArgumentError for a column that is not there, ArgumentTypeError for anything else.
    """
    known = getattr(dataset, "column_names", None)
    if isinstance(dataset, dict):
        raise ArgumentTypeError("from_huggingface: got a dict of splits; need one of them, such as "
                                f"dataset[{next(iter(dataset), 'train')!r}]")  # fmt: skip
    if not hasattr(dataset, "select_columns"):
        raise ArgumentTypeError(
            f"from_huggingface: got {type(dataset).__name__}; need a dataset of `datasets`"
        )
    if columns is not None:
        for name in columns:
            if known is not None and name not in known:
                raise ArgumentError(f"from_huggingface: no column {name!r}; need some of "
                                    f"{', '.join(known)}{suggest(str(name), known)}")  # fmt: skip
        dataset = dataset.select_columns(list(columns))
    return Table(dataset) if hasattr(dataset, "__len__") else Streamed(dataset)
