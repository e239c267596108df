"""`dynamic_slice` and its like against JAX: values, gradients, examples, inside loops."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentError, DTypeError, ShapeError
from ambos.tensor.profile import profile

X = np.arange(24, dtype=np.float32).reshape(4, 6) / 7
NEW = -np.arange(1, 7, dtype=np.float32).reshape(2, 3)
PLACES = [(0, 0), (1, 2), (9, -1), (-3, 99), (-99, 3)]
lax = jax.lax

CASES = {  # ours and JAX's of x, new and two positions
    "slice": (lambda x, n, i, j: am.dynamic_slice(x, (i, j), (2, 3)),
              lambda x, n, i, j: lax.dynamic_slice(x, (i, j), (2, 3))),
    "index": (lambda x, n, i, j: am.dynamic_index_in_dim(x, i, 0, keepdims=False),
              lambda x, n, i, j: lax.dynamic_index_in_dim(x, i, 0, keepdims=False)),
    "update": (lambda x, n, i, j: am.dynamic_update_slice(x, n, (i, j)),
               lambda x, n, i, j: lax.dynamic_update_slice(x, n, (i, j))),
    "update index": (lambda x, n, i, j: am.dynamic_update_index_in_dim(x, n[0, 0] * x[0], i, 0),
                     lambda x, n, i, j: lax.dynamic_update_index_in_dim(x, n[0, 0] * x[0], i, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_gradients_and_examples_are_jaxs(name):
    ours, theirs = CASES[name]
    rows, columns = (np.array(each) for each in zip(*PLACES, strict=True))
    expected = jax.vmap(theirs, (None, None, 0, 0))(X, NEW, rows, columns)
    x, new = am.tensor(X), am.tensor(NEW)
    places = am.tensor(rows), am.tensor(columns)
    found = am.vmap(ours, in_axes=(None, None, 0, 0))(x, new, *places)
    np.testing.assert_array_equal(found.numpy(), expected)
    for number, (i, j) in enumerate(PLACES):
        one = ours(x, new, am.tensor(i), am.tensor(j)).numpy()
        assert one.tobytes() == found[number].numpy().tobytes()
    assert ours(x, new, i, j).numpy().tobytes() == one.tobytes()  # Python integers

    def loss(np_like, call):
        return lambda x, n, i, j: (np_like.sin(call(x, n, i, j)) * call(x, n, i, j)).sum()

    wanted = jax.vmap(jax.grad(loss(jnp, theirs), (0, 1)), (None, None, 0, 0))(
        X, NEW, rows, columns
    )
    got = am.vmap(am.grad(loss(am, ours), (0, 1)), in_axes=(None, None, 0, 0))(x, new, *places)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-5, atol=1e-6)
    tangent = am.jvp(lambda x: ours(x, new, *map(am.tensor, PLACES[1])), (x,), (x,))[1]
    slope = jax.jvp(lambda x: theirs(x, NEW, *PLACES[1]), (X,), (X,))[1]
    np.testing.assert_allclose(tangent.numpy(), slope, rtol=1e-6)


def test_along_one_axis():
    x, new, start = am.tensor(X), am.tensor(NEW[:, :1]) * am.ones(2, 6), am.tensor(-2)
    part = am.dynamic_slice_in_dim(x, start, 4, axis=1)
    assert part.tolist() == am.dynamic_slice(x, (0, start), (4, 4)).tolist()
    whole = am.dynamic_update_slice_in_dim(x, new, start, 0)
    assert whole.tolist() == am.dynamic_update_slice(x, new, (start, 0)).tolist()


def test_inside_a_loop():
    def fill(step, cache):  # a cache of keys, a row a step
        row = am.dynamic_index_in_dim(cache, step, keepdims=False) * 2 + 1
        return am.dynamic_update_index_in_dim(cache, row, step + 1, 0)

    cache = am.fori_loop(0, 3, fill, am.zeros(4, 2))
    assert cache.tolist() == [[0, 0], [1, 1], [3, 3], [7, 7]]
    slope = am.grad(lambda x: am.fori_loop(0, 3, fill, x)[3].sum())(am.ones(4, 2))
    assert slope.tolist() == [[8, 8], [0, 0], [0, 0], [0, 0]]


def test_what_cannot_be_out_of_range_is_not_checked():
    x, start = am.tensor(X), am.tensor(1)
    with profile() as found:
        am.evaluate(am.dynamic_slice_in_dim(x, start + 0, 2))
        am.evaluate(x[am.arange(3)])
    assert sum(row.calls for row in found.rows) <= 3
    assert not any("max " in row.kernel for row in found.rows)


MISUSE = [
    (lambda x, i: am.dynamic_slice(x, (i,), (2, 3)), ArgumentError, "got 1 positions for .4, 6"),
    (lambda x, i: am.dynamic_slice(x, (i, i), (2,)), ArgumentError, "need a size for each axis"),
    (lambda x, i: am.dynamic_slice(x, (i, i), (5, 2)), ShapeError, "need sizes that fit inside"),
    (lambda x, i: am.dynamic_slice_in_dim(x, i.float(), 2), DTypeError, "position is float32"),
    (lambda x, i: am.dynamic_slice_in_dim(x, am.zeros(2).long(), 2), ShapeError, "need a scalar"),
    (lambda x, i: am.dynamic_update_slice(x, x.int(), (i, i)), DTypeError, "update is int32 for"),
    (lambda x, i: am.dynamic_update_index_in_dim(x, x[:2], i, 0), ShapeError,
     r"the update is \(2, 6\) for \(4, 6\); need \(1, 6\), or that without axis 0"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), MISUSE)
def test_misuse(call, error, message):
    with pytest.raises(error, match=message):
        call(am.tensor(X), am.tensor(1))
