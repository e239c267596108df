"""What numbers are made of, elementwise: signs, neighbours, fractions, common divisors."""

from __future__ import annotations

from typing import Any

from ambos.core.errors import DTypeError
from ambos.ops import arithmetic as ops
from ambos.ops import bits, functions
from ambos.ops.kinds import Predicate
from ambos.tensor.handle import Tensor, node_of, operand_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import align, binary, floating, require, scalar


@public
def copysign(x: Any, y: Any) -> Tensor:
    """The magnitude of `x` with the sign of `y` (zeros and NaN have signs).

    Example:
        >>> import ambos as am
        >>> am.copysign(am.tensor([1.0, -2.0]), -0.0).tolist()
        [-1.0, -2.0]
    """
    a, b = align("copysign", (operand_of(x), operand_of(y)))
    return wrap(bits.copysign(floating(a), floating(b)))


@public
def signbit(x: Any) -> Tensor:
    """Is the sign bit set (of -0.0 and of a NaN too)?

    Example:
        >>> import ambos as am
        >>> am.signbit(am.tensor([0.0, -0.0, -3.0])).tolist()
        [False, True, True]
    """
    node = node_of(x)
    if node.dtype.is_floating:
        return wrap(bits.signbit(node))
    return wrap(ops.less(node, scalar(0, node.dtype, node.shape)))


@public
def nextafter(x: Any, y: Any) -> Tensor:
    """The number next to `x` in the direction of `y`.

    Dtypes: float32 and float64.

    Example:
        >>> import ambos as am
        >>> am.nextafter(1.0, 2.0).item() - 1.0 == am.finfo(am.float32).eps
        True
    """
    a, b = align("nextafter", (operand_of(x), operand_of(y)))
    if not a.dtype.is_floating or a.dtype.compute is not a.dtype:
        raise DTypeError(f"nextafter: got {a.dtype.name}; need float32 or float64: use x.float()")
    return wrap(bits.nextafter(a, b))


@public
def frac(x: Any) -> Tensor:
    """`x` less its whole part, with the sign of `x`.

    Example:
        >>> import ambos as am
        >>> am.frac(am.tensor([1.25, -1.25])).tolist()
        [0.25, -0.25]
    """
    node = node_of(x)
    require("frac", node, "f", "whole numbers have no fraction: use x.float()")
    return wrap(ops.subtract(node, functions.trunc(node)))


@public
def fmax(x: Any, y: Any) -> Tensor:
    """The larger of two; NaN only where both are.

    Example:
        >>> import ambos as am
        >>> am.fmax(am.tensor([1.0, float("nan")]), 0.0).tolist()
        [1.0, 0.0]
    """
    return _chosen("fmax", ops.greater_equal, x, y)


@public
def fmin(x: Any, y: Any) -> Tensor:
    """The smaller of two; NaN only where both are."""
    return _chosen("fmin", ops.less_equal, x, y)


def _chosen(name: str, before: Predicate, x: Any, y: Any) -> Tensor:
    """x where it comes before y or y is NaN, else y."""
    a, b = align(name, (operand_of(x), operand_of(y)))
    first = before(a, b)
    if a.dtype.is_floating:
        first = ops.bitwise_or(first, ops.isnan(b))
    return wrap(ops.where(first, a, b))


@public
def gcd(x: Any, y: Any) -> Tensor:
    """The greatest common divisor of integers, >= 0.

    Example:
        >>> import ambos as am
        >>> am.gcd(am.tensor([12, -18, 0]), 8).tolist(), am.lcm(4, 6).item()
        ([4, 2, 8], 12)
    """
    return wrap(binary(bits.gcd, operand_of(x), operand_of(y)))


@public
def lcm(x: Any, y: Any) -> Tensor:
    """The least common multiple of integers, >= 0."""
    a, b = align("lcm", (operand_of(x), operand_of(y)))
    product = ops.multiply(ops.floor_divide(a, bits.gcd(a, b)), b)
    return wrap(ops.absolute(product))


__all__ = [
    "copysign", "fmax", "fmin", "frac", "gcd", "lcm", "nextafter", "signbit",
]  # fmt: skip
