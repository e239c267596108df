"""Casts that would invent values: what may become an integer, and what fits a narrower type."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ambos.core.dtype import DType, bfloat16
from ambos.core.errors import DTypeError
from ambos.graph.node import Node
from ambos.tensor.checks import outside, require_range
from ambos.tensor.operands import convert

SMALL = 65_536  # elements: looking for NaN in so many costs some 30 us


def fitted(array: np.ndarray[Any, Any], dtype: DType) -> np.ndarray[Any, Any]:
    """`array` as `dtype` for data at the door, where each value has to survive: no NaN, fraction
    or overflow may be lost. (bfloat16, which NumPy lacks, is left to the compiler's cast.)"""
    if array.dtype.kind == "c" and not dtype.is_complex:
        raise DTypeError(f"tensor: got complex numbers for {dtype.name}; need a complex dtype, or "
                         "the parts: use array.real")  # fmt: skip
    if dtype.is_integer:
        check_range("tensor", array, dtype)
        if array.dtype.kind == "f" and (fractions := array != np.trunc(array)).any():
            raise DTypeError(f"tensor: {array[fractions].flat[0]} as {dtype.name} loses its "
                             "fraction; need whole numbers: round first, or cast with "
                             f".astype({dtype.name!r})")  # fmt: skip
    if dtype is bfloat16:
        return array
    with np.errstate(over="ignore"):
        found = array.astype(dtype.name, copy=False)
    if dtype.is_inexact and found.itemsize < array.itemsize:
        lost = np.isinf(found) & np.isfinite(array)
        if lost.any():
            raise DTypeError(f"tensor: {array[lost].flat[0]} overflows {dtype.name}; need |x| <= "
                             f"{np.finfo(found.dtype).max}: use a wider dtype")  # fmt: skip
    return found


def check_range(op: str, array: np.ndarray[Any, Any], dtype: DType) -> None:
    """A DTypeError for values that no integer `dtype` has: NaN, or outside its range."""
    if array.dtype.kind == "b":
        return
    wrong = outside(array, int(dtype.min), int(dtype.max) + 1)
    if wrong.any():
        raise DTypeError(no_integer(op, dtype, array[wrong].flat[0]))


def no_integer(op: str, dtype: DType, value: Any) -> str:
    """What to say of a value that no integer `dtype` has."""
    return (
        f"{op}: a value is {value} as {dtype.name}; need a number in {dtype.min}..{dtype.max}: "
        "clip and replace NaN (am.nan_to_num) first, or use a wider dtype"
    )


def recast(node: Node, dtype: DType) -> Node:
    """`node` as `dtype`, asked for by the user: what is known and small is checked first."""
    known = node.value is not None and node.size <= SMALL
    if known and node.dtype.is_floating and dtype.is_integer:
        low, high = int(dtype.min), int(dtype.max) + 1
        require_range(node, low, high, DTypeError, partial(no_integer, "astype", dtype))
    return convert(node, dtype)
