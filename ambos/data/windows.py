"""Windows of a time series as examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.arguments import checked, positive
from ambos.core.errors import ArgumentError, IndexingError
from ambos.data.dataset import Dataset, as_rows


class Windows(Dataset):
    """`length` rows that lie `rate` apart, from each of `starts` on, and the target of each start.

    Example:
        >>> windows = Windows(np.arange(10), None, np.array([0, 4]), 3, 2)
        >>> [window.tolist() for window in windows]
        [[0, 2, 4], [4, 6, 8]]
    """

    def __init__(
        self, data: NDArray[Any], targets: NDArray[Any] | None, starts: NDArray[Any], length: int,
        rate: int,
    ) -> None:  # fmt: skip
        self.data, self.targets, self.starts = data, targets, starts
        self.steps = np.arange(length) * rate

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexingError(f"Windows: index {index} of {len(self)} windows")
        start = self.starts[index]
        window = self.data[start + self.steps]
        return window if self.targets is None else (window, self.targets[start])

    def rows_at(self, indices: NDArray[Any], empty: Callable[..., NDArray[Any]] = np.empty) -> Any:
        """Several windows at once, in room from `empty`."""
        starts = self.starts[indices]
        found = empty((len(starts), len(self.steps), *self.data.shape[1:]), self.data.dtype)
        np.take(self.data, starts[:, None] + self.steps, 0, found, "wrap")
        if self.targets is None:
            return found
        asked = empty((len(starts), *self.targets.shape[1:]), self.targets.dtype)
        return found, np.take(self.targets, starts, 0, asked, "wrap")


@checked
def timeseries_dataset_from_array(
    data: Any, targets: Any, sequence_length: int, sequence_stride: int = 1,
    sampling_rate: int = 1, batch_size: int | None = 128, shuffle: bool = False,
    seed: int | None = None, start_index: int | None = None, end_index: int | None = None,
) -> Any:  # fmt: skip
    """Batches of windows of a series: `sequence_length` rows, `sampling_rate` apart, a window every
    `sequence_stride` rows; with `targets` pairs of windows and what belongs to them.

    The target of the window that begins in row i is `targets[i]`: to forecast the next value give
    `data[:-length]` and `data[length:]`. Only rows from `start_index` to `end_index` are looked at.
    `batch_size=None` gives single windows. Windows are gathered when they are asked for: the series
    is in memory once.

    Shapes: data (T, ...), targets (T, ...); windows (batch, sequence_length, ...).
    Errors: ArgumentError for settings that leave no window.
    Source: Keras's function of this name.

    Example:
        >>> x = np.arange(10.0)
        >>> batches = timeseries_dataset_from_array(x[:-3], x[3:], 3, batch_size=4)
        >>> windows, following = next(iter(batches))
        >>> windows[0].tolist(), float(following[0])
        ([0.0, 1.0, 2.0], 3.0)
    """
    op = "timeseries_dataset_from_array"
    for name, value in (("sequence_length", sequence_length), ("sampling_rate", sampling_rate),
                        ("sequence_stride", sequence_stride)):  # fmt: skip
        positive(f"{op}: {name}", value)
    rows = as_rows(data)
    start = positive(f"{op}: start_index", 0 if start_index is None else start_index, least=0)
    end = len(rows) if end_index is None else positive(f"{op}: end_index", end_index)
    if not start < end <= len(rows):
        raise ArgumentError(
            f"{op}: rows {start} to {end} of {len(rows)}; need 0 <= start_index < end_index <= "
            f"{len(rows)}"
        )
    rows = rows[start:end]
    count = len(rows) - (sequence_length - 1) * sampling_rate
    asked = None
    if targets is not None:
        asked = as_rows(targets)[start:end]
        count = min(count, len(asked))
    if count < 1:
        raise ArgumentError(
            f"{op}: a window of {sequence_length} rows {sampling_rate} apart does not fit into "
            f"{len(rows)} rows"
            + ("" if asked is None else f" with {len(asked)} targets")
            + "; need a shorter sequence_length or more data"
        )
    found: Any = Windows(rows, asked, np.arange(0, count, sequence_stride), sequence_length,
                         sampling_rate)  # fmt: skip
    if shuffle:
        found = found.shuffle(seed=seed)
    return found if batch_size is None else found.batch(batch_size)
