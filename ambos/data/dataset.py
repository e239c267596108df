"""Where examples come from: arrays in memory, or anything with a length and an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.errors import ArgumentError, IndexingError, ShapeError
from ambos.tensor.handle import Tensor

Array = NDArray[Any]


class Dataset:
    """Base for examples of your own: define `__len__` and `__getitem__`."""

    def __len__(self) -> int:
        raise ArgumentError(f"{type(self).__name__}: has no __len__; need the number of examples")

    def __getitem__(self, index: int) -> Any:
        raise ArgumentError(f"{type(self).__name__}: has no __getitem__; need example `index`")


class ArrayDataset(Dataset):
    """Arrays with one row for each example, kept as NumPy arrays.

    Errors: ShapeError unless all have equally many rows.

    Example:
        >>> data = ArrayDataset(np.zeros((3, 2)), np.arange(3))
        >>> len(data), data[2]
        (3, (array([0., 0.]), np.int64(2)))
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise ArgumentError("ArrayDataset: got no arrays; need at least one")
        self.arrays: tuple[Array, ...] = tuple(as_rows(array) for array in arrays)
        counts = [len(array) for array in self.arrays]
        if len(set(counts)) > 1:
            raise ShapeError(
                f"ArrayDataset: the arrays have {' and '.join(map(str, counts))} rows; need "
                "equally many"
            )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if not -len(self) <= index < len(self):
            raise IndexingError(f"ArrayDataset: index {index} of {len(self)} examples; "
                                f"need {-len(self)} <= index < {len(self)}")  # fmt: skip
        return tuple(array[index] for array in self.arrays)

    def rows(self, indices: Array) -> tuple[Array, ...]:
        """Several examples at once."""
        return tuple(array[indices] for array in self.arrays)


TensorDataset = ArrayDataset  # PyTorch's name


def as_rows(value: Any) -> Array:
    """`value` as a NumPy array with at least one axis: arrays, tensors (also torch's), lists."""
    if isinstance(value, Tensor):
        array = value.numpy()
    elif type(value).__module__.partition(".")[0] == "torch":
        array = value.detach().cpu().numpy()
    else:
        array = np.asarray(value)
        given = isinstance(value, np.ndarray) or hasattr(value, "dtype")
        if array.dtype == np.float64 and not given:
            array = array.astype(np.float32)  # Python numbers, as in am.tensor
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"data: got {type(value).__name__} ({array.dtype}); need numbers")
    if array.ndim == 0:
        raise ShapeError("data: got a single number; need one row for each example")
    return array


def stack(examples: Sequence[Any]) -> Any:
    """A batch from single examples: tuples and dictionaries keep their structure.

    Errors: ShapeError where the examples differ in shape.
    """
    first = examples[0]
    if isinstance(first, tuple):
        return tuple(stack(column) for column in zip(*examples, strict=True))
    if isinstance(first, dict):
        return {key: stack([example[key] for example in examples]) for key in first}
    arrays = [e.numpy() if isinstance(e, Tensor) else np.asarray(e) for e in examples]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ShapeError(f"data: examples of shapes {sorted(shapes)} in one batch; need one shape")
    batch = np.stack(arrays)
    if batch.dtype == np.float64 and isinstance(first, float) and type(first) is float:
        batch = batch.astype(np.float32)
    return batch
