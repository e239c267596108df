"""Do two results agree? Dtype, shape and values, with the tolerances stated here and only here."""

from typing import Any

import numpy as np
import torch

import ambos as am
from tests.parity.convert import array_of, dtype_name, flat

# By dtype: the share of the element, and the share of the largest element of the tensor (an entry
# that is a difference of large ones cannot be more exact than they are). Others must be equal.
TOLERANCES = {
    "float16": (2e-3, 1e-3), "bfloat16": (2e-2, 1e-2), "float32": (1e-4, 2e-6),
    "float64": (1e-9, 1e-12), "complex64": (1e-4, 2e-6), "complex128": (1e-9, 1e-12),
}  # fmt: skip
SMALLEST = 1e-6  # what counts as zero beside numbers of ordinary size


def difference(ours: Any, theirs: Any, values: bool = True, scale: float = 1.0) -> str | None:
    """What differs, in words; None where the results agree. `scale` widens the tolerances;
    without `values` (random numbers, memory that nobody has written) only dtypes and shapes
    are compared."""
    if isinstance(theirs, torch.Size):
        ours, theirs = list(ours), list(theirs)
    mine, other = flat(ours), flat(theirs)
    if len(mine) != len(other):
        return f"{len(mine)} results where torch has {len(other)}"
    for number, (x, y) in enumerate(zip(mine, other, strict=True)):
        found = _one(x, y, values, scale)
        if found is not None:
            return f"result {number}: {found}" if len(mine) > 1 else found
    return None


def _one(x: Any, y: Any, values: bool, scale: float) -> str | None:
    if not isinstance(y, torch.Tensor):
        x = x.tolist() if isinstance(x, am.Tensor) else x
        same = x == y or (x != x and y != y)
        return None if same else f"{x!r}, torch has {y!r}"
    if not isinstance(x, am.Tensor):
        return f"a {type(x).__name__} where torch has a tensor"
    if dtype_name(x) != dtype_name(y):
        return f"dtype {dtype_name(x)}, torch has {dtype_name(y)}"
    if x.shape != tuple(y.shape):
        return f"shape {x.shape}, torch has {tuple(y.shape)}"
    if not values:
        x.numpy()
        return None
    return close(array_of(x), array_of(y), dtype_name(y), scale)


def close(x: Any, y: Any, dtype: str, scale: float = 1.0) -> str | None:
    """What differs between two arrays of one shape."""
    if dtype not in TOLERANCES:
        wrong = np.asarray(x != y)
    else:
        share, of_largest = TOLERANCES[dtype]
        x, y = (np.asarray(v, np.complex128 if v.dtype.kind == "c" else np.float64) for v in (x, y))
        finite = np.abs(y[np.isfinite(y)])
        largest = float(finite.max()) if finite.size else 0.0
        with np.errstate(all="ignore"):
            bound = scale * (share * np.abs(y) + of_largest * largest + SMALLEST)
            near = np.abs(x - y) <= np.where(np.isfinite(bound), bound, 0)
        wrong = ~(near | (x == y) | (np.isnan(x) & np.isnan(y)))
    if not wrong.any():
        return None
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (f"{int(wrong.sum())} of {wrong.size} values differ, first at {first}: "
            f"{x[first]!r}, torch has {y[first]!r}")  # fmt: skip
