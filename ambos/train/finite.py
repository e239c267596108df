"""Numbers that are none: NaN and infinity in data would spoil all that was learnt."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambos.core.dtype import DType
from ambos.core.errors import ArgumentError
from ambos.data.dataset import as_rows
from ambos.runtime.rows import is_finite, is_finite_at
from ambos.tensor.array import is_dense
from ambos.tensor.handle import Tensor


def refuse_nan(rows: NDArray[Any], name: str, op: str = "fit") -> None:
    """An ArgumentError for NaN or infinity in `rows`."""
    if rows.dtype.kind == "f" and not is_finite(rows.ravel("K")):
        raise found_nan(rows, name, op)


def has_finite(tensor: Tensor, within: str) -> bool:
    """Are all numbers of `tensor` finite, also in the dtype `within`? It stays at rest."""
    if not tensor.dtype.is_floating:
        return True
    array = tensor._array()
    nbytes = math.prod(array.shape) * array.dtype.itemsize
    return is_dense(array.shape, array.strides) and is_finite_at(
        array.storage.address + array.offset, nbytes, array.dtype.name, within
    )


def host_name(dtype: DType) -> str:
    """The dtype of rows for a model of `dtype`: float32 where NumPy has not got it."""
    return "float32" if dtype.name == "bfloat16" else dtype.name


def narrowed(value: Any, dtype: DType) -> NDArray[Any]:
    """Rows, floating ones in the model's dtype."""
    rows = as_rows(value)
    if rows.dtype.kind != "f":
        return rows
    with np.errstate(over="ignore"):  # what is infinite then is refused, or meant
        return rows.astype(host_name(dtype), copy=False)


def found_nan(rows: NDArray[Any], name: str, op: str) -> ArgumentError:
    """What is said of rows that have NaN or infinity, which large numbers are in narrow dtypes."""
    wrong = ~np.isfinite(rows.reshape(len(rows), -1)).all(1)
    limit, fix = "", ""
    if rows.dtype.itemsize < 8 and not np.isnan(rows).any():
        largest = float(np.finfo(rows.dtype).max)
        limit, fix = f" ({rows.dtype} has none beyond {largest:.3g})", "scale them, "
    return ArgumentError(
        f"{op}: {name} has NaN or infinity in {int(wrong.sum())} of {len(rows)} rows, first in row "
        f"{int(wrong.argmax())}; need finite numbers{limit}: {fix}leave such rows out, or fill "
        "them with np.nan_to_num(...); a model that means to see them says takes_nan = True in its "
        "class"
    )
