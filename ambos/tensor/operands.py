"""Operands on the way into an op: promotion, broadcasting, Python scalars. Works on nodes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from ambos.core.dtype import PYTHON, DType, Number, bool_, float32, promote, weak_result
from ambos.core.errors import ArgumentError, DTypeError
from ambos.core.shape import Shape, broadcast
from ambos.core.unknown import is_unknown, made
from ambos.graph.node import Node
from ambos.ops import arithmetic
from ambos.ops.arithmetic import cast, multiply
from ambos.ops.kinds import Op, constant
from ambos.ops.movement import expand, reshape

Operand = Node | Number
SCALARS = (bool, int, float, complex)

# Recording `x * 2` in a loop should not rebuild the constant; the nodes are tiny, so they are kept.
_constants: dict[tuple[Any, ...], Node] = {}
MAX_CONSTANTS = 4096
_CASTS = {"b": "as_bool", "i": "as_int", "u": "as_int", "f": "as_float", "c": "as_complex"}

COMPARISONS: dict[Op, Callable[[int, int], bool]] = {
    arithmetic.equal: operator.eq, arithmetic.not_equal: operator.ne,
    arithmetic.less: operator.lt, arithmetic.less_equal: operator.le,
    arithmetic.greater: operator.gt, arithmetic.greater_equal: operator.ge,
}  # fmt: skip


def scalar(value: Number, dtype: DType, shape: Shape = ()) -> Node:
    """`value` as a constant of `dtype` in every element of `shape`."""
    # Numbers that compare equal but differ (1 and True, 0.0 and -0.0) need keys that differ.
    key = (value, type(value), dtype, shape, _signs(value))
    try:
        found = _constants.get(key)
    except TypeError:  # what cannot be a key is no number
        raise _no_number(value, dtype) from None
    if found is None:
        if len(_constants) >= MAX_CONSTANTS:
            _constants.clear()
        found = _constants[key] = constant(fitting(value, dtype), dtype, shape)
    return found


def _signs(value: Number) -> Any:
    if isinstance(value, complex):
        return math.copysign(1, value.real), math.copysign(1, value.imag)
    try:
        return value == 0 and math.copysign(1, value)
    except ArgumentError:  # a Size, of which nobody knows it
        return None


def _no_number(value: object, dtype: DType) -> DTypeError:
    return DTypeError(f"scalar: {value!r} as {dtype.name}; need a number")


def fitting(value: Number, dtype: DType) -> Number:
    """`value` as a number that `dtype` holds."""
    if not isinstance(value, SCALARS) and not hasattr(value, "__float__"):
        raise _no_number(value, dtype)
    if is_unknown(value):
        return made(_CASTS[dtype.kind], value)
    if isinstance(value, complex) and not dtype.is_complex:
        raise DTypeError(f"scalar: {value} as {dtype.name}; need a real number, or a complex dtype")
    if dtype.is_inexact:
        try:
            return complex(value) if dtype.is_complex else float(value)  # type: ignore[arg-type]
        except OverflowError:
            raise ArgumentError(
                f"scalar: {value} is too large for a floating number; need |x| < 1.8e308"
            ) from None
    if dtype is bool_:
        return bool(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ArgumentError(f"scalar: {value} as {dtype.name}; need a finite number")
    whole = int(value)  # type: ignore[arg-type]
    if not dtype.min <= whole <= dtype.max:
        raise ArgumentError(
            f"scalar: {whole} does not fit {dtype.name}; need {dtype.min}..{dtype.max}: "
            "cast the tensor to a wider dtype first"
        )
    return whole


def convert(node: Node, dtype: DType) -> Node:
    """`node` as `dtype`."""
    return node if node.dtype is dtype else cast(node, attrs=(dtype,))


def expand_to(node: Node, shape: Shape) -> Node:
    """`node` broadcast to `shape`, which the caller knows to fit."""
    if node.shape == shape:
        return node
    missing = len(shape) - len(node.shape)
    if missing:
        node = reshape(node, attrs=((1,) * missing + node.shape,))
    return node if node.shape == shape else expand(node, attrs=(shape,))


def common_dtype(operands: tuple[Operand, ...]) -> DType:
    """What the operands promote to; Python scalars only raise the kind."""
    found: DType | None = None
    for operand in operands:
        if isinstance(operand, Node):
            found = operand.dtype if found is None else promote(found, operand.dtype)
    scalars = [x for x in operands if not isinstance(x, Node)]
    if found is None:
        found = PYTHON.get(type(scalars[0]), float32)
    for number in scalars:
        found = weak_result(found, number)
    return found


def align(name: str, operands: tuple[Operand, ...], dtype: DType | None = None) -> tuple[Node, ...]:
    """The operands as nodes of one dtype and one shape."""
    if dtype is None:
        dtype = common_dtype(operands)
    shapes = [x.shape for x in operands if isinstance(x, Node)]
    shape = shapes[0] if shapes else ()
    if shapes.count(shape) != len(shapes):
        shape = broadcast(name, *shapes)
    return tuple([
        expand_to(convert(x, dtype), shape) if isinstance(x, Node) else scalar(x, dtype, shape)
        for x in operands
    ])  # fmt: skip


def binary(op: Op, a: Operand, b: Operand) -> Node:
    """op(a, b) after promotion and broadcasting."""
    if isinstance(a, Node) and isinstance(b, Node):
        if a.dtype is b.dtype and a.shape == b.shape:
            return op(a, b)
        dtype = promote(a.dtype, b.dtype)
        shape = a.shape if a.shape == b.shape else broadcast(op.name, a.shape, b.shape)
        return op(expand_to(convert(a, dtype), shape), expand_to(convert(b, dtype), shape))
    if op in COMPARISONS:
        alike = _compared_with_number(op, a, b)
        if alike is not None:
            return alike
    if isinstance(a, Node):
        dtype = weak_result(a.dtype, b)  # type: ignore[arg-type]
        return op(convert(a, dtype), scalar(b, dtype, a.shape))  # type: ignore[arg-type]
    if isinstance(b, Node):
        dtype = weak_result(b.dtype, a)
        return op(scalar(a, dtype, b.shape), convert(b, dtype))
    return op(*align(op.name, (a, b)))


def _compared_with_number(op: Op, a: Operand, b: Operand) -> Node | None:
    """A comparison of integers with a whole number that their dtype does not hold: it comes out
    alike for every element."""
    node, number = (a, b) if isinstance(a, Node) else (b, a)
    if not isinstance(node, Node) or type(number) is not int or not node.dtype.is_integer:
        return None
    dtype = weak_result(node.dtype, number)
    if dtype.min <= number <= dtype.max:
        return None
    sides = (0, number) if node is a else (number, 0)  # 0 lies where every element lies
    return constant(COMPARISONS[op](*sides), bool_, node.shape)


def scaled(operand: Operand, factor: Number) -> Operand:
    """`operand` times a number, without a multiplication by one."""
    if factor == 1:
        return operand
    return binary(multiply, operand, factor) if isinstance(operand, Node) else operand * factor


def floating(node: Node) -> Node:
    """`node`, integers as float32."""
    return node if node.dtype.is_inexact else convert(node, float32)


def quotient(op: Op, a: Operand, b: Operand) -> Node:
    """Division: integers give float32."""
    dtype = common_dtype((a, b))
    return op(*align(op.name, (a, b), dtype if dtype.is_inexact else float32))


def require(name: str, node: Node, kinds: str, fix: str) -> None:
    """A DTypeError unless `node`'s dtype is of one of `kinds`."""
    if node.dtype.kind not in kinds:
        words = {"f": "a floating dtype", "iu": "an integer dtype", "b": "bool"}
        need = words.get(kinds, "an integer dtype or bool")
        raise DTypeError(f"{name}: got {node.dtype.name}; need {need}: {fix}")
