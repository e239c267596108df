"""Data at the door: numbers, nested lists and other people's arrays become leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ambos.core.dtype import DType, complex64, float32
from ambos.core.errors import DTypeError, ShapeError
from ambos.graph.node import Node
from ambos.ops.sources import data
from ambos.tensor.array import Array
from ambos.tensor.casting import fitted
from ambos.tensor.looking import Looking
from ambos.tensor.tracing import current

NARROW = {"float64": float32, "complex128": complex64}  # what Python numbers become


def data_of(value: Any, dtype: DType | None = None) -> Node:
    """A fresh Data leaf with a copy of `value`, whose values have to fit a `dtype` asked for."""
    if isinstance(value, (list, tuple)) and any(isinstance(v, Looking) for v in value):
        _refuse_results(value)
        value = [v.numpy() if isinstance(v, Looking) else v for v in value]
    given = isinstance(value, np.ndarray) or hasattr(value, "dtype")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ShapeError(
            f"tensor: the data is no array ({error}); need numbers nested evenly"
        ) from None
    if array.dtype.kind not in "biufc" and array.dtype.name != "bfloat16":
        raise DTypeError(f"tensor: got {_kind_of(value, array)}; need numbers or bools, or a "
                         "nest of lists of them")  # fmt: skip
    if dtype is None and not given:
        dtype = NARROW.get(array.dtype.name)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if dtype is not None and array.dtype.name != dtype.name:
        array = fitted(array, dtype)
    return leaf_of(Array.from_numpy(array))


def _refuse_results(value: Sequence[Any]) -> None:
    """What some layers return, in place of the tensor in it. (Tensors of one shape are stacked.)"""
    shapes = {tuple(part.shape) for part in value if isinstance(part, Looking)}
    is_nested = any(part is None or (isinstance(part, (list, tuple)) and _has_tensors(part))
                    for part in value)  # fmt: skip
    if len(shapes) > 1 or is_nested:
        kinds = [str(tuple(part.shape)) if isinstance(part, Looking) else type(part).__name__
                 for part in value]  # fmt: skip
        raise ShapeError(
            f"tensor: got a {type(value).__name__} of {len(value)}: {', '.join(kinds)}; need one "
            "tensor: nn.LSTM, nn.GRU, nn.RNN and nn.MultiheadAttention return (output, state or "
            "weights), of which a forward takes the first, self.lstm(x)[0]; in nn.Sequential that "
            "is a module of its own"
        )


def _has_tensors(value: Sequence[Any]) -> bool:
    return any(isinstance(part, Looking) and part.shape for part in value)


def leaf_of(array: Array) -> Node:
    """A fresh Data leaf with these values."""
    node = data.leaf(array, array.shape, array.dtype)
    if current.trace is not None:
        current.trace.constants.add(node)
    return node


def _kind_of(value: Any, array: np.ndarray[Any, Any]) -> str:
    if array.dtype != object:
        return f"dtype {array.dtype}"
    is_number = array.ndim == 0 and isinstance(value, int)
    return f"an integer of {value.bit_length()} bits" if is_number else type(value).__name__
