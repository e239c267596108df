"""Tensors as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ambos.core.arguments import checked
from ambos.core.dtype import DType, bool_, complex64, float32, int64
from ambos.core.errors import UnknownNameError, suggest

DEFAULTS = (bool_, int64, float32, complex64)  # dtypes that Python numbers give need no mention
NAMES = ("precision", "threshold", "edgeitems", "linewidth", "suppress")
options: dict[str, Any] = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80}


@checked
def set_printoptions(**changes: Any) -> None:
    """Change how tensors print: precision, threshold, edgeitems, linewidth, suppress (NumPy's)."""
    for name in changes:
        if name not in NAMES:
            raise UnknownNameError(f"set_printoptions: unknown keyword {name!r}; need one of "
                                   f"{', '.join(NAMES)}{suggest(name, NAMES)}")  # fmt: skip
    with np.printoptions(**{**options, **changes}):  # NumPy checks the values
        options.update(changes)


def describe(array: np.ndarray[Any, Any], dtype: DType, notes: Sequence[str]) -> str:
    """`tensor(...)` as it is printed: values like NumPy's, then what is not the default."""
    prefix = "tensor("
    with np.printoptions(**options):
        if array.size == 0:
            body = np.array2string(array) if array.ndim == 1 else f"[], shape={array.shape}"
        else:
            body = np.array2string(array, separator=", ", prefix=prefix)
    extra = list(notes)
    if dtype not in DEFAULTS:
        extra.insert(0, f"dtype={dtype!r}")
    return prefix + ", ".join([body, *extra]) + ")"
