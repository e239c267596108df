"""What numbers are made of, elementwise: signs, neighbours, fractions, common divisors."""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import bool_
from ambos.core.errors import ArgumentError, DTypeError
from ambos.graph.node import Node
from ambos.ops import arithmetic as ops
from ambos.ops import bits, functions
from ambos.ops import complex as bridge
from ambos.ops.kinds import Predicate
from ambos.ops.movement import detach
from ambos.tensor.handle import Tensor, node_of, operand_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import align, binary, convert, floating, require, scalar


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
def sign(x: Any) -> Tensor:
    """-1, 0 or 1; NaN and bools stay as they are. Of a complex number the one of magnitude 1 in its
    direction. Also spelled sgn.

    Example:
        >>> import ambos as am
        >>> am.sign(am.tensor([-2.0, 0.0, 7.0])).tolist()
        [-1.0, 0.0, 1.0]
    """
    node = node_of(x)
    return wrap(node if node.dtype is bool_ else ops.sign(node))


sgn = sign


@public
def round(x: Any, decimals: int = 0) -> Tensor:
    """The nearest number of that many decimals, halves to even; decimals=-2 rounds to hundreds.
    Integers stay integers; of complex numbers each part is rounded. Also spelled round_.

    Example:
        >>> import ambos as am
        >>> am.round(am.tensor([0.5, 1.5, 2.34])).tolist(), am.round(1250, decimals=-2).item()
        ([0.0, 2.0, 2.0], 1200)
    """
    node = node_of(x)
    if node.dtype.is_complex:
        real, imag = (round(wrap(part(node)), decimals) for part in (bridge.real, bridge.imag))
        return wrap(bridge.complex_(real._node, imag._node))
    if not node.dtype.is_inexact:
        return wrap(node if decimals >= 0 else _rounded_integer(node, 10**-decimals))
    if decimals == 0:
        return wrap(functions.round_(node))
    if abs(decimals) > 308:
        raise ArgumentError(f"round: got {decimals} decimals; need at most 308, either way")
    unit = 10.0 ** abs(decimals)
    there, back = (ops.multiply, ops.divide) if decimals > 0 else (ops.divide, ops.multiply)
    exact = convert(node, node.dtype.compute)
    scaled = binary(there, exact, unit)
    found = binary(back, functions.round_(scaled), unit)
    # A number so large that it overflows has no decimals.
    found = ops.where(ops.isfinite(scaled), found, detach(exact))
    return wrap(convert(found, node.dtype))


round_ = round


def _rounded_integer(node: Node, unit: int) -> Node:
    """The multiple of `unit` next to each integer, the even one of two."""
    if node.dtype is bool_ or unit > node.dtype.max:
        raise ArgumentError(f"round: units of {unit} for {node.dtype.name}; need a unit that it "
                            "holds: use x.long() or more decimals")  # fmt: skip
    count = binary(ops.floor_divide, node, unit)
    rest = ops.subtract(node, binary(ops.multiply, count, unit))
    half = unit // 2
    odd = binary(ops.equal, binary(ops.bitwise_and, count, 1), 1)
    up = ops.bitwise_or(
        binary(ops.greater, rest, half), ops.bitwise_and(binary(ops.equal, rest, half), odd)
    )
    return binary(ops.multiply, binary(ops.add, count, convert(up, node.dtype)), unit)


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
    "copysign", "fmax", "fmin", "frac", "gcd", "lcm", "nextafter", "round", "round_",
    "sgn", "sign", "signbit",
]  # fmt: skip
