"""Loops and branches as one kernel: the bits of launch after launch."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

import ambos as am
from ambos.compiler import weave
from ambos.compiler.pipeline import compile_graph
from ambos.core.config import config
from ambos.core.dtype import float32, int32, int64
from ambos.core.errors import IndexingError
from ambos.core.program import Program
from ambos.core.shape import Shape
from ambos.graph.node import Node, pending
from ambos.ops.kinds import constant
from ambos.ops.sources import data
from ambos.runtime.executor import Executable
from ambos.runtime.loader import statistics
from ambos.runtime.machine import host_features
from ambos.runtime.memory import Storage
from ambos.tensor.handle import wrap
from ambos.tensor.realize import as_inputs, sign
from tests.compiler.control import looped, numbers, on_machine, op, scanned, whole
from tests.compiler.test_control_random import Draw


def computed(nodes: Sequence[Node]) -> tuple[Program, list[bytes]]:
    """The Program of a graph, compiled anew, and its results."""
    leaves, _ = sign(pending(nodes))
    program = compile_graph(as_inputs(nodes, leaves, {}), host_features(), config.threads).program
    outputs = [Storage(nbytes) for nbytes in program.output_bytes]
    inputs = [leaf.value.address for leaf in leaves][: program.num_inputs]
    Executable(program).run(inputs, [storage.address for storage in outputs])
    return program, [bytes(storage.numpy("uint8", (storage.nbytes,))) for storage in outputs]


def controls(program: Program) -> list[bool]:
    """Which loops and branches, however deep, are woven."""
    found = []
    for launch in program.launches:
        if (control := launch.kernel.control) is not None:
            found.append(control.woven)
            for part in control.parts:
                found += controls(part.program)
    return found


def compare(nodes: Sequence[Node], monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Both ways give the same bytes; what was woven."""
    nodes = on_machine(nodes)
    program, found = computed(nodes)
    with monkeypatch.context() as patch:
        patch.setattr(weave, "MOST_LAUNCHES", -1)
        walked, wanted = computed(nodes)
    assert not any(controls(walked))
    assert found == wanted
    return controls(program)


# --- the same bits -------------------------------------------------------------------------------


def test_small_bodies_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops and branches in each other, with folds, gathers and tables, on 1 to 12 numbers."""
    shapes: list[Shape] = [(), (3,), (2, 2), (4, 3)]
    woven = 0
    for seed in range(100, 114):
        values = np.random.default_rng(seed)
        leaves = [
            data.leaf(values.uniform(-1, 1, shape).astype(np.float32), shape, float32)
            for shape in shapes
        ]
        woven += sum(compare(Draw(seed).control(leaves, 2), monkeypatch))
    assert woven > 15


def test_carries_that_change_places(monkeypatch: pytest.MonkeyPatch) -> None:
    for shape in ((), (2,), (9,)):
        for length in (1, 2, 5):
            a, b, c = numbers(*shape), numbers(*shape), numbers(*shape)
            parts = scanned(
                lambda a, b, c: [b, a, c, op("add", a, c)], carry=(a, b, c), length=length
            )
            assert compare(parts, monkeypatch) == [True]


@pytest.mark.parametrize("dtype", ["float64", "float16", "int8", "int64", "bool"])
def test_dtypes(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    both = "bitwise_xor" if dtype == "bool" else "multiply"
    start, xs = numbers(dtype=dtype), numbers(6, dtype=dtype)
    parts = scanned(lambda c, x: [op(both, c, x), c], carry=(start,), xs=(xs,), reverse=True)
    assert compare(parts, monkeypatch) == [True]


PRODUCTS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "square": ("ij,jk->ik", (2, 2), (2, 2)),
    "turned": ("ij,kj->ik", (3, 3), (3, 3)),
    "both turned": ("ji,kj->ik", (3, 3), (3, 3)),
    "batch": ("bij,bjk->bik", (2, 3, 3), (2, 3, 3)),
    "outer batch": ("bij,jk->bik", (4, 2, 2), (2, 2)),
    "vector": ("ij,j->i", (4, 4), (4,)),
    "row": ("j,jk->k", (4,), (4, 4)),
    "long": ("ij,kj->ik", (2, 30), (2, 30)),
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32"])
def test_small_contractions(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def body(*given: Node) -> list[Node]:
        found = []
        for (formula, *_), a, b in zip(PRODUCTS.values(), given[::2], given[1::2], strict=True):
            found.append((am.einsum(formula, wrap(a), wrap(b)) + 1)._node)
        return [*given, *found]

    shapes = [shape for _, *pair in PRODUCTS.values() for shape in pair]
    carry = [numbers(*shape, dtype=dtype) for shape in shapes]
    with monkeypatch.context() as patch:
        patch.setattr(weave, "MOST_LAUNCHES", 100)
        found = compare(scanned(body, carry=carry, length=2), monkeypatch)
    assert found == [True]


def test_a_loop_that_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (0, 1, 3000):  # no step, one, and more than go by without being asked
        parts = looped(
            lambda n, *_, limit=limit: op("less", n, constant(limit, int32)),
            lambda n, x, y: [op("add", n, constant(1, int32)), op("add", x, y), op("negative", x)],
            (whole(0), numbers(), numbers()),
        )
        assert compare(parts, monkeypatch) == [True]


# --- sizes ---------------------------------------------------------------------------------------


def test_lengths_and_sizes_compile_nothing() -> None:
    def total(length: int, width: int) -> Sequence[Node]:
        table = numbers(length, width)
        return scanned(
            lambda c, x: [op("add", op("multiply", c, x), x), c], carry=(numbers(width),),
            xs=(table,),
        )  # fmt: skip

    computed(on_machine(total(3, 5)))
    before = statistics.compiled
    for length, width in ((7, 6), (2000, 33), (40, 5)):
        computed(on_machine(total(length, width)))
    assert statistics.compiled == before


def test_large_bodies_are_walked() -> None:
    def body(c: Node, x: Node) -> list[Node]:
        return [op("add", c, x)]

    parts = scanned(body, carry=(numbers(200, 100),), xs=(numbers(2, 200, 100),))
    assert controls(computed(on_machine(parts))[0]) == [False]


# --- what goes wrong -----------------------------------------------------------------------------


def taking(place: Callable[[Node, Node], Node]) -> Callable[..., list[Node]]:
    def body(table: Node, total: Node, i: Node) -> list[Node]:
        found = op("take", table, op("reshape", i, attrs=((1,),)), attrs=(0,))
        return [place(total, op("reshape", found, attrs=((),)))]

    return body


def test_the_complaint_of_an_inner_loop_has_its_line() -> None:
    table = am.arange(3.0)

    def outer(total: am.Tensor, first: am.Tensor) -> tuple[am.Tensor, None]:
        return am.fori_loop(0, 3, lambda i, s: s + table[i + first], total + table[first]), None

    line = outer.__code__.co_firstlineno + 1
    for firsts, found in (([0, 0], 6.0), ([0, 1], None), ([0], 3.0)):
        last = am.scan(outer, am.tensor(0.0), am.tensor(firsts))[0]
        if found is not None:
            assert last.item() == found
            continue
        with pytest.raises(IndexingError, match=rf"test_weave.py:{line}"):
            last.item()


def test_control_c_ends_a_jitted_loop() -> None:
    @am.jit
    def through(start: am.Tensor) -> am.Tensor:
        """Through all 32-bit numbers up to 0, which takes some seconds from the one after it."""
        return am.while_loop(lambda n: n != 0, lambda n: n * 1664525 + 1013904223, start)

    assert through(am.tensor(0)).item() == 0
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        through(am.tensor(1013904223)).item()
    assert time.perf_counter() - start < 2
    assert through(am.tensor(0)).item() == 0


def test_a_complaint_does_not_stay() -> None:
    table, start = numbers(4), numbers()
    for bad in ([1, 9], [3, 0], [-1], [2]):
        xs = data.leaf(np.int64(bad), (len(bad),), int64)
        nodes = on_machine(scanned(taking(lambda t, x: op("add", t, x)), (table,), (start,), (xs,)))
        if min(bad) < 0 or max(bad) > 3:
            with pytest.raises(Exception, match="out of range"):
                computed(nodes)
        else:
            computed(nodes)
