"""Powers with small exponents, as the products that they are."""

from __future__ import annotations

from ambos.core.dtype import Number, weak_result
from ambos.core.errors import ArgumentError
from ambos.graph.node import Node
from ambos.ops.arithmetic import divide, multiply
from ambos.ops.functions import rsqrt, sqrt
from ambos.ops.kinds import Op
from ambos.tensor.operands import SCALARS, Operand, binary, convert, scalar


def raise_to(op: Op, x: Operand, y: Operand) -> Node:
    """x ** y. Exponents 1, 2, 3, 0.5, -0.5 and -1 become products, roots and quotients: exact
    or shorter, and with gradients that need no logarithm."""
    if isinstance(x, Node) and isinstance(y, SCALARS) and not isinstance(y, bool):
        dtype = weak_result(x.dtype, y)
        if dtype.is_integer and not isinstance(y, complex) and y < 0:
            raise ArgumentError(
                f"power: {x.dtype.name} to the power {y}; integers need an exponent >= 0: "
                "use x.float()"
            )
        if dtype.kind != "b":
            short = _short(convert(x, dtype), y)
            if short is not None:
                return short
    return binary(op, x, y)


def _short(x: Node, y: Number) -> Node | None:
    if y == 1:
        return x
    if y == 2:
        return multiply(x, x)
    if y == 3:
        return multiply(multiply(x, x), x)
    if not x.dtype.is_inexact:
        return None
    if y == -1:
        return divide(scalar(1, x.dtype, x.shape), x)
    if y == 0.5:
        return sqrt(x)
    return rsqrt(x) if y == -0.5 else None
