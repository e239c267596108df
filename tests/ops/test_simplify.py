"""Simplification: what each rule gives, and that none changes a bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambos.core.dtype import (
    ALL,
    DType,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int32,
    int64,
    uint8,
)
from ambos.graph.node import Node, toposort
from ambos.graph.rewrite import rewrite
from ambos.graph.verify import verify
from ambos.ops import registry
from ambos.ops.arithmetic import (
    absolute,
    add,
    bitwise_invert,
    cast,
    divide,
    logical_not,
    maximum,
    multiply,
    negative,
    subtract,
    where,
)
from ambos.ops.functions import power
from ambos.ops.indexing import scatter_add
from ambos.ops.kinds import constant
from ambos.ops.movement import concat, detach, expand, flip, pad, permute, reshape, slice_
from ambos.ops.reductions import argmax, max_, prod, sum_
from ambos.ops.simplify import SIMPLIFICATIONS, embeds
from ambos.ops.sources import data
from ambos.testing.reference import evaluate, round_to, storage
from tests.ops.test_registry import run_rule, same_bits, special_values


def simplified(node: Node) -> Node:
    return rewrite([node], SIMPLIFICATIONS)[0]


def leaf(shape: tuple[int, ...], dtype: DType = float32) -> Node:
    """Special values, in some order."""
    values = special_values(dtype)
    count = int(np.prod(shape))
    order = np.random.default_rng(count).permutation(np.arange(count) % len(values))
    return data.leaf(values[order].reshape(shape), shape, dtype, tracked=dtype.is_floating)


X, Y = leaf((2, 6)), leaf((2, 6))
X3 = leaf((2, 3, 4))
I32, U8, B = leaf((2, 6), int32), leaf((2, 6), uint8), leaf((2, 6), bool_)


def const(value: float, like: Node = X) -> Node:
    return constant(value, like.dtype, like.shape)


def cut(x: Node, start: tuple, stop: tuple, step: tuple = (1, 1)) -> Node:
    return slice_(x, attrs=(start, stop, step))


def index(n: int) -> Node:
    return data.leaf(np.zeros(n, np.int64), (n,), int64)


EXAMPLES: list[tuple[str, Node, Node]] = [
    ("detach", detach(X), X),
    ("reshape to its shape", reshape(X, attrs=((2, 6),)), X),
    ("reshape of reshape", reshape(reshape(X, attrs=((12,),)), attrs=((3, 4),)),
     reshape(X, attrs=((3, 4),))),
    ("reshape and back", reshape(reshape(X, attrs=((12,),)), attrs=((2, 6),)), X),
    ("permute in order", permute(X, attrs=((0, 1),)), X),
    ("permute of permute", permute(permute(X3, attrs=((2, 0, 1),)), attrs=((1, 0, 2),)),
     permute(X3, attrs=((0, 2, 1),))),
    ("permute and back", permute(permute(X3, attrs=((2, 0, 1),)), attrs=((1, 2, 0),)), X3),
    ("expand to its shape", expand(X, attrs=((2, 6),)), X),
    ("expand of expand",
     expand(expand(reshape(X, attrs=((1, 12, 1),)), attrs=((2, 12, 1),)), attrs=((2, 12, 3),)),
     expand(reshape(X, attrs=((1, 12, 1),)), attrs=((2, 12, 3),))),
    ("pad by nothing", pad(X, attrs=((0, 0), (0, 0))), X),
    ("pad of pad", pad(pad(X, attrs=((1, 0), (0, 2))), attrs=((0, 3), (4, 0))),
     pad(X, attrs=((1, 3), (4, 2)))),
    ("slice of all", cut(X, (0, 0), (2, 6)), X),
    ("slice of slice", cut(cut(X, (0, 1), (2, 6), (1, 2)), (1, 1), (2, 3)),
     cut(X, (1, 3), (2, 6), (1, 2))),
    ("slice out of pad", cut(pad(X, attrs=((1, 2), (1, 1))), (1, 3), (3, 7), (1, 2)),
     cut(X, (0, 1), (2, 4), (1, 2))),
    ("slice undoes pad", cut(pad(X, attrs=((1, 2), (1, 1))), (1, 2), (3, 8)), X),
    ("slice out of concat", cut(concat(X, Y, attrs=(1,)), (0, 7), (2, 9)),
     cut(Y, (0, 1), (2, 3))),
    ("slice undoes concat", cut(concat(X, Y, attrs=(0,)), (2, 0), (4, 6)), Y),
    ("flip of flip", flip(flip(X, attrs=((0, 1),)), attrs=((1,),)), flip(X, attrs=((0,),))),
    ("flip and back", flip(flip(X, attrs=((0, 1),)), attrs=((1, 0),)), X),
    ("flip of one", flip(reshape(X, attrs=((12, 1),)), attrs=((1,),)),
     reshape(X, attrs=((12, 1),))),
    ("concat of one", concat(X, attrs=(0,)), X),
    ("concat with nothing", concat(X, cut(Y, (0, 0), (0, 6)), Y, attrs=(0,)),
     concat(X, Y, attrs=(0,))),
    ("cast to its dtype", cast(X, attrs=(float32,)), X),
    ("cast there and back", cast(cast(X, attrs=(float64,)), attrs=(float32,)), X),
    ("cast on the way", cast(cast(U8, attrs=(int32,)), attrs=(float16,)),
     cast(U8, attrs=(float16,))),
    ("integers wrap once", cast(cast(I32, attrs=(uint8,)), attrs=(int8,)),
     cast(I32, attrs=(int8,))),
    ("cast of a constant", cast(const(3), attrs=(bfloat16,)),
     constant(3.0, bfloat16, X.shape)),
    ("cast of infinity", cast(const(float("-inf")), attrs=(float16,)),
     constant(float("-inf"), float16, X.shape)),
    ("minus minus", negative(negative(X)), X),
    ("not not", logical_not(logical_not(B)), B),
    ("invert twice", bitwise_invert(bitwise_invert(I32)), I32),
    ("times one", multiply(X, const(1)), X),
    ("one times", multiply(const(1.0), X), X),
    ("and true", multiply(B, const(True, B)), B),
    ("times minus one", multiply(X, const(-1)), negative(X)),
    ("over one", divide(X, const(1)), X),
    ("minus zero", subtract(X, const(0)), X),
    ("plus negative zero", add(X, const(-0.0)), X),
    ("plus zero, integers", add(I32, const(0, I32)), I32),
    ("plus minus", add(X, negative(Y)), subtract(X, Y)),
    ("minus plus", add(negative(X), Y), subtract(Y, X)),
    ("minus minus y", subtract(X, negative(Y)), add(X, Y)),
    ("magnitude of minus", absolute(negative(X)), absolute(X)),
    ("magnitude twice", absolute(absolute(X)), absolute(X)),
    ("max of one", maximum(X, X), X),
    ("where true", where(const(True, B), X, Y), X),
    ("where false", where(const(False, B), X, Y), Y),
    ("where not", where(logical_not(B), X, Y), where(B, Y, X)),
    ("where the same", where(B, X, X), X),
    ("power 0", power(X, const(0)), const(1.0)),
    ("power 1", power(X, const(1)), X),
    ("power 2", power(X, const(2)), multiply(X, X)),
    ("power 3", power(X, const(3)), multiply(multiply(X, X), X)),
    ("power -1", power(X, const(-1)), divide(const(1.0), X)),
    ("power 2, integers", power(I32, const(2, I32)), multiply(I32, I32)),
    ("max over one", max_(reshape(X, attrs=((12, 1),)), attrs=((1,),)),
     reshape(X, attrs=((12,),))),
    ("product over one", prod(reshape(X, attrs=((12, 1),)), attrs=((1,),)),
     reshape(X, attrs=((12,),))),
    ("sum over one, integers", sum_(reshape(I32, attrs=((12, 1),)), attrs=((1,),)),
     reshape(I32, attrs=((12,),))),
    ("sum over one", sum_(reshape(X, attrs=((12, 1),)), attrs=((1,),)),
     add(reshape(X, attrs=((12,),)), constant(0.0, float32, (12,)))),
    ("sum over no axes", sum_(X, attrs=((),)), add(X, const(0.0))),
    ("argmax of one", argmax(reshape(X, attrs=((12, 1),)), attrs=((1,),)),
     constant(0, int64, (12,))),
    ("sum of nothing", sum_(cut(X, (0, 0), (0, 6)), attrs=((0,),)), constant(0.0, float32, (6,))),
    ("product of nothing", prod(cut(I32, (0, 0), (0, 6)), attrs=((0,),)),
     constant(1, int32, (6,))),
    ("pad of nothing", pad(cut(X, (0, 0), (0, 6)), attrs=((1, 0), (0, 0))),
     constant(0.0, float32, (1, 6))),
    ("nothing computed", add(cut(X, (0, 0), (0, 6)), cut(Y, (0, 0), (0, 6))),
     constant(0.0, float32, (0, 6))),
    ("nothing added", scatter_add(X, index(0), cut(X, (0, 0), (0, 6)), attrs=(0,)), X),
    ("moves of a constant", flip(permute(const(2), attrs=((1, 0),)), attrs=((0,),)),
     constant(2.0, float32, (6, 2))),
    ("zeros around zeros", pad(const(0), attrs=((1, 1), (0, 0))), constant(0.0, float32, (3, 7))),
    ("one spelling", add(X, constant(True, float32, X.shape)), add(X, const(1.0))),
]  # fmt: skip

UNTOUCHED: list[tuple[str, Node]] = [
    ("x + 0 would keep -0", add(X, const(0))),
    ("x - -0 would keep -0", subtract(X, const(-0.0))),
    ("x * 0 is not always 0", multiply(X, const(0))),
    ("x - x is not always 0", subtract(X, X)),
    ("x / 3 is not x * (1 / 3)", divide(X, const(3))),
    ("narrowing cast", cast(cast(X, attrs=(float16,)), attrs=(float32,))),
    ("saturates, then wraps", cast(cast(I32, attrs=(float64,)), attrs=(int8,))),
    ("sign lost on the way", cast(cast(leaf((3,), int8), attrs=(uint8,)), attrs=(int32,))),
    ("0 - x is +0 at 0", subtract(const(0), X)),
    ("padding of ones", pad(const(1), attrs=((1, 1), (0, 0)))),
    ("padding of -0", pad(const(-0.0), attrs=((1, 1), (0, 0)))),
    ("a slice that sees padding", cut(pad(X, attrs=((1, 0), (0, 0))), (0, 0), (2, 6))),
    ("a slice across parts", cut(concat(X, Y, attrs=(1,)), (0, 5), (2, 8))),
    ("a cube of halves", power(cast(X, attrs=(float16,)), constant(3.0, float16, X.shape))),
]


@pytest.mark.parametrize(
    ("node", "expected"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_rule(node: Node, expected: Node) -> None:
    found = simplified(node)
    assert _plain(found) == _plain(expected)
    _assert_same(node, found)


def _plain(node: Node) -> str:
    """Structure without `tracked`, which has done its work before simplification."""
    order = toposort([node])
    number = {id(n): i for i, n in enumerate(order)}
    return "\n".join(
        f"{n.op.name}{n.attrs!r}{[number[id(i)] for i in n.inputs]}{id(n.value)}" for n in order
    )


@pytest.mark.parametrize("node", [u[1] for u in UNTOUCHED], ids=[u[0] for u in UNTOUCHED])
def test_inexact_look_alikes_stay(node: Node) -> None:
    found = simplified(node)
    assert found.op is node.op
    assert len(toposort([found])) == len(toposort([node]))
    _assert_same(node, found)


def _assert_same(node: Node, found: Node) -> None:
    verify([found])
    assert found.shape == node.shape
    assert found.dtype is node.dtype
    before, after = evaluate([node, found])
    assert same_bits(before, after).all(), (before, after)


def test_every_rule_has_fired() -> None:
    fired: set[str] = set()

    def watched(rule: Callable[[Node], Node | None]) -> Callable[[Node], Node | None]:
        def run(node: Node) -> Node | None:
            changed = rule(node)
            if changed is not None and changed is not node:
                fired.add(rule.__name__)
            return changed

        return run

    table = {name: [watched(r) for r in rules] for name, rules in SIMPLIFICATIONS.items()}
    rewrite([node for _, node, _ in EXAMPLES], table)
    # Those of loops and branches need bodies: tests/compiler/test_control.py.
    rules = {r.__name__ for name, rules in SIMPLIFICATIONS.items() for r in rules
             if registry[name].kind != "control"}  # fmt: skip
    assert fired == rules


def test_every_rule_says_why() -> None:
    assert all(rule.__doc__ for rules in SIMPLIFICATIONS.values() for rule in rules)


@pytest.mark.parametrize("exponent", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize("dtype", [float16, bfloat16, float32, float64], ids=lambda d: d.name)
def test_small_powers_are_products_in_the_scalar_rule_too(exponent: int, dtype: DType) -> None:
    """So that a power whose exponent only the data tell has the same bits."""
    values = special_values(dtype)
    rng = np.random.default_rng(0)
    many = round_to(rng.normal(size=4000).astype(storage(dtype.compute)), dtype)
    x = np.concatenate([values, many])
    y = np.full(x.shape, exponent, storage(dtype))
    node = power(data.leaf(x, x.shape, dtype), data.leaf(y, y.shape, dtype))
    constant_power = power(node.inputs[0], constant(exponent, dtype, x.shape))
    (expected,) = evaluate([simplified(constant_power)])
    assert same_bits(run_rule(node, [x, y]), expected).all()
    assert same_bits(evaluate([node])[0], expected).all()


@pytest.mark.parametrize("a", ALL, ids=lambda d: d.name)
@pytest.mark.parametrize("b", ALL, ids=lambda d: d.name)
def test_embeds(a: DType, b: DType) -> None:
    """Special values survive the way through `b` exactly where `embeds` says so; NumPy agrees."""
    if bfloat16 not in (a, b):
        expected = np.can_cast(a.name, b.name, "safe")
        if a.is_integer and b is float64:  # NumPy counts int64 to float64 as safe
            expected = a.itemsize < 8
        assert embeds(a, b) == expected
    if embeds(a, b):
        x = leaf((40,), a)
        _assert_same(x, cast(cast(x, attrs=(b,)), attrs=(a,)))


# --- random graphs -------------------------------------------------------------------------------

UNARY = {
    "negative": "iuf", "absolute": "iuf", "relu": "iuf", "bitwise_invert": "biu", "sign": "iuf",
}  # fmt: skip
BINARY = {
    "add": "biuf", "subtract": "iuf", "multiply": "biuf", "divide": "f", "maximum": "biuf",
    "minimum": "biuf", "power": "iuf", "bitwise_and": "biu",
}  # fmt: skip
NUMBERS = [0, -0.0, 1, -1, 2, 3, 0.5, 8, float("inf"), float("nan"), True]


@st.composite
def graphs(draw: st.DrawFn) -> Node:
    """A random expression over special values, dense in what rules look for."""
    node = leaf(draw(st.sampled_from([(2, 3), (1, 4), (3, 1, 2), (0, 2)])), draw(DTYPES))
    for _ in range(draw(st.integers(1, 7))):
        grown = draw(st.sampled_from([_unary, _binary, _move, _move, _reduce, _cast]))(draw, node)
        node = node if grown is None else grown
    return node


DTYPES = st.sampled_from([float32, float64, float16, bfloat16, int8, int32, uint8, bool_])


def _unary(draw: st.DrawFn, x: Node) -> Node | None:
    name = draw(st.sampled_from(sorted(UNARY)))
    return registry[name](x) if x.dtype.kind in UNARY[name] else None


def _cast(draw: st.DrawFn, x: Node) -> Node:
    return cast(x, attrs=(draw(DTYPES),))


def _binary(draw: st.DrawFn, x: Node) -> Node | None:
    name = draw(st.sampled_from(sorted(BINARY)))
    if x.dtype.kind not in BINARY[name]:
        return None
    numbers = NUMBERS if x.dtype.is_floating else [0, 1, 2, 3, True]
    number = constant(draw(st.sampled_from(numbers)), x.dtype, x.shape)
    other = draw(st.sampled_from([x, leaf(x.shape, x.dtype), number]))
    pair = draw(st.permutations([x, other]))
    if draw(st.integers(0, 5)) == 0:
        condition = draw(st.sampled_from([constant(True, bool_, x.shape), leaf(x.shape, bool_)]))
        return where(condition, *pair)
    if name == "power" and other.op is not number.op:
        pair = [x, number]  # NumPy's own float powers are not in question here
    if name == "power" and pair[0] is not x:
        return None
    return registry[name](*pair)


def _move(draw: st.DrawFn, x: Node) -> Node:
    name = draw(st.sampled_from(["reshape", "permute", "expand", "pad", "slice", "flip", "concat"]))
    axes = range(x.rank)
    if name == "reshape":
        parts = [x.shape, (x.size,), (*x.shape, 1), (1, *x.shape), x.shape[::-1]]
        return reshape(x, attrs=(draw(st.sampled_from(parts)),))
    if name == "permute":
        return permute(x, attrs=(tuple(draw(st.permutations(list(axes)))),))
    if name == "expand":
        return expand(x, attrs=(tuple(draw(st.sampled_from([n, 2 if n == 1 else n]))
                                      for n in x.shape),))  # fmt: skip
    if name == "pad":
        sides = [tuple(draw(st.integers(0, 2)) for _ in axes) for _ in range(2)]
        return pad(x, attrs=tuple(sides))
    if name == "flip":
        return flip(x, attrs=(tuple(a for a in axes if draw(st.booleans())),))
    if name == "concat" and x.rank:
        parts = draw(st.sampled_from([(x,), (x, x), (x, leaf(x.shape, x.dtype))]))
        return concat(*parts, attrs=(draw(st.integers(0, x.rank - 1)),))
    starts = [draw(st.integers(0, n)) for n in x.shape]
    stops = [draw(st.integers(a, n)) for a, n in zip(starts, x.shape, strict=True)]
    steps = [draw(st.integers(1, 3)) for _ in axes]
    return slice_(x, attrs=(tuple(starts), tuple(stops), tuple(steps)))


def _reduce(draw: st.DrawFn, x: Node) -> Node | None:
    if not x.size or x.size > 40:
        return None
    names = ["any", "all"] if x.dtype is bool_ else ["sum", "prod", "max", "min", "argmax"]
    axes = tuple(a for a in range(x.rank) if draw(st.booleans()))
    return registry[draw(st.sampled_from(names))](x, attrs=(axes,))


@settings(max_examples=600)
@given(graphs())
def test_no_graph_changes_a_bit(node: Node) -> None:
    found = simplified(node)
    _assert_same(node, found)
    assert simplified(found) is found
