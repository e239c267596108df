"""Datasets of examples, of batches, and those that may be either."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ambos.core import tree
from ambos.core.errors import ArgumentError
from ambos.data import DataLoader, Dataset
from ambos.data.loader import is_stream
from ambos.data.row_spans import has_rows

Check = Callable[[Any], None]  # of the first batch, as it came


def in_batches(
    op: str, name: str, x: Any, batch_size: int | None, usual: int, shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Check | None]:  # fmt: skip
    """What gives batches of `x`, and a look at its first one where nothing else tells what it is.

    A dataset with an index has examples, as PyTorch's have, unless a stage has put them together:
    `batch_size` of them make a batch, or as many as are `usual`. All else gives batches.

    Errors: ArgumentError for batches beside a `batch_size`.
    """
    kind = _batched(x)
    what = f"{op}: {name} ({type(x).__name__})"
    if batch_size is not None and (kind or not _is_dataset(x)):
        argument = "batch_size" if name == "x" else "validation_batch_size"
        raise ArgumentError(f"{what} gives batches already; need no {argument} beside it")
    if kind is False or (batch_size is not None and _is_dataset(x)):
        size = usual if batch_size is None else batch_size
        check = None if batch_size is not None else lambda first: _check_examples(what, first)
        if is_stream(x):  # which has an order of its own
            return DataLoader(x, batch_size=size), check
        return DataLoader(x, batch_size=size, shuffle=shuffle, seed=seed), check
    if not hasattr(x, "__iter__") and _is_dataset(x):
        x = Counted(x)
    is_dataset = _is_dataset(x)
    return x, None if kind else lambda first: _check_batch(what, first, is_dataset)


def _batched(x: Any) -> bool | None:
    """Are the elements of `x` batches? None where only they can tell."""
    if isinstance(x, Dataset):
        return x.batched
    if isinstance(x, DataLoader) and has_rows(x):
        return True
    return False if _is_of_torch(x) and not is_stream(x) else None


def _is_of_torch(x: Any) -> bool:
    return any(base.__module__ == "torch.utils.data.dataset" for base in type(x).__mro__)


def _is_dataset(x: Any) -> bool:
    """Can examples of `x` be put together, by their numbers or as they come?"""
    if isinstance(x, (Dataset, Counted)) or _is_of_torch(x):
        return True
    return not hasattr(x, "__iter__") and hasattr(x, "__getitem__") and hasattr(x, "__len__")


class Counted:
    """What has an index and a length, which says where it ends."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[Any]:
        return (self.source[number] for number in range(len(self.source)))


def _shapes(batch: Any) -> list[list[tuple[int, ...]]] | None:
    """The shapes in x and in y; None where this is no pair, or not of arrays."""
    if not isinstance(batch, (tuple, list)) or not 2 <= len(batch) <= 3:
        return None
    try:
        parts = [list(tree.leaves(part)) for part in batch[:2]]
        found = [[np.shape(leaf) for leaf in leaves] for leaves in parts]
    except ValueError:  # rows of several lengths, of which others tell
        return None
    if any(isinstance(leaf, (str, bytes)) for leaves in parts for leaf in leaves):  # so is text
        return None
    return found if all(found) else None


def _said(shapes: list[list[tuple[int, ...]]], less: int = 0) -> str:
    return ", ".join(
        f"{name} {shape[less:]}" for name, part in zip("xy", shapes, strict=True) for shape in part
    )


def _check_batch(what: str, first: Any, is_dataset: bool) -> None:
    """Refuse one example where a batch is needed."""
    shapes = _shapes(first)
    if shapes is None:
        return
    flat = [shape for part in shapes for shape in part]
    if all(flat) and (not is_dataset or len({shape[0] for shape in flat}) == 1):
        return
    fix = "batch_size=32, or .batch(32) of a Dataset" if is_dataset else (
        "a DataLoader with a batch_size, or a generator of whole batches")  # fmt: skip
    raise ArgumentError(f"{what} gave one example where a batch is needed: {_said(shapes)}; need "
                        f"{fix}")  # fmt: skip


def _check_examples(what: str, first: Any) -> None:
    """Refuse examples that look like batches, where nobody has said which they are."""
    shapes = _shapes(first)
    if shapes is None:
        return
    xs, ys = shapes
    if any(len(shape) < 3 for shape in xs) or any(len(shape) < 2 for shape in ys):
        return
    if len({shape[1] for shape in (*xs, *ys)}) == 1:
        raise ArgumentError(
            f"{what}: its elements may be batches already, or one example each: "
            f"{_said(shapes, 1)}; need batch_size=32 for examples, or DataLoader(dataset, "
            "batch_size=None) for batches"
        )
