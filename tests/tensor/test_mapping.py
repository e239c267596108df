"""Functions of rows, one after the other and in a tree."""

from __future__ import annotations

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentError, ArgumentTypeError, DTypeError, ShapeError
from ambos.graph import toposort


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3, 7, 9])
def test_map_is_a_loop(batch_size: int | None) -> None:
    x = am.arange(21, dtype=am.float32).reshape(7, 3)
    found = am.map(lambda row: {"s": row["x"].sum(), "t": row["x"] * 2}, {"x": x}, batch_size)
    assert am.array_equal(found["s"], am.stack([row.sum() for row in x]))
    assert am.array_equal(found["t"], x * 2)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 8, 13])
def test_running_results_are_those_of_a_loop(length: int) -> None:
    x = am.arange(length * 2).reshape(2, length)
    for axis, along in ((1, x), (-2, x.T)):
        assert am.array_equal(
            am.associative_scan(am.add, along, axis=axis), am.cumsum(along, axis=axis)
        )
        found = am.associative_scan(am.maximum, along, reverse=True, axis=axis)
        expected = np.flip(np.maximum.accumulate(np.flip(along.numpy(), axis), axis), axis)
        np.testing.assert_array_equal(found.numpy(), expected)


def test_the_depth_is_logarithmic_and_order_is_kept() -> None:
    matrices = am.tensor(np.random.default_rng(0).standard_normal((9, 2, 2)))
    found = am.associative_scan(lambda a, b: b @ a, matrices)
    product = np.eye(2)
    for n, matrix in enumerate(matrices.numpy()):
        product = matrix @ product
        np.testing.assert_allclose(found[n].numpy(), product, rtol=1e-10)

    def steps(length: int) -> int:
        node = am.associative_scan(am.multiply, am.ones(length) * 2)._node
        return sum(inner.op.name == "multiply" for inner in toposort([node]))

    assert steps(1024) <= 2 * 10 + 1


X = am.ones(4, 2)
WRONG = {
    "batch_size": (lambda: am.map(am.sin, X, 0), ArgumentError, "map: batch_size is 0"),
    "no rows": (lambda: am.map(lambda x: x, None), ArgumentError, "map: got neither xs"),
    "lengths": (
        lambda: am.associative_scan(lambda a, b: a, (X, X[:3])), ArgumentError,
        r"associative_scan: elems\[0\] has 4 rows, elems\[1\] .* has 3",
    ),
    "a shape": (
        lambda: am.associative_scan(lambda a, b: (a + b).sum(), X), ShapeError,
        r"what fn returns is float32\[\] of elements float32\[2, 2\]",
    ),
    "a dtype": (
        lambda: am.associative_scan(lambda a, b: a > b, X), DTypeError, "is bool",
    ),
    "a structure": (
        lambda: am.associative_scan(lambda a, b: (a, b), X), ArgumentError, "structures of elems",
    ),
    "an axis": (lambda: am.associative_scan(am.add, X, axis=2), ArgumentError, "axis 2"),
    "no function": (lambda: am.associative_scan(X, X), ArgumentTypeError, "fn is a Tensor"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_misuse_is_answered(what: str) -> None:
    call, error, message = WRONG[what]
    with pytest.raises(error, match=message):
        call()
