"""Arguments that a jitted function may use up."""

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentError, TracingError
from ambos.runtime.memory import statistics


def step(params, x):
    loss = lambda p: ((x @ p["w"] + p["b"]) ** 2).mean()
    value, grads = am.value_and_grad(loss)(params)
    return value, am.tree.map(lambda p, g: p - 0.1 * g, params, grads)


def start(size=64):
    am.manual_seed(0)
    return am.evaluate({"w": am.rand(8, size), "b": am.zeros(size)}), am.evaluate(am.rand(4, 8))


def address(tensor):
    return tensor._node.value.storage.address


def test_results_lie_where_arguments_lay_and_are_the_same():
    found = []
    for run in (step, am.jit(step), am.jit(step, donate_argnums=0),
                am.jit(step, donate_argnames="params", strict=True)):  # fmt: skip
        params, x = start()
        for _ in range(2):
            value, params = run(params, x)
        found.append([t.numpy().tobytes() for t in (value, params["w"], params["b"])])
    assert found[0] == found[1] == found[2] == found[3]
    jitted = am.jit(step, donate_argnums=0)
    params, x = start()
    _, params = jitted(params, x)
    places, live = {name: address(p) for name, p in params.items()}, statistics.live_bytes
    for _ in range(2):
        _, params = jitted(params, x)
        assert {name: address(p) for name, p in params.items()} == places
    assert statistics.live_bytes <= live + 1000


def test_what_was_donated_is_gone_and_says_so():
    params, x = start()
    jitted = am.jit(step, donate_argnums=0)
    _, new = jitted(params, x)
    for read in (lambda w: w.numpy(), lambda w: (w + 1).sum().item(), lambda w: jitted(params, x),
                 print):  # fmt: skip
        with pytest.raises(TracingError, match=(
            r"float32\[(8, )?64\] was donated to the jitted function step, .*\[test_donations\.py"
        )):  # fmt: skip
            read(params["w"])
    assert params["w"].shape == (8, 64)
    assert jitted(new, x)[0].item() > 0
    assert x.sum().item() > 0


def test_what_others_hold_stays():
    params, x = start()
    kept, view = params["w"].detach(), params["b"].numpy()
    before = kept.numpy().copy()
    jitted = am.jit(step, donate_argnums=0)
    _, new = jitted(params, x)
    np.testing.assert_array_equal(kept.numpy(), before)
    np.testing.assert_array_equal(view, np.zeros(64, np.float32))
    assert address(new["w"]) != address(kept)
    outside = am.evaluate(am.rand(5))
    reads = am.jit(lambda a: a * 2 + outside, donate_argnums=0)
    assert reads(outside).shape == (5,)  # the function itself knows it


def test_what_is_returned_unchanged_or_given_twice_is_not_overwritten():
    a = am.evaluate(am.arange(64.0) + 0)
    both = am.jit(lambda a: (a, a + 1), donate_argnums=0)
    same, more = both(a)
    assert same.tolist() == list(range(64))
    assert more.tolist() == list(range(1, 65))
    twice = am.jit(lambda a, b: a[::-1].flip(0) * 1 + b.flip(0), donate_argnums=(0, 1))
    assert twice(more, more).tolist() == [65.0] * 64
    c, d = am.evaluate(am.ones(8)), am.evaluate(am.zeros(8))
    swapped = am.jit(lambda c, d: (d + 1, c + 1), donate_argnums=(0, 1))
    for _ in range(3):
        c, d = swapped(c, d)
    assert (c.tolist(), d.tolist()) == ([3.0] * 8, [4.0] * 8)


def test_an_error_uses_nothing_up():
    table = am.evaluate(am.rand(5, 3))
    look = am.jit(lambda table, n: (table[n], table + 1), donate_argnums=0)
    with pytest.raises(IndexError):
        look(table, am.tensor([7]))
    assert table.sum().item() > 0
    with pytest.raises(ArgumentError, match="donate_argnums names argument 4; need numbers of par"):
        am.jit(step, donate_argnums=4)

    class Model:
        @am.jit(donate_argnums=1)
        def renewed(self, x):
            return x + 1

    x = am.evaluate(am.rand(8))
    place = address(x)
    assert address(Model().renewed(x)) == place
