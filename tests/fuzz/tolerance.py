"""How near an op's result has to be to that of its NumPy reference, on the same operands.

The same bits, except: our elementary functions and those that NumPy has differ by some units in
the last place; sums, products and contractions have an order of their own, so each is as near as
rounding allows for the magnitudes that it adds up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ambos.core.dtype import DType
from ambos.graph.node import Node
from ambos.testing import reference
from tests.ops.test_compiled import approximate
from tests.ops.test_registry import TRIGONOMETRIC_RANGE

Values = np.ndarray[Any, Any]
DIGITS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-22, "float64": 2.0**-51}
LINEAR = ("sum", "contract", "scatter_add", "scatter_elements", "cumsum", "blend")
PRODUCTS = ("prod", "cumprod", "scatter_fold")
ZEROS = (
    "max",
    "min",
    "amax",
    "amin",
    "cummax",
    "cummin",
    "scatter_fold",
)  # which zero is ours to choose


def same_numbers(a: Values, b: Values) -> Values:
    """Equal with the signs of zeros; any NaN is like any other."""
    if a.dtype.kind == "c":
        return np.asarray(same_numbers(a.real, b.real) & same_numbers(a.imag, b.imag))
    if a.dtype.kind != "f":
        return np.asarray(a == b)
    return np.asarray((a == b) & (np.signbit(a) == np.signbit(b)) | (np.isnan(a) & np.isnan(b)))


def agree(node: Node, found: Values, expected: Values, inputs: Sequence[Values]) -> bool:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    equal = same_numbers(found, expected)
    if equal.all():
        return True
    with np.errstate(all="ignore"):
        if node.op.name in ZEROS:
            equal |= found == expected
        allowed = _allowed(node, expected, inputs)
        if allowed is not None:
            equal |= np.abs(_wide(found) - _wide(expected)) <= allowed
            equal |= ~np.isfinite(allowed)  # a sum that overflows may do so sooner or later
    return bool(equal.all())


def _wide(values: Values) -> Values:
    return values.astype(np.result_type(values.dtype, np.float64))


def _allowed(node: Node, expected: Values, inputs: Sequence[Values]) -> Values | None:
    """The largest difference that rounding explains; None: none does. Infinite where numbers are
    beyond what the order of an operation leaves alone."""
    dtype = node.dtype.part
    if not dtype.is_floating:
        return None
    digits = DIGITS[dtype.name]
    size = np.abs(_wide(expected))
    tiny = _tiny(dtype)
    name = node.op.name
    if any(values.dtype.kind == "c" for values in [expected, *inputs]):
        return _for_complex(node, size, inputs, digits)
    if name in LINEAR:
        terms = max(i.size for i in inputs) / max(1, expected.size)
        if name.startswith("scatter") or name == "cumsum":
            terms = inputs[-1].size  # some of which go to the same place
        if name != "cumsum":  # which NumPy adds up one by one
            terms = min(terms, 128)  # of unequal signs, beyond that
        rounds = 1 + terms / 4
        return rounds * digits * _magnitude(node, inputs, dtype) + tiny
    if name in PRODUCTS:
        return _of_products(node, size, inputs, digits, dtype) + tiny
    if name in ("logcumsumexp", "logaddexp"):
        most = max((np.abs(_wide(i[np.isfinite(i)])).max(initial=0) for i in inputs), default=0)
        steps = 1 + (max(node.shape, default=1) / 16 if name == "logcumsumexp" else 0)
        return 4 * digits * steps * (size + most + 1)
    if node.op.kind in ("attention", "call"):  # type: ignore[attr-defined]
        return 64 * digits * np.maximum(size, 1)
    if node.op.kind == "random":  # type: ignore[attr-defined]
        return 8 * digits * np.maximum(size, 1)
    if approximate(node.op):  # type: ignore[arg-type]
        found = 4 * digits * size + tiny
        if name in ("sin", "cos", "tan"):
            far = np.abs(_wide(inputs[0])) > TRIGONOMETRIC_RANGE[node.dtype.compute]
            found = np.where(far, np.inf, found)
        if name == "erf_slope":  # the reference rounds the square before exp takes it
            found = found * (1 + _wide(inputs[0]) ** 2 / 4)
        return np.asarray(found)
    return None


def _tiny(dtype: DType) -> float:
    if dtype.name == "bfloat16":
        return 2.0**-133
    return float(np.finfo(dtype.name).smallest_subnormal) * 4


def _magnitude(node: Node, inputs: Sequence[Values], dtype: DType) -> Values:
    """What the sum of the magnitudes would be, in float64; infinite where it would overflow."""
    absolute = [np.abs(i) if i.dtype.kind in "fc" else i for i in inputs]
    found = _wide(reference.compute(node, absolute))
    wide = np.where(found < float(dtype.compute.max) / 4, found, np.inf)
    return np.asarray(np.where(np.isfinite(found), wide, np.inf))


def _of_products(
    node: Node, size: Values, inputs: Sequence[Values], digits: float, dtype: DType
) -> Values:
    """Infinite where some order of the factors overflows or underflows."""
    large = [np.maximum(np.abs(i), 1) if i.dtype.kind == "f" else i for i in inputs]
    small = [np.minimum(np.abs(i), 1) if i.dtype.kind == "f" else i for i in inputs]
    most, least = (_wide(reference.compute(node, i)) for i in (large, small))
    safe = np.isfinite(most) & (least > float(np.finfo(np.float32).tiny) * 1e3)
    factors = max(i.size for i in inputs) ** 0.5 + 8
    return np.asarray(np.where(safe, factors * digits * size, np.inf))


def _for_complex(node: Node, size: Values, inputs: Sequence[Values], digits: float) -> Values:
    """Both parts as near as the larger one allows; infinities may become NaN."""
    bound = 2.0**40 if node.dtype.part.itemsize == 4 else 2.0**300
    floating = [np.abs(i) for i in inputs if i.dtype.kind in "fc"]
    calm = all(np.all((i == 0) | (i < bound) & (i > 1 / bound)) for i in floating)
    if not calm:
        return np.full(size.shape, np.inf)
    if node.op.name in LINEAR:
        return 8 * digits * _magnitude(node, inputs, node.dtype.part)
    if node.op.name in ("log1p", "expm1"):  # NumPy's own lose digits near 0
        return np.asarray(16 * digits * np.maximum(size, 1))
    factors = max((i.size for i in inputs), default=1) if node.op.name in PRODUCTS else 16
    return np.asarray(factors * digits * np.maximum(size, 2.0**-100))
