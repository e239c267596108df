"""Floating numbers as fraction and power of two, and functions that choose their precision."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ambos.core.dtype import DType, bool_, complex128, float64, int32, int64
from ambos.core.errors import DTypeError
from ambos.core.shape import broadcast
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import complex as bridge
from ambos.ops import functions
from ambos.ops.movement import detach
from ambos.tensor.handle import Tensor, node_of, operand_of, wrap
from ambos.tensor.limits import finfo
from ambos.tensor.names import public
from ambos.tensor.operands import (
    align,
    binary,
    common_dtype,
    convert,
    expand_to,
    floating,
    scalar,
    scaled,
)
from ambos.tensor.powers import raise_to


class Fraction(NamedTuple):
    """x == mantissa * 2 ** exponent, where 0.5 <= |mantissa| < 1."""

    mantissa: Tensor
    exponent: Tensor


def _power_of_two(n: Node, dtype: DType) -> Node:
    """2 ** n, exactly, for whole n with |n| < 1024 (float64) or 128: a product over its bits."""
    one = scalar(1, dtype, n.shape)
    size, below = ops.absolute(n), ops.less(n, scalar(0, int64, n.shape))
    found = one
    for bit in range(10 if dtype is float64 else 7):
        mask = scalar(1 << bit, int64, n.shape)
        is_set = ops.equal(ops.bitwise_and(size, mask), mask)
        up, down = (scalar(2.0**e, dtype, n.shape) for e in (1 << bit, -(1 << bit)))
        found = ops.multiply(found, ops.where(is_set, ops.where(below, down, up), one))
    return found


def _scaled(x: Node, n: Node) -> Node:
    """x * 2 ** n, in three steps: each power is a finite number wherever the result is one."""
    # Beyond this limit every result is infinite or zero.
    limit = scalar(2100 if x.dtype is float64 else 300, int64, n.shape)
    n = ops.maximum(ops.negative(limit), ops.minimum(limit, n))
    third = ops.floor_divide(n, scalar(3, int64, n.shape))
    twice = ops.add(third, third)
    part = _power_of_two(third, x.dtype)
    rest = _power_of_two(ops.subtract(n, twice), x.dtype)
    return ops.multiply(ops.multiply(ops.multiply(x, part), part), rest)


@public
def ldexp(x: Any, y: Any) -> Tensor:
    """x * 2 ** y; where `y` is whole, exact for all results that are no subnormal numbers.

    Example:
        >>> import ambos as am
        >>> am.ldexp(am.tensor([0.75, 3.0]), am.tensor([2, -1])).tolist()
        [3.0, 1.5]
    """
    a, exponent = floating(node_of(x)), node_of(y)
    if exponent.dtype.is_inexact:
        return wrap(binary(ops.multiply, a, raise_to(functions.power, 2.0, exponent)))
    if a.dtype.is_complex:
        parts = (ldexp(wrap(part(a)), y)._node for part in (bridge.real, bridge.imag))
        return wrap(bridge.complex_(*parts))
    shape = broadcast("ldexp", a.shape, exponent.shape)
    value = expand_to(convert(a, a.dtype.compute), shape)
    return wrap(convert(_scaled(value, expand_to(convert(exponent, int64), shape)), a.dtype))


@public
def frexp(x: Any) -> Fraction:
    """(mantissa, exponent) with x == mantissa * 2 ** exponent and 0.5 <= |mantissa| < 1; zero, NaN
    and infinities are their own mantissa, with the exponent 0.

    Example:
        >>> import ambos as am
        >>> found = am.frexp(am.tensor([6.0, -0.125]))
        >>> found.mantissa.tolist(), found.exponent.tolist()
        ([0.75, -0.5], [3, -2])
    """
    given = node_of(x)
    if not given.dtype.is_floating:
        raise DTypeError(f"frexp: got {given.dtype.name}; need a floating dtype: use x.float()")
    node = convert(given, given.dtype.compute)
    zero, one = scalar(0, node.dtype, node.shape), scalar(1, node.dtype, node.shape)
    size = detach(ops.absolute(node))
    plain = ops.bitwise_and(ops.isfinite(size), ops.greater(size, zero))
    tiny = scalar(finfo(node.dtype).tiny, node.dtype, node.shape)
    # Subnormal numbers are lifted, so that their logarithm is exact enough.
    lift = 64
    is_tiny = ops.less(size, tiny)
    lifted = ops.multiply(size, scalar(2.0**lift, node.dtype, node.shape))
    known = ops.where(plain, ops.where(is_tiny, lifted, size), one)
    logarithm = binary(ops.multiply, functions.log(known), 1 / math.log(2))
    exponent = ops.add(convert(functions.floor(logarithm), int64),
                       scalar(1, int64, node.shape))  # fmt: skip
    rough = _scaled(known, ops.negative(exponent))
    # The logarithm rounds: near a power of two the exponent may be one off.
    step = scalar(1, int64, node.shape)
    exponent = ops.where(ops.greater_equal(rough, one), ops.add(exponent, step), exponent)
    half = scalar(0.5, node.dtype, node.shape)
    exponent = ops.where(ops.less(rough, half), ops.subtract(exponent, step), exponent)
    moved = ops.subtract(exponent, scalar(lift, int64, node.shape))
    exponent = ops.where(is_tiny, moved, exponent)
    exponent = ops.where(plain, exponent, scalar(0, int64, node.shape))
    mantissa = ops.where(plain, _scaled(node, ops.negative(exponent)), node)
    return Fraction(wrap(convert(mantissa, given.dtype)), wrap(convert(exponent, int32)))


@public
def float_power(x: Any, y: Any) -> Tensor:
    """x to the power y, in float64 (of complex numbers complex128).

    Example:
        >>> import ambos as am
        >>> am.float_power(am.tensor([2, 3]), -1).dtype
        ambos.float64
    """
    given = operand_of(x), operand_of(y)
    dtype = complex128 if common_dtype(given).is_complex else float64
    a, b = align("float_power", given, dtype)
    return wrap(functions.power(a, b))


@public
def positive(x: Any) -> Tensor:
    """`x` itself, a number.

    Errors: DTypeError for bool.
    """
    node = node_of(x)
    if node.dtype is bool_:
        raise DTypeError("positive: got bool; need numbers: use x.int()")
    return wrap(node)


@public
def rsub(x: Any, y: Any, alpha: float = 1) -> Tensor:
    """y - alpha * x.

    Example:
        >>> import ambos as am
        >>> am.rsub(am.tensor([1, 2]), 10).tolist()
        [9, 8]
    """
    return wrap(binary(ops.subtract, operand_of(y), scaled(operand_of(x), alpha)))


__all__ = ["Fraction", "float_power", "frexp", "ldexp", "positive", "rsub"]
