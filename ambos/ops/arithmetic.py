"""Arithmetic, comparison, logic and bits, elementwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambos.core.dtype import DType, bool_
from ambos.core.errors import DTypeError
from ambos.graph.node import Attrs, Node
from ambos.ops.fused import fused_multiply_add
from ambos.ops.kinds import Grads, Pointwise, Predicate, constant_like, op

# Lambdas are facts, not functions to be called by hand.


class Add(Pointwise):
    """Sum; for bool logical or."""

    arity, accepts = 2, "biufc"
    lower = lambda b, x, y: x | y if x.dtype is bool_ else x + y
    ref = lambda np, x, y: np.add(x, y)
    partials = lambda op, out, x, y: (1, 1)


class Subtract(Pointwise):
    """Difference."""

    arity, accepts = 2, "iufc"
    lower = lambda b, x, y: x - y
    ref = lambda np, x, y: np.subtract(x, y)
    partials = lambda op, out, x, y: (1, -1)


class Multiply(Pointwise):
    """Product; for bool logical and."""

    arity, accepts = 2, "biufc"
    lower = lambda b, x, y: x & y if x.dtype is bool_ else x * y
    ref = lambda np, x, y: np.multiply(x, y)
    partials = lambda op, out, x, y: (y, x)


class Divide(Pointwise):
    """Quotient of floating or complex numbers."""

    arity, accepts, cost, smooth = 2, "fc", 4, False
    lower = lambda b, x, y: x / y
    ref = lambda np, x, y: np.divide(x, y)

    def vjp(self, node: Node, g: Node) -> Grads:
        gx = divide(g, node.inputs[1])
        return gx, negative(multiply(gx, node))


class Fma(Pointwise):
    """x * y + z, rounded once: a step of a contraction's sum."""

    arity = 3
    lower = lambda b, x, y, z: b.fma(x, y, z)
    ref = lambda np, x, y, z: fused_multiply_add(np, x, y, z)
    partials = lambda op, out, x, y, z: (y, x, 1)


class FloorDivide(Pointwise):
    """Quotient rounded towards minus infinity; an integer divided by zero gives zero."""

    arity, accepts, cost, differentiable = 2, "iuf", 8, False
    ref = lambda np, x, y: np.floor_divide(x, y)

    def lower(b: Any, x: Any, y: Any) -> Any:
        if x.dtype.is_floating:
            return _floating_quotient(b, x, y)
        return _integer_quotient(b, x, y)


class Remainder(Pointwise):
    """x - floor(x / y) * y, with the sign of y (Python's %); an integer modulo zero gives zero."""

    arity, accepts, cost, smooth = 2, "iuf", 8, False
    ref = lambda np, x, y: np.remainder(x, y)
    partials = lambda op, out, x, y: (1, negative(floor_divide(x, y)))

    def lower(b: Any, x: Any, y: Any) -> Any:
        if x.dtype.is_floating:
            return _python_remainder(b, x, y)
        zero = y.eq(0)
        safe = b.select(zero, 1, y)
        rest = x % _not_minus_one(b, safe)
        if x.dtype.kind == "i":
            wrong = rest.ne(0) & ((rest ^ safe) < 0)
            rest = b.select(wrong, rest + safe, rest)
        return b.select(zero, 0, rest)


def _floating_quotient(b: Any, x: Any, y: Any) -> Any:
    """The whole number that (x - remainder) / y is but for rounding, as CPython does it."""
    rest = x % y
    below = rest.ne(0) & ((rest < 0) ^ (y < 0))
    quotient = (x - rest) / y
    quotient = b.select(below, quotient - 1.0, quotient)
    floor = b.floor(quotient)
    whole = b.select((quotient - floor) > 0.5, floor + 1.0, floor)
    whole = b.select(quotient.eq(0), b.copysign(b.const(0.0, x.dtype), x / y), whole)
    return b.select(y.eq(0), x / y, whole)


def _python_remainder(b: Any, x: Any, y: Any) -> Any:
    rest = x % y
    rest = b.select(rest.ne(0) & ((rest < 0) ^ (y < 0)), rest + y, rest)
    return b.select(rest.eq(0), b.copysign(rest, y), rest)


def _not_minus_one(b: Any, divisor: Any) -> Any:
    """x % -1 is 0 for every x, but the machine traps on the lowest x."""
    return b.select(divisor.eq(-1), 1, divisor) if divisor.dtype.kind == "i" else divisor


def _integer_quotient(b: Any, x: Any, y: Any) -> Any:
    zero = y.eq(0)
    safe = b.select(zero, 1, y)
    if x.dtype.kind == "u":
        return b.select(zero, 0, x / safe)
    divisor = _not_minus_one(b, safe)
    quotient = x / divisor
    rest = x % divisor
    low = rest.ne(0) & ((rest ^ divisor) < 0)
    quotient = b.select(low, quotient - 1, quotient)
    return b.select(zero, 0, b.select(safe.eq(-1), -x, quotient))


class Negative(Pointwise):
    """Minus x; of unsigned integers modulo 2 to the number of bits."""

    accepts = "iufc"
    lower = lambda b, x: -x
    ref = lambda np, x: np.negative(x)
    partials = lambda op, out, x: (-1,)


class Absolute(Pointwise):
    """Magnitude; of a complex number its distance from zero, floating."""

    accepts, smooth, analytic = "iufc", False, False
    lower = lambda b, x: x if x.dtype.kind == "u" else b.abs(x)
    ref = lambda np, x: np.absolute(x)

    def infer_dtype(self, inputs: tuple[Node, ...], attrs: Attrs) -> DType:
        return super().infer_dtype(inputs, attrs).part

    def vjp(self, node: Node, g: Node) -> Grads:
        (x,) = node.inputs
        return (multiply(g if g.dtype is x.dtype else cast(g, attrs=(x.dtype,)), sign(x)),)

    def jvp(self, node: Node, tangents: Sequence[Node | None]) -> Node | None:
        (x,), (tangent,) = node.inputs, tangents
        if tangent is None or not x.dtype.is_complex:
            return super().jvp(node, tangents)
        real, conj = op("real"), op("conj")
        along: Node = real(multiply(conj(sign(x)), tangent))
        return along


class Sign(Pointwise):
    """-1, 0 or 1; NaN stays NaN. Of a complex number the one of magnitude 1 in its direction."""

    accepts, smooth, analytic = "iufc", False, False
    ref = lambda np, x: np.sign(x)

    def vjp(self, node: Node, g: Node) -> Grads:
        (x,) = node.inputs
        return (_turning(node, x, g) if x.dtype.is_complex else None,)

    def lower(b: Any, x: Any) -> Any:
        positive = b.select(x > 0, b.const(1, x.dtype), x)
        if x.dtype.kind == "u":
            return positive
        signed = b.select(x < 0, b.const(-1, x.dtype), positive)
        return b.select(x.eq(0), b.const(0, x.dtype), signed)


def _turning(direction: Node, z: Node, g: Node) -> Node:
    """The gradient of z / |z|: what of g is across that direction, over |z|; nothing at 0."""
    real, conj = op("real"), op("conj")
    along = cast(real(multiply(g, conj(direction))), attrs=(z.dtype,))
    size = absolute(z)
    nothing = equal(size, constant_like(size, 0))
    size = cast(where(nothing, constant_like(size, 1), size), attrs=(z.dtype,))
    across = divide(subtract(g, multiply(along, direction)), size)
    return where(nothing, constant_like(across, 0), across)


class Relu(Pointwise):
    """max(x, 0); NaN stays NaN; the gradient at 0 is 0."""

    accepts, smooth = "iuf", False
    lower = lambda b, x: b.select(x < 0, b.const(0, x.dtype), x)
    ref = lambda np, x: np.where(x < 0, np.zeros_like(x), x)

    def vjp(self, node: Node, g: Node) -> Grads:
        zero = constant_like(node, 0)
        return (where(greater(node, zero), g, zero),)


class Relu6(Pointwise):
    """min(max(x, 0), 6); NaN stays NaN; flat at 0 and at 6. The gradient looks at the result, which
    the next layer reads anyway, so that nobody has to keep what came in."""

    accepts, smooth = "iuf", False
    lower = lambda b, x: b.select(
        x < 0, b.const(0, x.dtype), b.select(x > 6, b.const(6, x.dtype), x)
    )
    ref = lambda np, x: np.where(x < 0, np.zeros_like(x), np.where(x > 6, np.full_like(x, 6), x))

    def vjp(self, node: Node, g: Node) -> Grads:
        zero = constant_like(node, 0)
        slopes = bitwise_and(greater(node, zero), less(node, constant_like(node, 6)))
        return (where(slopes, g, zero),)


def _half_at_ties(x: Node, y: Node, chosen: Predicate) -> Node:
    one, half, zero = (constant_like(x, v) for v in (1, 0.5, 0))
    return where(chosen(x, y), one, where(equal(x, y), half, zero))


class Maximum(Pointwise):
    """The larger; NaN if either is; of equals the second; ties share the gradient."""

    arity, accepts, smooth = 2, "biuf", False
    ref = lambda np, x, y: np.where((x > y) | (x != x), x, y)  # NumPy's own: which zero varies
    partials = lambda op, out, x, y: (_half_at_ties(x, y, greater), _half_at_ties(y, x, greater))

    def lower(b: Any, x: Any, y: Any) -> Any:
        if x.dtype is bool_:
            return x | y
        larger = b.select(x > y, x, y)
        return b.select(x.ne(x), x, larger) if x.dtype.is_floating else larger


class Minimum(Pointwise):
    """The smaller; NaN if either is; of equals the second; ties share the gradient."""

    arity, accepts, smooth = 2, "biuf", False
    ref = lambda np, x, y: np.where((x < y) | (x != x), x, y)
    partials = lambda op, out, x, y: (_half_at_ties(x, y, less), _half_at_ties(y, x, less))

    def lower(b: Any, x: Any, y: Any) -> Any:
        if x.dtype is bool_:
            return x & y
        smaller = b.select(x < y, x, y)
        return b.select(x.ne(x), x, smaller) if x.dtype.is_floating else smaller


class Less(Predicate):
    """x < y."""

    arity = 2
    lower = lambda b, x, y: ~x & y if x.dtype is bool_ else x < y
    ref = lambda np, x, y: np.less(x, y)


class LessEqual(Predicate):
    """x <= y."""

    arity = 2
    lower = lambda b, x, y: ~x | y if x.dtype is bool_ else x <= y
    ref = lambda np, x, y: np.less_equal(x, y)


class Greater(Predicate):
    """x > y."""

    arity = 2
    lower = lambda b, x, y: x & ~y if x.dtype is bool_ else x > y
    ref = lambda np, x, y: np.greater(x, y)


class GreaterEqual(Predicate):
    """x >= y."""

    arity = 2
    lower = lambda b, x, y: x | ~y if x.dtype is bool_ else x >= y
    ref = lambda np, x, y: np.greater_equal(x, y)


class Equal(Predicate):
    """x == y."""

    arity, accepts = 2, "biufc"
    lower = lambda b, x, y: ~(x ^ y) if x.dtype is bool_ else x.eq(y)
    ref = lambda np, x, y: np.equal(x, y)


class NotEqual(Predicate):
    """x != y."""

    arity, accepts = 2, "biufc"
    lower = lambda b, x, y: x ^ y if x.dtype is bool_ else x.ne(y)
    ref = lambda np, x, y: np.not_equal(x, y)


class Isnan(Predicate):
    """Is it not a number?"""

    accepts = "fc"
    lower = lambda b, x: x.ne(x)
    ref = lambda np, x: np.isnan(x)


class Isinf(Predicate):
    """Is it plus or minus infinity?"""

    accepts = "fc"
    lower = lambda b, x: b.abs(x).eq(b.const(float("inf"), x.dtype))
    ref = lambda np, x: np.isinf(x)


class Isfinite(Predicate):
    """Is it neither infinite nor NaN?"""

    accepts = "fc"
    lower = lambda b, x: b.abs(x) < b.const(float("inf"), x.dtype)
    ref = lambda np, x: np.isfinite(x)


class LogicalNot(Predicate):
    """Not x."""

    accepts = "b"
    lower = lambda b, x: ~x
    ref = lambda np, x: np.logical_not(x)


class BitwiseAnd(Pointwise):
    """Bits (or truths) set in both."""

    arity, accepts, differentiable = 2, "biu", False
    lower = lambda b, x, y: x & y
    ref = lambda np, x, y: np.bitwise_and(x, y)


class BitwiseOr(Pointwise):
    """Bits (or truths) set in either."""

    arity, accepts, differentiable = 2, "biu", False
    lower = lambda b, x, y: x | y
    ref = lambda np, x, y: np.bitwise_or(x, y)


class BitwiseXor(Pointwise):
    """Bits (or truths) set in exactly one."""

    arity, accepts, differentiable = 2, "biu", False
    lower = lambda b, x, y: x ^ y
    ref = lambda np, x, y: np.bitwise_xor(x, y)


class BitwiseInvert(Pointwise):
    """Every bit flipped."""

    accepts, differentiable = "biu", False
    lower = lambda b, x: ~x
    ref = lambda np, x: np.invert(x)


class BitwiseLeftShift(Pointwise):
    """x * 2**y; zero when y reaches the width."""

    arity, accepts, differentiable, domain = 2, "iu", False, (0, 6)
    ref = lambda np, x, y: np.left_shift(x, y)

    def lower(b: Any, x: Any, y: Any) -> Any:
        inside = (y < x.dtype.bits) & (y >= 0)
        return b.select(inside, x << b.select(inside, y, 0), 0)


class BitwiseRightShift(Pointwise):
    """floor(x / 2**y); zero or -1 when y reaches the width."""

    arity, accepts, differentiable, domain = 2, "iu", False, (0, 6)
    ref = lambda np, x, y: np.right_shift(x, y)

    def lower(b: Any, x: Any, y: Any) -> Any:
        last = x.dtype.bits - 1
        inside = (y <= last) & (y >= 0)
        shifted = x >> b.select(inside, y, last)
        return shifted if x.dtype.kind == "i" else b.select(inside, shifted, 0)


class Where(Pointwise):
    """The second operand where the first (bool) is true, else the third."""

    arity, accepts, mixed, smooth, analytic = 3, "biufc", True, False, False
    linear = (1, 2)
    lower = lambda b, c, x, y: b.select(c, x, y)
    ref = lambda np, c, x, y: np.where(c, x, y)

    def infer_dtype(self, inputs: tuple[Node, ...], attrs: Attrs) -> DType:
        condition, x, y = inputs
        if condition.dtype is not bool_:
            raise DTypeError(f"where: the condition is {condition.dtype.name}; need bool: "
                             "compare it first, for example x != 0")  # fmt: skip
        return super().infer_dtype((x, y), attrs)

    def vjp(self, node: Node, g: Node) -> Grads:
        condition, zero = node.inputs[0], constant_like(g, 0)
        return None, where(condition, g, zero), where(condition, zero, g)


class Cast(Pointwise):
    """Conversion; attrs: (dtype,). Floats round to nearest even; float to integer truncates and
    saturates, NaN gives 0; integers wrap; anything but zero is true."""

    accepts, mixed, analytic, linear = "biufc", True, False, (0,)
    lower = lambda b, x: x  # the compiler converts: the target is not the rule's to know

    def ref(np: Any, x: Any, dtype: Any) -> Any:
        if x.dtype.kind != "f" or dtype.kind not in "iu":
            return x.astype(dtype)
        limits, whole = np.iinfo(dtype), np.trunc(x.astype("float64"))
        below, above = whole < float(limits.min), whole >= float(limits.max + 1)
        result = np.where(below | above | np.isnan(x), 0, whole).astype(dtype)
        result[below], result[above] = limits.min, limits.max
        return result

    def infer_dtype(self, inputs: tuple[Node, ...], attrs: Attrs) -> DType:
        source, target = inputs[0].dtype, attrs[0]
        if source.is_complex and not target.is_complex and target is not bool_:
            raise DTypeError(f"cast: got {source.name} for {target.name}; need the part or the "
                             "size: use x.real, x.imag or am.abs(x)")  # fmt: skip
        found: DType = target
        return found

    def vjp(self, node: Node, g: Node) -> Grads:
        source = node.inputs[0].dtype
        if not source.is_inexact:
            return (None,)
        if g.dtype.is_complex and not source.is_complex:
            g = op("real")(g)
        return (cast(g, attrs=(source,)),)


# Stated for the rules above, which use them before they are made.
negative: Negative
floor_divide: FloorDivide
sign: Sign
absolute: Absolute
greater: Greater
less: Less

add, subtract, multiply, divide, fma = Add(), Subtract(), Multiply(), Divide(), Fma()
floor_divide, remainder, negative = FloorDivide(), Remainder(), Negative()
absolute, sign, relu, relu6 = Absolute(), Sign(), Relu(), Relu6()
maximum, minimum = Maximum(), Minimum()
less, less_equal, greater, greater_equal = Less(), LessEqual(), Greater(), GreaterEqual()
equal, not_equal = Equal(), NotEqual()
isnan, isinf, isfinite, logical_not = Isnan(), Isinf(), Isfinite(), LogicalNot()
bitwise_and, bitwise_or, bitwise_xor = BitwiseAnd(), BitwiseOr(), BitwiseXor()
bitwise_invert = BitwiseInvert()
bitwise_left_shift, bitwise_right_shift = BitwiseLeftShift(), BitwiseRightShift()
where, cast = Where(), Cast()
