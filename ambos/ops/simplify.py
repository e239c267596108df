"""Algebra that changes no bit: rules for `graph.rewrite`.

A rule belongs here only if the simpler expression gives the same value for every input, with the
signs of zeros, infinities, NaN and wrapping integers (which NaN it is, its sign and payload, is
not part of the contract). So `x - 0` is `x`, but `x + 0` is not: it turns -0 into +0. Rules apply
whether kernels are fused or not, and the bits are the same either way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ambos.core.dtype import DType, bool_, float32, float64
from ambos.core.open import converted, is_finite
from ambos.core.shape import Shape
from ambos.graph.node import Node
from ambos.graph.rewrite import Rule
from ambos.ops import simplify_control
from ambos.ops.arithmetic import add, cast, multiply, negative, subtract, where
from ambos.ops.custom import plain
from ambos.ops.kinds import constant, registry
from ambos.ops.movement import concat, expand, flip, pad, permute, reshape, slice_

Number = bool | int | float
SPREADING = ("reshape", "permute", "expand", "slice", "flip", "detach")  # keep a constant constant


# --- constants -----------------------------------------------------------------------------------


def constant_value(node: Node) -> Number | None:
    """The number that `node` holds everywhere, if it says so."""
    while node.op.name in SPREADING:
        node = node.inputs[0]
    return node.attrs[0] if node.op.name == "constant" else None


def filled(value: Number, dtype: DType, shape: Shape) -> Node:
    """The one form of "`value` everywhere" that simplified graphs hold."""
    number = spelled(value, dtype) if is_finite(value) else value
    if any(extent != 1 for extent in shape):
        return constant(number, dtype, shape)
    single = constant(number, dtype)
    return reshape(single, attrs=(shape,)) if shape else single


def spelled(value: Number, dtype: DType) -> Number:
    """1, 1.0 and True are one float32: written as the dtype has it, where that is exact."""
    spelling = float if dtype.is_floating else bool if dtype is bool_ else int
    same: Number = converted(spelling, value)
    return same if spelling is bool or same == value else value


def is_constant(node: Node, value: Number) -> bool:
    """Is it `value` everywhere, with the same sign of zero?"""
    found = constant_value(node)
    return found == value and math.copysign(1.0, found) == math.copysign(1.0, value)


def one_spelling(node: Node) -> Node | None:
    """Equal numbers are one node."""
    value, dtype = node.attrs
    same = spelled(value, dtype) if is_finite(value) else value
    return None if type(same) is type(value) else constant(same, dtype)


def move_of_constant(node: Node) -> Node | None:
    """A moved constant is a constant."""
    value = constant_value(node)
    return None if value is None else filled(value, node.dtype, node.shape)


def pad_of_zeros(node: Node) -> Node | None:
    """Zeros around zeros."""
    return filled(0, node.dtype, node.shape) if is_constant(node.inputs[0], 0) else None


def cast_of_constant(node: Node) -> Node | None:
    """Small whole numbers and infinities are the same number in every dtype that has them."""
    (x,), target = node.inputs, node.dtype
    value = constant_value(x)
    if value is None:
        return None
    if x.dtype is bool_:
        value = bool(value)
    if abs(value) == math.inf:
        return filled(value, target, node.shape) if target.is_floating else None
    if value % 1 != 0 or abs(value) > 127:
        return None
    if target is bool_:
        return filled(value != 0, target, node.shape)
    if target.is_floating and x.dtype.is_floating:
        return filled(float(value), target, node.shape)  # keeps -0
    if value < 0 and (target.kind == "u" or x.dtype.kind == "u"):
        return None
    return filled(int(value), target, node.shape)


# --- nothing there -------------------------------------------------------------------------------


def empty_result(node: Node) -> Node | None:
    """What has no elements needs no computing."""
    return filled(0, node.dtype, node.shape) if 0 in node.shape else None


IDENTITIES = {"sum": 0, "prod": 1, "any": False, "all": True, "contract": 0, "pad": 0}


def empty_input(node: Node) -> Node | None:
    """A sum, product or padding of nothing is its identity."""
    if all(x.size for x in node.inputs):
        return None
    return filled(IDENTITIES[node.op.name], node.dtype, node.shape)


def empty_parts(node: Node) -> Node | None:
    """Nothing need be concatenated with nothing."""
    parts = tuple(x for x in node.inputs if x.size)
    if len(parts) == 1:
        return parts[0]
    return concat(*parts, attrs=node.attrs) if 0 < len(parts) < len(node.inputs) else None


def empty_updates(node: Node) -> Node | None:
    """Adding nothing."""
    return None if node.inputs[2].size else node.inputs[0]


# --- movement ------------------------------------------------------------------------------------


def moves_nothing(node: Node) -> Node | None:
    """A reshape, expand, pad or slice that keeps the shape keeps the elements."""
    (x,) = node.inputs
    return x if node.shape == x.shape else None


def detach_is_done(node: Node) -> Node | None:
    """Gradients have been taken by now."""
    return node.inputs[0]


def reshape_of_reshape(node: Node) -> Node | None:
    """The last shape counts."""
    (x,) = node.inputs
    return reshape(x.inputs[0], attrs=node.attrs) if x.op.name == "reshape" else None


def permute_of_permute(node: Node) -> Node | None:
    """Axis i comes from where the inner permutation takes axes[i] from; in order is nothing."""
    (x,), (axes,) = node.inputs, node.attrs
    if axes == tuple(range(x.rank)):
        return x
    if x.op.name != "permute":
        return None
    return permute(x.inputs[0], attrs=(tuple(x.attrs[0][axis] for axis in axes),))


def expand_of_expand(node: Node) -> Node | None:
    """The last shape counts."""
    (x,) = node.inputs
    return expand(x.inputs[0], attrs=node.attrs) if x.op.name == "expand" else None


def pad_of_pad(node: Node) -> Node | None:
    """Widths add up."""
    (x,) = node.inputs
    if x.op.name != "pad":
        return None
    before, after = (
        tuple(a + b for a, b in zip(outer, inner, strict=True))
        for outer, inner in zip(node.attrs, x.attrs, strict=True)
    )
    return pad(x.inputs[0], attrs=(before, after))


def flip_of_flip(node: Node) -> Node | None:
    """Twice is never; neither does one element have an order."""
    (x,), (axes,) = node.inputs, node.attrs
    inner = x.attrs[0] if x.op.name == "flip" else ()
    kept = tuple(sorted(a for a in set(axes) ^ set(inner) if x.shape[a] > 1))
    source = x.inputs[0] if inner else x
    if not kept:
        return source
    return None if not inner and kept == axes else flip(source, attrs=(kept,))


def slice_of_slice(node: Node) -> Node | None:
    """Every step2-th of every step1-th."""
    (x,) = node.inputs
    if x.op.name != "slice":
        return None
    start = [a + b * s for a, b, s in zip(x.attrs[0], node.attrs[0], x.attrs[2], strict=True)]
    step = [a * b for a, b in zip(x.attrs[2], node.attrs[2], strict=True)]
    return _sliced(x.inputs[0], start, node.shape, step)


def slice_of_pad(node: Node) -> Node | None:
    """A slice that sees no padding does not need it."""
    (x,) = node.inputs
    if x.op.name != "pad":
        return None
    source, (start, _, step) = x.inputs[0], node.attrs
    moved = [a - b for a, b in zip(start, x.attrs[0], strict=True)]
    lasts = [a + (n - 1) * s for a, n, s in zip(moved, node.shape, step, strict=True)]
    inside = all(a >= 0 and b < n for a, b, n in zip(moved, lasts, source.shape, strict=True))
    return _sliced(source, moved, node.shape, step) if inside else None


def slice_of_concat(node: Node) -> Node | None:
    """A slice out of one part does not need the others."""
    (x,) = node.inputs
    if x.op.name != "concat":
        return None
    axis, (start, _, step) = x.attrs[0], node.attrs
    first, last = start[axis], start[axis] + (node.shape[axis] - 1) * step[axis]
    begin = 0
    for part in x.inputs:
        if begin <= first and last < begin + part.shape[axis]:
            moved = [a - begin if i == axis else a for i, a in enumerate(start)]
            return _sliced(part, moved, node.shape, step)
        begin += part.shape[axis]
    return None


def _sliced(x: Node, start: Sequence[int], shape: Shape, step: Sequence[int]) -> Node:
    """The slice of `shape` (not empty) from `start`."""
    stop = tuple(a + (n - 1) * s + 1 for a, n, s in zip(start, shape, step, strict=True))
    return slice_(x, attrs=(tuple(start), stop, tuple(step)))


# --- conversion ----------------------------------------------------------------------------------

DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}  # bits of the significand


def embeds(a: DType, b: DType) -> bool:
    """Is every number of `a` a number of `b`?"""
    if a is b or a is bool_:
        return True
    if a.is_integer and b.is_integer:
        return b.itemsize > a.itemsize and (b.is_signed or not a.is_signed)
    if a.is_integer and b.is_floating:
        return a.bits - (a.kind == "i") <= DIGITS[b.name]
    return a.is_floating and b in (float32, float64) and a.itemsize < b.itemsize


def cast_to_itself(node: Node) -> Node | None:
    """A conversion to the dtype that it has."""
    (x,) = node.inputs
    return x if x.dtype is node.dtype else None


def cast_of_cast(node: Node) -> Node | None:
    """The way through a dtype that holds every number of the first; integers that get no longer
    wrap as one. Not integer to float to integer: floats saturate where integers wrap."""
    (x,) = node.inputs
    if x.op.name != "cast":
        return None
    first, middle, last = x.inputs[0].dtype, x.dtype, node.dtype
    if first.is_integer and middle.is_integer and last.is_integer:
        exact = embeds(first, middle) or last.itemsize <= middle.itemsize
    elif first.is_integer and middle.is_floating and last.is_integer:
        exact = embeds(first, middle) and embeds(first, last)
    else:
        exact = embeds(first, middle)
    return cast(x.inputs[0], attrs=node.attrs) if exact else None


# --- arithmetic ----------------------------------------------------------------------------------


def multiply_by_one(node: Node) -> Node | None:
    """x * 1 = x, x * -1 = -x; NaN stays NaN."""
    for x, factor in (node.inputs, node.inputs[::-1]):
        if is_constant(factor, 1):
            return x
        if x.dtype.is_signed and is_constant(factor, -1):
            return negative(x)
    return None


def divide_by_one(node: Node) -> Node | None:
    """x / 1 = x. (x / 2**k stays a division: means over a batch of 64 and of 63 are one kernel.)"""
    x, divisor = node.inputs
    return x if is_constant(divisor, 1) else None


def add_negative_zero(node: Node) -> Node | None:
    """x + -0 = x for every x, -0 too; for integers any zero will do."""
    zero = -0.0 if node.dtype.is_floating else 0
    for x, term in (node.inputs, node.inputs[::-1]):
        if is_constant(term, zero):
            return x
    return None


def subtract_zero(node: Node) -> Node | None:
    """x - 0 = x for every x, -0 too."""
    x, term = node.inputs
    return x if is_constant(term, 0) else None


def add_negative(node: Node) -> Node | None:
    """x + -y is what subtraction means."""
    x, y = node.inputs
    if y.op.name == "negative":
        return subtract(x, y.inputs[0])
    return subtract(y, x.inputs[0]) if x.op.name == "negative" else None


def subtract_negative(node: Node) -> Node | None:
    """x - -y = x + y."""
    x, y = node.inputs
    return add(x, y.inputs[0]) if y.op.name == "negative" else None


def inverse_of_itself(node: Node) -> Node | None:
    """- -x, ~ ~x, not not x."""
    (x,) = node.inputs
    return x.inputs[0] if x.op.name == node.op.name else None


def magnitude_of_negative(node: Node) -> Node | None:
    """|-x| = |x| (but not where -x is modulo 2**n), and a magnitude is its own."""
    (x,) = node.inputs
    if x.op.name == node.op.name:
        return x
    if x.op.name != "negative" or x.dtype.kind == "u":
        return None
    return node.op(x.inputs[0])  # type: ignore[operator]


def equal_operands(node: Node) -> Node | None:
    """max(x, x), min(x, x), x & x and x | x are x."""
    x, y = node.inputs
    return x if x is y else None


def settled_where(node: Node) -> Node | None:
    """A known condition chooses; equal branches leave no choice."""
    condition, x, y = node.inputs
    value = constant_value(condition)
    if value is not None:
        return x if value else y
    if condition.op.name == "logical_not":
        return where(condition.inputs[0], y, x)
    return x if x is y else None


def small_power(node: Node) -> Node | None:
    """The powers that `Power` defines as products; x**0 is 1 for every x, NaN too."""
    x, exponent = node.inputs
    if is_constant(exponent, 1):
        return x
    if is_constant(exponent, 0):
        return filled(1, node.dtype, node.shape)
    if is_constant(exponent, 2):
        return multiply(x, x)
    # Three factors round twice; a half precision would round to 16 bits in between.
    if is_constant(exponent, 3) and x.dtype.compute is x.dtype:
        return multiply(multiply(x, x), x)
    if is_constant(exponent, -1) and x.dtype.is_floating:
        return registry["divide"](filled(1, node.dtype, node.shape), x)
    return None


# --- reductions ----------------------------------------------------------------------------------


def reduce_nothing(node: Node) -> Node | None:
    """One element is its own product or extreme, and the only one to be found; a sum starts from
    +0, which turns -0 into +0."""
    (x,), (axes,) = node.inputs, node.attrs
    if any(x.shape[axis] != 1 for axis in axes):
        return None
    if node.op.name in ("argmax", "argmin"):
        return filled(0, node.dtype, node.shape)
    single = reshape(x, attrs=(node.shape,))
    if node.op.name == "sum" and x.dtype.is_floating:
        return add(single, filled(0, node.dtype, node.shape))
    return single


# --- the table -----------------------------------------------------------------------------------

REDUCTIONS = ("sum", "prod", "max", "min", "amax", "amin", "argmax", "argmin", "any", "all")

_RULES: dict[str, tuple[Rule, ...]] = {
    "constant": (one_spelling,),
    "detach": (detach_is_done,),
    "custom": (plain,),
    "reshape": (moves_nothing, move_of_constant, reshape_of_reshape),
    "permute": (permute_of_permute, move_of_constant),
    "expand": (moves_nothing, move_of_constant, expand_of_expand),
    "pad": (moves_nothing, empty_input, pad_of_zeros, pad_of_pad),
    "slice": (moves_nothing, move_of_constant, slice_of_slice, slice_of_pad, slice_of_concat),
    "flip": (move_of_constant, flip_of_flip),
    "concat": (empty_parts,),
    "cast": (cast_to_itself, cast_of_constant, cast_of_cast),
    "multiply": (multiply_by_one,),
    "divide": (divide_by_one,),
    "add": (add_negative_zero, add_negative),
    "subtract": (subtract_zero, subtract_negative),
    "negative": (inverse_of_itself,),
    "logical_not": (inverse_of_itself,),
    "bitwise_invert": (inverse_of_itself,),
    "absolute": (magnitude_of_negative,),
    "maximum": (equal_operands,),
    "minimum": (equal_operands,),
    "bitwise_and": (equal_operands,),
    "bitwise_or": (equal_operands,),
    "where": (settled_where,),
    "power": (small_power,),
    "contract": (empty_input,),
    "scatter_add": (empty_updates,),
    "scatter_elements": (empty_updates,),
    "scatter_fold": (empty_updates,),
    "put": (empty_updates,),
    **dict.fromkeys(REDUCTIONS, (reduce_nothing,)),
    **simplify_control.RULES,
}
for _name in ("sum", "prod", "any", "all"):
    _RULES[_name] = (empty_input, *_RULES[_name])

SIMPLIFICATIONS: dict[str, tuple[Rule, ...]] = {
    name: (empty_result, *_RULES.get(name, ()))
    for name, op in registry.items()
    if op.kind != "source"
} | {"constant": _RULES["constant"]}
