"""Numbers of examples, as people give them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.errors import ArgumentError, ArgumentTypeError, IndexingError


def place_in(owner: str, index: Any, count: int) -> int:
    """Which of `count` examples an index means; those below 0 count from the end.

    Errors: IndexingError for one that is not there, ArgumentTypeError for what is no integer.

    Example:
        >>> place_in("Subset", -1, 5)
        4
    """
    try:
        found = operator.index(index)
    except TypeError:
        raise ArgumentTypeError(
            f"{owner}: index is {index!r:.60}; need an integer: Subset(dataset, numbers), or take "
            "and skip, are parts of a dataset"
        ) from None
    if not -count <= found < count:
        raise IndexingError(f"{owner}: index {found} of {count} examples; need {-count} <= index < "
                            f"{count}")  # fmt: skip
    return found % count


def numbers_in(owner: str, indices: Any) -> NDArray[np.int64]:
    """Indices as a vector.

    Errors: ArgumentError for masks and for numbers that are not whole, which would be taken for
        others.

    Example:
        >>> numbers_in("Subset", [2.0, 0]).tolist()
        [2, 0]
    """
    found = np.asarray(indices)
    if found.dtype.kind == "b" and found.size:
        raise ArgumentError(f"{owner}: got a mask; need numbers: np.flatnonzero(mask)")
    kind = found.dtype.kind
    if found.size and (kind not in "iuf" or (kind == "f" and (found % 1).any())):
        raise ArgumentError(f"{owner}: indices are {indices!r:.60}; need integers")
    return found.astype(np.int64, copy=False).reshape(-1)
