"""Loops and branches that fail inside: the error, its line, and that nothing is left of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ambos.core.dtype import float32, int32, int64
from ambos.core.errors import IndexingError, LinAlgError
from ambos.graph.node import Node
from ambos.ops import registry
from ambos.ops.kinds import constant
from ambos.ops.solving import inv
from ambos.ops.sources import data
from tests.compiler.control import (
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


def gathering(indices: Sequence[int]) -> tuple[Node, ...]:
    table, start, where = numbers(5), numbers(1), np.reshape(indices, (-1, 1))
    xs = data.leaf(where.astype(np.int64), where.shape, int64)

    def body(t: Node, c: Node, i: Node) -> list[Node]:
        return [op("add", c, op("take", t, i, attrs=(0,)))]

    return scanned(body, (table,), (start,), (xs,))


@pytest.mark.parametrize("bad", [[1, 5, 2], [7], [0, 1, -1], [2**40, 0]])
def test_an_index_out_of_range_ends_the_loop(bad: list[int]) -> None:
    with pytest.raises(IndexingError, match="take: an index is out of range for axis 0 of size 5"):
        EVALUATORS["compiled"](gathering(bad))
    with pytest.raises(IndexingError, match="take: an index is out of range"):
        interpreted(on_machine(gathering(bad)))
    EVALUATORS["compiled"](gathering([4, 0, 3]))  # and nothing is left of it


def test_the_error_names_the_line_inside() -> None:
    def body(c: Node, i: Node) -> list[Node]:
        return [registry["add"](c, registry["take"](c, i, attrs=(0,)))]

    xs = data.leaf(np.int64([[0], [3]]), (2, 1), int64)
    line = body.__code__.co_firstlineno + 1
    with pytest.raises(IndexingError, match=rf"test_control_errors.py:{line}"):
        EVALUATORS["compiled"](scanned(body, carry=(numbers(1),), xs=(xs,)))

    def outer(c: Node, x: Node) -> list[Node]:
        return [scanned(invert, carry=(c,), xs=(x,))[0]]

    def invert(c: Node, x: Node) -> list[Node]:
        return [registry["add"](c, registry["linalg.inv"](x, attrs=(0,)))]

    line = invert.__code__.co_firstlineno + 1
    matrices = data.leaf(np.zeros((1, 1, 2, 2), "f"), (1, 1, 2, 2), float32)
    with pytest.raises(LinAlgError, match=rf"test_control_errors.py:{line}"):
        EVALUATORS["compiled"](scanned(outer, carry=(numbers(2, 2),), xs=(matrices,)))


def test_an_index_out_of_range_in_a_branch_in_a_while_in_a_scan() -> None:
    table = numbers(4)

    def outer(t: Node, c: Node, x: Node) -> list[Node]:
        parts = looped(
            lambda x, n, s: op("less", n, x), inside,
            (constant(0, int32), c), (x,), (t,),
        )  # fmt: skip
        return [parts[1], parts[0]]

    def inside(t: Node, n: Node, s: Node) -> list[Node]:
        def reads(t: Node, n: Node, s: Node) -> list[Node]:
            place = op("reshape", op("cast", n, attrs=(int64,)), attrs=((1,),))
            return [op("add", s, op("reshape", op("take", t, place, attrs=(0,)), attrs=((),)))]

        number = op("cast", op("greater", n, constant(1, int32)), attrs=(int32,))
        (new,) = chosen(number, (lambda t, n, s: [s], reads), (t, n, s))
        return [op("add", n, constant(1, int32)), new]

    for limits, fails in (([1, 3, 4], False), ([4, 5, 1], True)):
        xs = data.leaf(np.int32(limits), (3,), int32)
        parts = scanned(outer, (table,), (numbers(),), (xs,))
        if fails:
            with pytest.raises(IndexingError, match="take: an index is out of range for axis 0"):
                EVALUATORS["compiled"](parts)
        else:
            EVALUATORS["compiled"](parts)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_python_ends_the_loop(threads: int) -> None:
    good, bad = np.eye(2, dtype="f"), np.zeros((2, 2), "f")

    def summed(*matrices: np.ndarray) -> tuple[Node, ...]:
        xs = data.leaf(np.stack(matrices), (len(matrices), 2, 2), float32)
        start = numbers(2, 2)
        return scanned(
            lambda c, n, x: [op("add", c, inv.parts(x)[0]), op("add", n, constant(1, int32))],
            carry=(start, whole(0)), xs=(xs,),
        )  # fmt: skip

    with configured(threads=threads):
        with pytest.raises(LinAlgError, match=r"linalg.inv: the matrix is singular"):
            EVALUATORS["compiled"](summed(good, bad, good))
        assert EVALUATORS["compiled"](summed(good, good))[1] == 2


def test_whatever_is_raised_in_python_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(np: Any, x: Any) -> Any:
        raise KeyboardInterrupt

    xs, start = numbers(5, 2, 2), numbers(2, 2)
    nodes = scanned(lambda c, x: [op("add", c, inv.parts(x)[0])], carry=(start,), xs=(xs,))
    monkeypatch.setattr(type(inv), "host", staticmethod(interrupted))
    with pytest.raises(KeyboardInterrupt):
        EVALUATORS["compiled"](nodes)


def test_a_number_that_no_branch_has_runs_the_nearest() -> None:
    x = numbers(3)
    for number, factor in ((-4, 1), (9, -1)):
        calls = (lambda x: [x], lambda x: [op("negative", x)])
        (found,) = EVALUATORS["compiled"](chosen(whole(number), calls, (x,)))
        np.testing.assert_array_equal(found, factor * x.value)


def test_control_c_ends_a_loop() -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, interrupt)
    endless = looped(  # some seconds, and too much in a step to be woven
        lambda n, _: op("less", n, constant(2**22, int32)),
        lambda n, x: [op("add", n, constant(1, int32)), op("negative", x)],
        (whole(0), numbers(20000)),
    )
    EVALUATORS["compiled"](looped_once := looped(
        lambda n: op("less", n, constant(1, int32)),
        lambda n: [op("add", n, constant(1, int32))], (whole(0),),
    ))  # fmt: skip
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        EVALUATORS["compiled"](endless)
    assert time.perf_counter() - start < 4
    assert EVALUATORS["compiled"](looped_once) == [1]


def test_control_c_while_python_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal that arrives between two calls is raised before the first line of the next one,
    where nobody can catch it; the loop ends all the same."""

    def interrupted(np: Any, x: Any) -> Any:
        signal.raise_signal(signal.SIGINT)

    xs, start = numbers(6, 2, 2), numbers(2, 2)
    nodes = scanned(lambda c, x: [op("add", c, inv.parts(x)[0])], carry=(start,), xs=(xs,))
    monkeypatch.setattr(type(inv), "host", staticmethod(interrupted))
    with pytest.raises(KeyboardInterrupt):
        EVALUATORS["compiled"](nodes)
