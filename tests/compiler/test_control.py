"""Loops and branches built by hand from nodes: the reference's values, however they are computed,
and bit for bit the same on every way to the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from ambos.core.dtype import DType, as_dtype, float32, int32, int64
from ambos.graph import substitute, toposort
from ambos.graph.body import Body
from ambos.graph.node import Node
from ambos.ops import registry
from ambos.ops.control import BranchSpec, LoopSpec, ScanSpec, branch, scan, while_loop
from ambos.ops.kinds import constant, constant_like
from ambos.ops.solving import inv
from ambos.ops.sources import argument, data
from ambos.tensor.realize import realize
from tests.ops.evaluators import EVALUATORS, configured, on_device
from tests.tensor.test_realize import interpreted

RNG = np.random.default_rng(5)


def op(name: str, *inputs: Node, attrs: tuple[Any, ...] = ()) -> Node:
    return registry[name](*inputs, attrs=attrs)


def numbers(*shape: int, dtype: str = "float32") -> Node:
    """Data of the graph, as NumPy."""
    if dtype.startswith("complex"):
        values = RNG.uniform(-1, 1, shape) + 1j * RNG.uniform(-1, 1, shape)
    elif dtype == "bool":
        values = RNG.random(shape) < 0.5
    else:
        values = RNG.uniform(-1, 1, shape) * (1 if dtype.startswith("float") else 100)
    values = np.asarray(values).astype(dtype)
    return data.leaf(values, shape, as_dtype(dtype))


def function(
    call: Callable[..., Sequence[Node]], *facts: tuple[tuple[int, ...], DType | str]
) -> Body:
    """The body of a Python function of nodes."""
    arguments = [argument.leaf(shape, as_dtype(dtype)) for shape, dtype in facts]
    return Body(arguments, call(*arguments))


def scanned(
    call: Callable[..., Sequence[Node]], constants: Sequence[Node] = (),
    carry: Sequence[Node] = (), xs: Sequence[Node] = (), length: int | None = None,
    reverse: bool = False,
) -> tuple[Node, ...]:  # fmt: skip
    length = xs[0].shape[0] if length is None else length
    facts = [(n.shape, n.dtype) for n in (*constants, *carry)]
    body = function(call, *facts, *((x.shape[1:], x.dtype) for x in xs))
    spec = ScanSpec(body, len(constants), len(carry), length, reverse)
    return scan.parts(*constants, *carry, *xs, spec=spec)


def looped(
    condition: Callable[..., Node], call: Callable[..., Sequence[Node]], carry: Sequence[Node],
    asked: Sequence[Node] = (), constants: Sequence[Node] = (),
) -> tuple[Node, ...]:  # fmt: skip
    facts, own, more = ([(n.shape, n.dtype) for n in nodes] for nodes in (carry, asked, constants))
    spec = LoopSpec(
        function(lambda *x: [condition(*x)], *own, *facts), function(call, *more, *facts),
        len(own), len(more),
    )  # fmt: skip
    return while_loop.parts(*asked, *constants, *carry, spec=spec)


def chosen(
    number: Node, calls: Sequence[Callable[..., Sequence[Node]]], operands: Sequence[Node]
) -> tuple[Node, ...]:
    facts = [(n.shape, n.dtype) for n in operands]
    spec = BranchSpec(tuple(function(call, *facts) for call in calls))
    return branch.parts(number, *operands, spec=spec)


def whole(value: int) -> Node:
    return data.leaf(np.asarray(value, np.int32), (), int32)


# --- cases ---------------------------------------------------------------------------------------


def step(k: Node, c: Node, x: Node) -> list[Node]:
    new = op("add", op("multiply", c, k), x)
    return [new, op("multiply", new, x)]


def running(length: int, reverse: bool = False, dtype: str = "float32") -> list[Node]:
    parts = numbers(3, dtype=dtype), numbers(3, dtype=dtype), numbers(length, 3, dtype=dtype)
    return list(scanned(step, parts[:1], parts[1:2], parts[2:], reverse=reverse))


def swapping(length: int) -> list[Node]:
    """Carries that change places, one that stays, one that is a constant, and equal results."""
    a, b, c, d = (numbers(2, 3) for _ in range(4))
    parts = scanned(
        lambda a, b, c, d: [b, a, c, constant_like(d, 7.0), a, op("negative", b), b, b],
        carry=(a, b, c, d), length=length,
    )  # fmt: skip
    return list(parts)


def recurrent(length: int) -> list[Node]:
    """A cell with a contraction, several kernels and a temporary buffer."""
    weight, bias, start = numbers(8, 8), numbers(8), numbers(4, 8)

    def cell(w: Node, b: Node, h: Node, x: Node) -> list[Node]:
        from ambos.tensor.handle import wrap

        new = ((wrap(h) @ wrap(w)) + wrap(b) + wrap(x)).tanh()
        norm = new / new.sum(1, keepdims=True)
        return [new._node, norm._node]

    return list(scanned(cell, (weight, bias), (start,), (numbers(length, 4, 8),)))


def nested(length: int) -> list[Node]:
    """A scan in a scan, a branch in the inner one."""
    start, xs = numbers(3), numbers(length, 4, 3)

    def outer(c: Node, rows: Node) -> list[Node]:
        def inner(c: Node, row: Node) -> list[Node]:
            first = op("reshape", op("slice", row, attrs=((0,), (1,), (1,))), attrs=((),))
            number = op("cast", op("greater", first, constant(0.0, float32)), attrs=(int32,))
            found = chosen(
                number,
                (lambda c, r: [op("add", c, r)], lambda c, r: [op("multiply", c, r)]), (c, row),
            )  # fmt: skip
            return [*found, op("subtract", found[0], row)]

        total, each = scanned(inner, carry=(c,), xs=(rows,))
        return [total, each]

    return list(scanned(outer, carry=(start,), xs=(xs,)))


def doubling(limit: float) -> list[Node]:
    """x = x * 2 + k as long as all are below a limit; and the number of steps."""
    most = data.leaf(np.float32(limit), (), float32)

    def goes_on(most: Node, x: Node, n: Node) -> Node:
        return op("less", op("max", x, attrs=((0,),)), most)

    def body(k: Node, x: Node, n: Node) -> list[Node]:
        doubled = op("add", op("multiply", x, constant_like(x, 2.0)), k)
        return [doubled, op("add", n, constant(1, int32))]

    start = data.leaf(np.float32([1, 2, 3]), (3,), float32)
    return list(looped(goes_on, body, (start, whole(0)), (most,), (numbers(3),)))


def searching() -> list[Node]:
    """A while in which a branch is chosen: Collatz."""

    def goes_on(n: Node, steps: Node) -> Node:
        return op("greater", n, constant(1, int64))

    def body(n: Node, steps: Node) -> list[Node]:
        odd = op("bitwise_and", n, constant(1, int64))
        (new,) = chosen(
            op("cast", odd, attrs=(int32,)),
            (
                lambda n: [op("bitwise_right_shift", n, constant(1, int64))],
                lambda n: [op("add", op("multiply", n, constant(3, int64)), constant(1, int64))],
            ),
            (n,),
        )
        return [new, op("add", steps, constant(1, int32))]

    start = data.leaf(np.asarray(27, np.int64), (), int64)
    return list(looped(goes_on, body, (start, whole(0))))


def writing(length: int) -> list[Node]:
    """Every step writes a row of a large carry and reads another one."""
    table, rows = numbers(length, 5), numbers(length, 1, 5)
    where = data.leaf(RNG.permutation(length).reshape(length, 1), (length, 1), int64)

    def body(t: Node, i: Node, row: Node) -> list[Node]:
        new = op("put", t, i, row, attrs=(0,))
        return [new, op("take", new, i, attrs=(0,))]

    return list(scanned(body, carry=(table,), xs=(where, rows)))


def inverses(length: int) -> list[Node]:
    """What Python computes, inside."""
    start = data.leaf(np.eye(3, dtype="f") * 2, (3, 3), float32)
    xs = data.leaf(
        np.float32([np.eye(3) * (n + 1) for n in range(length)]), (length, 3, 3), float32
    )

    def body(m: Node, x: Node) -> list[Node]:
        (found,) = inv.parts(op("add", m, x))
        return [found, op("sum", found, attrs=((0,),))]

    return list(scanned(body, carry=(start,), xs=(xs,)))


def truths() -> list[Node]:
    xs, start, count = (
        numbers(6, 5, dtype="bool"),
        numbers(5, dtype="bool"),
        numbers(5, dtype="int8"),
    )

    def body(b: Node, n: Node, x: Node) -> list[Node]:
        new = op("bitwise_xor", b, x)
        return [new, op("add", n, op("cast", new, attrs=(as_dtype("int8"),))), new]

    return list(scanned(body, carry=(start, count), xs=(xs,)))


def rotating() -> list[Node]:
    """Complex numbers in every place of a loop, a branch and a while."""
    z, xs, real = numbers(3, dtype="complex64"), numbers(4, 3, dtype="complex64"), numbers(3)

    def body(k: Node, c: Node, x: Node) -> list[Node]:
        (picked,) = chosen(
            constant(1, int32),
            (lambda c, x: [c], lambda c, x: [op("multiply", c, op("conj", x))]), (c, x),
        )  # fmt: skip
        return [picked, op("real", picked), op("multiply", k, op("imag", x)), picked]

    found = scanned(body, (real,), (z,), (xs,))
    last = looped(
        lambda c, n: op("less", n, constant(3, int32)),
        lambda c, n: [op("multiply", c, c), op("add", n, constant(1, int32))],
        (found[0], whole(0)),
    )
    return [*found, *last]


CASES: dict[str, Callable[[], list[Node]]] = {
    **{f"running-{n}": (lambda n=n: running(n)) for n in (0, 1, 2, 5)},
    **{f"reverse-{n}": (lambda n=n: running(n, reverse=True)) for n in (1, 4)},
    "double": lambda: running(3, dtype="float64"),
    "integers": lambda: running(3, dtype="int16"),
    "half": lambda: running(3, dtype="float16"),
    **{f"swapping-{n}": (lambda n=n: swapping(n)) for n in (0, 1, 2, 3)},
    "recurrent": lambda: recurrent(3),
    "nested": lambda: nested(3),
    "doubling": lambda: doubling(100.0),
    "doubling-not-once": lambda: doubling(0.0),
    "doubling-once": lambda: doubling(3.5),
    "searching": searching,
    "writing": lambda: writing(6),
    "inverses": lambda: inverses(3),
    "truths": truths,
    "complex": rotating,
}


@pytest.mark.parametrize("name", CASES)
def test_every_way_to_compute_gives_the_same(name: str) -> None:
    nodes = CASES[name]()
    first = EVALUATORS["compiled"](nodes)
    for node, a, b in zip(nodes, first, EVALUATORS["reference"](nodes), strict=True):
        assert a.dtype == b.dtype
        if node.dtype.is_inexact:
            np.testing.assert_allclose(a, b, rtol=1e-2 if a.itemsize == 2 else 2e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(a, b)
    for other in ("unfused", "narrow"):
        for a, b in zip(first, EVALUATORS[other](nodes), strict=True):
            assert a.tobytes() == b.tobytes(), other
    with configured(threads=2):
        for a, b in zip(first, EVALUATORS["compiled"](nodes), strict=True):
            assert a.tobytes() == b.tobytes(), "threads"


@pytest.mark.parametrize("name", [name for name in CASES if name != "recurrent"])
def test_machine_equals_interpreter(name: str) -> None:
    nodes = on_machine(CASES[name]())
    middle = interpreted(nodes)
    realize(nodes)
    for node, bits in zip(nodes, middle, strict=True):
        assert node.value.numpy().tobytes() == bits


def on_machine(nodes: Sequence[Node]) -> list[Node]:
    """The same graph on data of the runtime."""
    moved = {
        node: data.leaf(on_device(node.value, node), node.shape, node.dtype)
        for node in toposort(nodes)
        if isinstance(node.value, np.ndarray | np.generic)
    }
    return substitute(nodes, moved)
