"""What numbers are made of: signs, neighbours, common divisors."""

from __future__ import annotations

from typing import Any

from ambos.core.dtype import float64, int32, int64
from ambos.graph.node import Node
from ambos.ops.arithmetic import equal, negative, not_equal, where
from ambos.ops.kinds import BY_RULE, Grads, Pointwise, Predicate, constant_like


def _as_integer(b: Any, x: Any) -> Any:
    """The bits of a float32 or float64 as a signed integer."""
    return b.bitcast(x, int64 if x.dtype is float64 else int32)


class Copysign(Pointwise):
    """The magnitude of x with the sign of y (zeros and NaN have signs)."""

    arity, smooth = 2, False
    lower = lambda b, x, y: b.copysign(x, y)
    ref = lambda np, x, y: np.copysign(x, y)

    def vjp(self, node: Node, g: Node) -> Grads:
        x, zero = node.inputs[0], constant_like(g, 0)
        turned = where(not_equal(signbit(x), signbit(node)), negative(g), g)
        return where(equal(x, zero), zero, turned), None


class Signbit(Predicate):
    """Is the sign bit set (of -0.0 and of a NaN too)?"""

    accepts = "f"
    lower = lambda b, x: _as_integer(b, x) < 0
    ref = lambda np, x: np.signbit(x)


class Nextafter(Pointwise):
    """The number next to x in the direction of y. It moves as x does."""

    arity, smooth, ref = 2, False, BY_RULE
    partials = lambda op, out, x, y: (1, None)

    def lower(b: Any, x: Any, y: Any) -> Any:
        bits = _as_integer(b, x)
        away = (y > x) ^ (x < 0.0)
        moved = b.bitcast(b.select(away, bits + 1, bits - 1), x.dtype)
        smallest = b.bitcast(b.const(1, bits.dtype), x.dtype)
        moved = b.select(x.eq(0.0), b.copysign(smallest, y), moved)
        return b.select(x.ne(x), x, b.select(x.eq(y) | y.ne(y), y, moved))


class Gcd(Pointwise):
    """The greatest common divisor, >= 0."""

    arity, accepts, cost, differentiable = 2, "iu", 200, False
    ref = lambda np, x, y: np.gcd(x, y)

    def lower(b: Any, x: Any, y: Any) -> Any:
        if x.dtype.kind == "i":
            x, y = b.abs(x), b.abs(y)

        def turn(x: Any, y: Any) -> tuple[Any, ...]:
            rest = x % b.select(y.eq(0), 1, y)
            done = y.eq(0)
            return ~done, b.select(done, x, y), b.select(done, y, rest)

        found = b.repeat(100, turn, x, y)[0]
        return b.abs(found) if x.dtype.kind == "i" else found  # the lowest number has no magnitude


signbit: Signbit  # stated for the rule above, which uses it before it is made

copysign, signbit, nextafter = Copysign(), Signbit(), Nextafter()
gcd = Gcd()
