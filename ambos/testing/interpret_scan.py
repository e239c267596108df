"""The interpreter's ScanKernel: running results in the canonical order, step by step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ambos.compiler.loops import BLOCK, LANES, ScanKernel
from ambos.core.dtype import DType
from ambos.testing.scalar import NumpyBuilder, storage

Array = npt.NDArray[Any]
Combine = Callable[[Array, Array], Array]


def interpret_scan(kernel: ScanKernel, words: Sequence[Any], make_point: Callable[[], Any]) -> None:
    """Run `kernel`; `make_point()` evaluates its tape (interpret.Point)."""
    extents = [int(words[word]) for word in kernel.extents]
    for indices in itertools.product(*(range(extents[axis]) for axis in kernel.grid)):
        point = make_point()
        for axis, index in zip(kernel.grid, indices, strict=True):
            point.axes[axis] = np.full((1, 1), index, np.int64)
        if kernel.lane is not None:
            point.axes[kernel.lane] = np.arange(extents[kernel.lane], dtype=np.int64)[:, None]
        point.axes[kernel.axis] = np.arange(extents[kernel.axis], dtype=np.int64)[None, :]
        if 0 in point.shape:
            continue
        value = point.value(kernel.value, {})
        wide = point.widen(value)
        data = np.broadcast_to(wide.data, point.shape).astype(storage(wide.dtype))
        turned = data[:, ::-1] if kernel.reverse else data
        combine = COMBINE.get(kernel.op) or _pointwise(point.lower(kernel.op), wide.dtype)
        found = running(turned, kernel.op, combine)
        point.results[0] = type(value)(found[:, ::-1] if kernel.reverse else found, wide.dtype)
        point.store(kernel.stores)


def running(rows: Array, op: str, combine: Combine) -> Array:
    """The canonical running results of every row."""
    found = np.empty_like(rows)
    identity = np.full((rows.shape[0], 1), _identity(op, rows.dtype), rows.dtype)
    base = carry = identity
    for start in range(0, rows.shape[1], LANES):
        if start % BLOCK == 0:
            base, carry = (combine(base, carry), identity) if start else (identity, identity)
        group = rows[:, start : start + LANES].copy()
        for step in (1, 2, 4, 8):
            group[:, step:] = combine(group[:, :-step], group[:, step:])
        group = combine(carry, group)
        carry = group[:, -1:]
        found[:, start : start + LANES] = combine(base, group)
    return found


def _later(better: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """The better of two; NaN wins, and of equals the later."""
    return lambda a, b: np.where(better(a, b) | (a != a), a, b)


def _pointwise(rule: Callable[..., Any], dtype: DType) -> Combine:
    """The rule of a pointwise op as a step."""
    builder = NumpyBuilder()

    def combine(a: Array, b: Array) -> Array:
        values = (builder.value(part, dtype) for part in np.broadcast_arrays(a, b))
        return np.asarray(rule(builder, *values).data)

    return combine


COMBINE: dict[str, Combine] = {
    "add": np.add,
    "mul": np.multiply,
    "max": _later(np.greater),
    "min": _later(np.less),
}


def _identity(op: str, dtype: np.dtype[Any]) -> Any:
    if op in ("add", "mul"):
        return 0 if op == "add" else 1
    if dtype.kind == "f":
        return np.inf if op == "min" else -np.inf
    return np.iinfo(dtype).min if op == "max" else np.iinfo(dtype).max
