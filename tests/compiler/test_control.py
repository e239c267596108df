"""Loops and branches built by hand from nodes: the reference's values, however they are computed,
and bit for bit the same on every way to the machine."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ambos.compiler.finish import STREAM_BYTES
from ambos.compiler.pipeline import compile_graph
from ambos.core.config import config
from ambos.core.dtype import as_dtype, float32, int32, int64
from ambos.core.program import Control, Program
from ambos.graph import toposort
from ambos.graph.node import Node, pending
from ambos.ops import registry
from ambos.ops.contraction import contract
from ambos.ops.kinds import constant, constant_like
from ambos.ops.solving import inv
from ambos.ops.sources import data
from ambos.runtime.loader import statistics
from ambos.runtime.machine import host_features
from ambos.tensor.handle import wrap
from ambos.tensor.realize import as_inputs, realize, sign
from tests.compiler.control import (
    RNG,
    chosen,
    looped,
    numbers,
    on_machine,
    op,
    scanned,
    whole,
)
from tests.ops.evaluators import EVALUATORS, configured
from tests.tensor.test_realize import interpreted

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


# --- threads, sizes, memory ----------------------------------------------------------------------


def test_launches_inside_share_the_threads() -> None:
    def body(w: Node, c: Node, x: Node) -> list[Node]:
        product = contract(c, w, attrs=(matmul_spec,))
        return [op("tanh", op("add", product, x)), op("sum", product, attrs=((1,),))]

    w, c, xs = numbers(192, 192), numbers(192, 192), numbers(3, 192, 192)
    (like,) = (node for node in toposort([(wrap(w) @ wrap(c))._node]) if node.op is contract)
    matmul_spec = like.attrs[0]
    nodes = on_machine(scanned(body, (w,), (c,), (xs,)))
    program = compiled_program(nodes)
    (kernel,) = [launch.kernel for launch in program.launches if launch.kernel.control]
    assert kernel.control is not None
    assert any(not x.serial and x.items > 1 for x in kernel.control.parts[0].program.launches)
    one = EVALUATORS["compiled"](nodes)
    with configured(threads=2):
        for a, b in zip(one, EVALUATORS["compiled"](nodes), strict=True):
            assert a.tobytes() == b.tobytes()


def compiled_program(nodes: Sequence[Node]) -> Program:
    leaves, _ = sign(pending(nodes))
    return compile_graph(as_inputs(nodes, leaves, {}), host_features(), config.threads).program


def control_of(nodes: Sequence[Node]) -> Control:
    (found,) = [x.kernel.control for x in compiled_program(nodes).launches if x.kernel.control]
    return found


def test_other_lengths_and_sizes_compile_nothing() -> None:
    sizes = [(4, 7, 6), (9, 7, 6), (33, 12, 30)]

    def recurrence(length: int, batch: int, width: int) -> list[Node]:
        parts = numbers(width), numbers(batch, width), numbers(length, batch, width)

        def body(k: Node, h: Node, x: Node) -> list[Node]:
            spread = op("expand", op("reshape", k, attrs=((1, width),)), attrs=((batch, width),))
            new = op("tanh", op("add", op("multiply", h, spread), x))
            return [new, op("sum", new, attrs=((1,),))]

        return list(scanned(body, parts[:1], parts[1:2], parts[2:]))

    EVALUATORS["compiled"](recurrence(*sizes[0]))
    before = statistics.compiled
    for size in sizes[1:]:
        EVALUATORS["compiled"](recurrence(*size))
    assert statistics.compiled == before


def test_a_row_is_written_where_it_lies() -> None:
    """No step copies the carried table: it is one block, copied once before the first step."""
    control = control_of(on_machine(writing(6)))
    assert [nbytes for _, _, nbytes in control.copies] == [6 * 5 * 4]
    assert control.swaps == ()
    assert control.parts[0].program.arena_bytes < 6 * 5 * 4


def test_carried_values_that_nothing_needs_are_not_computed() -> None:
    def body(a: Node, b: Node, x: Node) -> list[Node]:
        return [op("add", a, x), op("exp", b), x, op("negative", a)]

    parts = scanned(body, carry=(numbers(3), numbers(3)), xs=(numbers(4, 3),))
    (launch,) = control_of(on_machine(parts[:1])).parts[0].program.launches
    assert launch.kernel.label == "add [3]"


def test_a_plan_outlives_its_process() -> None:
    """Data only, the kernels inside found by their names."""
    program = compiled_program(on_machine(nested(3)))
    again = pickle.loads(pickle.dumps(program))
    assert [k.name for k in again.kernels] == [k.name for k in program.kernels]
    assert program.kernels
    assert repr(nested(3)[0].attrs) == repr(nested(3)[0].attrs)  # the key under which it is kept
    assert " at 0x" not in repr(nested(3)[0].attrs)


def test_large_slices_need_not_begin_on_a_cache_line() -> None:
    """A result beyond STREAM_BYTES is written past the caches only where lines are whole."""
    count = STREAM_BYTES // 4 + 1
    start = numbers()

    def body(c: Node) -> list[Node]:
        return [c, op("expand", op("reshape", c, attrs=((1,),)), attrs=((count,),))]

    (ys,) = EVALUATORS["compiled"](scanned(body, carry=(start,), length=2)[1:])
    assert ys.shape == (2, count)
    assert (ys == start.value).all()


def test_a_reshaped_operand_is_read_where_it_lies() -> None:
    x, start = numbers(6, 4), numbers(4)
    three = op("reshape", op("reshape", x, attrs=((24,),)), attrs=((3, 2, 4),))

    def body(c: Node, rows: Node) -> list[Node]:
        return [op("add", op("sum", rows, attrs=((0,),)), c)]

    nodes = on_machine(scanned(body, carry=(start,), xs=(three,)))
    assert len(compiled_program(nodes).launches) == 1
    (found,) = EVALUATORS["compiled"](nodes)
    np.testing.assert_allclose(found, x.value.sum(0) + start.value, rtol=1e-5)
    turned = op("permute", x, attrs=((1, 0),))  # has to be laid out first
    nodes = on_machine(
        scanned(body, carry=(start,), xs=(op("reshape", turned, attrs=((3, 2, 4),)),))
    )
    (found,) = EVALUATORS["compiled"](nodes)
    expected = x.value.T.reshape(6, 4).sum(0) + start.value
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("flush", [False, True])
def test_python_inside_computes_as_outside(flush: bool) -> None:
    """Subnormal numbers are flushed by machine code only, before and after it as well."""
    tiny = data.leaf(np.float32([[1e-40, 3e-40, 0, 0]]), (1, 4), float32)
    call = registry["fft.rfft"]
    (outside,) = call.parts(op("reshape", tiny, attrs=((4,),)), attrs=((0,), "none"))

    def body(x: Node) -> list[Node]:
        (found,) = call.parts(x, attrs=((0,), "none"))
        return [op("real", found), op("add", x, x)]

    inside = scanned(body, xs=(tiny,))
    with configured(flush_denormal=flush):
        (expected,) = EVALUATORS["compiled"]([op("real", outside)])
        found, doubled = EVALUATORS["compiled"](inside)
    assert expected.any()
    np.testing.assert_array_equal(found[0], expected)
    assert doubled.any() != flush
