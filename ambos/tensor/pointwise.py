"""Elementwise functions: the registry's ops under their public names.

One table, `NAMES`, says which names an op has; the functions are made from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ambos.core.dtype import bool_, uint8
from ambos.graph.node import Node
from ambos.ops import arithmetic, functions
from ambos.ops import complex as bridge
from ambos.ops.kinds import Op, Pointwise
from ambos.ops.kinds import op as op_named
from ambos.tensor.handle import Tensor, node_of, operand_of, wrap
from ambos.tensor.names import public
from ambos.tensor.operands import (
    SCALARS,
    align,
    binary,
    common_dtype,
    convert,
    floating,
    quotient,
    scalar,
    scaled,
)
from ambos.tensor.positions import indices_where
from ambos.tensor.powers import raise_to

# Our name (the Array API's) and other spellings; "name=op" where the op is called differently.
UNARY_FLOATING = """exp expm1 log log1p sqrt rsqrt sin cos tan asin=asin,arcsin acos=acos,arccos
    atan=atan,arctan sinh cosh tanh asinh=asinh,arcsinh acosh=acosh,arccosh atanh=atanh,arctanh
    erf"""
UNARY_WHOLE = "floor ceil trunc=trunc,fix"  # integers stay as they are
UNARY = """negative=negative,neg absolute=absolute,abs relu
    bitwise_invert=bitwise_invert,bitwise_not,invert"""
PREDICATES = "isnan isinf isfinite"
BINARY = """multiply=multiply,mul floor_divide=floor_divide
    remainder=remainder,mod,rem maximum minimum less=less,lt less_equal=less_equal,le
    greater=greater,gt greater_equal=greater_equal,ge equal=equal,eq not_equal=not_equal,ne
    bitwise_and bitwise_or bitwise_xor bitwise_left_shift=bitwise_left_shift,left_shift
    bitwise_right_shift=bitwise_right_shift,right_shift"""
BINARY_FLOATING = "atan2=atan2,arctan2 hypot"

exported: dict[str, Callable[..., Tensor]] = {}


def _entries(table: str) -> list[tuple[Pointwise, list[str]]]:
    found = []
    for entry in table.split():
        name, _, names = entry.partition("=")
        found.append((op_named(name), names.split(",") if names else [name]))
    return found


def _publish(function: Callable[..., Tensor], op: Pointwise, names: list[str]) -> None:
    function.__name__ = function.__qualname__ = names[0]
    function.__module__ = __name__
    function.__doc__ = _documentation(op, names)
    published = public(function)
    for name in names:
        exported[name] = published


def _documentation(op: Pointwise, names: list[str]) -> str:
    """The op's docstring, its other names, and an example worked out by its reference."""
    parts = [op.__doc__ or "", ""]
    if len(names) > 1:
        parts += [f"Also spelled {', '.join(names[1:])}.", ""]
    floats = "f" in op.accepts
    operands = [np.float32(0.75), np.float32(0.5)] if floats else [np.int64(6), np.int64(3)]
    operands = operands[: op.arity]
    with np.errstate(all="ignore"):
        result = op.ref(np, *operands)
    call = f"am.{names[0]}({', '.join(f'{v}' for v in operands)})"
    shown = f"{float(result):.4f}" if np.asarray(result).dtype.kind == "f" else f"{result}"
    spec = ":.4f" if np.asarray(result).dtype.kind == "f" else ".item()"
    line = f"f'{{{call}{spec}}}'" if spec != ".item()" else f"{call}.item()"
    shown = f"'{shown}'" if spec != ".item()" else shown
    parts += ["Example:", "    >>> import ambos as am", f"    >>> {line}", f"    {shown}"]
    return "\n".join(parts)


def _unary(op: Op, prepare: Callable[[Any], Any]) -> Callable[..., Tensor]:
    def function(x: Any) -> Tensor:
        return wrap(op(prepare(node_of(x))))

    return function


def _unary_whole(op: Op) -> Callable[..., Tensor]:
    def function(x: Any) -> Tensor:
        node = node_of(x)
        return wrap(op(node) if node.dtype.is_inexact else node)

    return function


def _predicate(op: Op) -> Callable[..., Tensor]:
    def function(x: Any) -> Tensor:
        node = node_of(x)
        if node.dtype.is_inexact:
            return wrap(op(node))
        return wrap(scalar(op.name == "isfinite", bool_, node.shape))

    return function


def _binary(op: Op, floats: bool = False) -> Callable[..., Tensor]:
    rule = quotient if floats else binary

    def function(x: Any, y: Any) -> Tensor:
        return wrap(rule(op, operand_of(x), operand_of(y)))

    return function


def _fill() -> None:
    for op, names in _entries(UNARY_FLOATING):
        _publish(_unary(op, floating), op, names)
    for op, names in _entries(UNARY):
        _publish(_unary(op, lambda node: node), op, names)
    for op, names in _entries(UNARY_WHOLE):
        _publish(_unary_whole(op), op, names)
    for op, names in _entries(PREDICATES):
        _publish(_predicate(op), op, names)
    for op, names in _entries(BINARY):
        _publish(_binary(op), op, names)
    for op, names in _entries(BINARY_FLOATING):
        _publish(_binary(op, floats=True), op, names)


_fill()


@public
def add(x: Any, y: Any, *, alpha: bool | int | float | complex = 1) -> Tensor:
    """x + alpha * y; of bools "or".

    Example:
        >>> import ambos as am
        >>> am.add(am.tensor([1, 2]), 10).tolist(), am.add(1.0, 2.0, alpha=3).item()
        ([11, 12], 7.0)
    """
    return wrap(binary(arithmetic.add, operand_of(x), scaled(operand_of(y), alpha)))


@public
def subtract(x: Any, y: Any, *, alpha: bool | int | float | complex = 1) -> Tensor:
    """x - alpha * y. Also spelled sub.

    Example:
        >>> import ambos as am
        >>> am.subtract(am.tensor([1, 2]), 10).tolist(), am.sub(1.0, 2.0, alpha=3).item()
        ([-9, -8], -5.0)
    """
    return wrap(binary(arithmetic.subtract, operand_of(x), scaled(operand_of(y), alpha)))


@public
def divide(x: Any, y: Any, rounding_mode: str | None = None) -> Tensor:
    """Quotient; integers give float32. rounding_mode: None, "floor" or "trunc".

    Example:
        >>> import ambos as am
        >>> am.divide(7, 2).item(), am.div(-7, 2, rounding_mode="floor").item()
        (3.5, -4)
    """
    a, b = operand_of(x), operand_of(y)
    if rounding_mode == "floor":
        return wrap(binary(arithmetic.floor_divide, a, b))
    if rounding_mode == "trunc":
        return wrap(_towards_zero(a, b))
    return wrap(quotient(arithmetic.divide, a, b))


def _towards_zero(a: Any, b: Any) -> Node:
    """The whole part of a quotient; of integers exactly, however large."""
    dtype = common_dtype((a, b))
    if not dtype.is_integer:
        return convert(functions.trunc(quotient(arithmetic.divide, a, b)), dtype)
    down = binary(arithmetic.floor_divide, a, b)
    rest = binary(arithmetic.remainder, a, b)
    zero, one = (scalar(n, dtype, down.shape) for n in (0, 1))
    below = arithmetic.bitwise_and(arithmetic.less(down, zero), arithmetic.not_equal(rest, zero))
    return arithmetic.where(below, arithmetic.add(down, one), down)


@public
def power(x: Any, y: Any) -> Tensor:
    """x to the power y. Integers take exponents >= 0.

    Example:
        >>> import ambos as am
        >>> am.pow(am.tensor([1, 2, 3]), 2).tolist()
        [1, 4, 9]
    """
    return wrap(raise_to(functions.power, operand_of(x), operand_of(y)))


@public
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """`x` where the condition holds, else `y`; with one argument the indices where it holds.

    Example:
        >>> import ambos as am
        >>> am.where(am.tensor([True, False]), 1.0, am.tensor([5.0, 6.0])).tolist()
        [1.0, 6.0]
    """
    if x is None and y is None:
        found = indices_where(node_of(condition), "where", "give both values, am.where(mask, a, b)")
        return tuple(wrap(part) for part in found)
    chosen, a, b = node_of(condition), operand_of(x), operand_of(y)
    if chosen.dtype is uint8:
        chosen = convert(chosen, bool_)
    dtype = common_dtype((a, b))
    mask, *_ = align("where", (chosen, *(_shape_only(v) for v in (a, b))), bool_)
    left, right, _ = align("where", (a, b, _like(mask, dtype)), dtype)
    if chosen.dtype is not bool_:
        mask = chosen  # let the op complain
    return wrap(arithmetic.where(mask, left, right))


def _shape_only(operand: Any) -> Any:
    """A bool stand-in with the operand's shape, to broadcast the condition against."""
    return True if isinstance(operand, SCALARS) else scalar(True, bool_, operand.shape)


def _like(mask: Any, dtype: Any) -> Any:
    return scalar(0, dtype, mask.shape)


def _truth(x: Any) -> Any:
    """x != 0, as bool."""
    node = node_of(x)
    return node if node.dtype is bool_ else convert(node, bool_)


@public
def logical_not(x: Any) -> Tensor:
    """Not x, where anything but zero is true."""
    return wrap(arithmetic.logical_not(_truth(x)))


@public
def logical_and(x: Any, y: Any) -> Tensor:
    """Are both true (not zero)?"""
    return wrap(binary(arithmetic.bitwise_and, _truth(x), _truth(y)))


@public
def logical_or(x: Any, y: Any) -> Tensor:
    """Is either true (not zero)?"""
    return wrap(binary(arithmetic.bitwise_or, _truth(x), _truth(y)))


@public
def logical_xor(x: Any, y: Any) -> Tensor:
    """Is exactly one true (not zero)?"""
    return wrap(binary(arithmetic.bitwise_xor, _truth(x), _truth(y)))


def _logarithm(x: Any, base: float) -> Tensor:
    """log(x) / log(base); of a complex number in both parts, which may be infinite."""
    node, factor = functions.log(floating(node_of(x))), 1 / math.log(base)
    if not node.dtype.is_complex:
        return wrap(binary(arithmetic.multiply, node, factor))
    parts = (binary(arithmetic.multiply, part(node), factor) for part in (bridge.real, bridge.imag))
    return wrap(bridge.complex_(*parts))


@public
def log2(x: Any) -> Tensor:
    """Logarithm to base 2."""
    return _logarithm(x, 2)


@public
def log10(x: Any) -> Tensor:
    """Logarithm to base 10."""
    return _logarithm(x, 10)


@public
def exp2(x: Any) -> Tensor:
    """2 to the power x."""
    return wrap(raise_to(functions.power, 2.0, floating(node_of(x))))


exported |= {
    "add": add, "subtract": subtract, "sub": subtract,
    "divide": divide, "div": divide, "true_divide": divide, "power": power, "pow": power,
    "where": where, "logical_not": logical_not, "logical_and": logical_and,
    "logical_or": logical_or, "logical_xor": logical_xor, "log2": log2, "log10": log10,
    "exp2": exp2,
}  # fmt: skip
globals().update(exported)
__all__ = sorted(exported)
