"""Arguments that a jitted function may use up."""

from importlib import import_module

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


def foreign():
    """Eight zeros in memory that is not ours, at an address that would do, and that memory."""
    memory = np.zeros(32, np.float32)
    begin = -memory.ctypes.data % 64 // 4
    return am.from_dlpack(memory[begin : begin + 8]), memory


def returned(tensor, memory):
    """A result that nobody has looked at, and yet its memory is not ours."""
    return am.jit(lambda a: a)(tensor), memory


MANY = 6  # so many that all are asked at once
CASES = {
    "results": lambda p: p,
    "a view": lambda p: p | {"p1": (p["p1"], np.asarray(p["p1"]))},
    "a handle": lambda p: p | {"p2": (p["p2"], p["p2"].detach())},
    "what is pending": lambda p: p | {"p2": (p["p2"], p["p2"] + 1)},
    "looked at": lambda p: p | {"p0": (p["p0"], p["p0"].tolist())},
    "zeros": lambda p: p | {"p3": am.zeros(8)},
    "foreign memory": lambda p: p | {"p4": foreign()},
    "a result in foreign memory": lambda p: p | {"p4": returned(*foreign())},
    "a part": lambda p: p | {"p4": am.evaluate(am.ones(16))[8:]},
    "one twice": lambda p: p | {"p5": p["p0"]},
    "tracked": lambda p: p | {"p1": p["p1"].detach().requires_grad_()},
}


@pytest.mark.parametrize("case", CASES)
def test_many_arguments_are_given_away_like_one(case):
    """Step by step, with something done to the arguments of the third."""

    def play(run):
        p = {f"p{n}": am.evaluate(am.arange(8.0) + n) for n in range(MANY)}
        held, shown = [], []
        for number in range(6):
            if number == 3:
                p = CASES[case](p)
                held = [pair[1] for pair in p.values() if isinstance(pair, tuple)]
                p = {name: v[0] if isinstance(v, tuple) else v for name, v in p.items()}
            old = p
            p, total = run(p)
            shown.append((total.item(), [np.array(value).tolist() for value in held]))
            if run is jitted:
                for value in old.values():
                    with pytest.raises(TracingError, match="was donated"):
                        value.tolist()
        return shown, {name: value.tolist() for name, value in p.items()}

    def descend(p):
        return {name: value * 0.5 + 1 for name, value in p.items()}, sum(
            value.detach().sum() for value in p.values()
        )

    jitted = am.jit(descend, donate_argnums=0)
    assert play(jitted) == play(descend)


def test_memory_goes_round():
    p = {f"p{n}": am.evaluate(am.arange(8.0) + n) for n in range(MANY)}
    run = am.jit(lambda p: {name: value + 1 for name, value in p.items()}, donate_argnums=0)
    p = run(run(p))
    places = {name: value._kept.address for name, value in p.items()}
    for _ in range(4):
        p = run(p)
        assert {name: value._kept.address for name, value in p.items()} == places
    p["p3"].tolist()
    p["p4"] + 1  # it has a node now
    p = run(p)
    assert {name: address(value) for name, value in p.items()} == places
    assert p["p4"].tolist() == [4.0 + 7 + n for n in range(8)]


def test_other_layouts_and_keywords_are_other_calls():
    run = am.jit(lambda *args, **kwargs: sum(am.tree.leaves((args, kwargs))))
    one, two = am.tensor(1.0), am.tensor(2.0)
    calls = [
        ((one, two), {}), (((one,), {"k": two}), {}), ((one,), {"k": two}), ((), {"k": one}),
        (([one, two],), {}), (((one, two),), {}), ((one, one), {}), ((two,), {"k": two}),
    ]  # fmt: skip
    for _ in range(2):
        for args, kwargs in calls:
            wanted = sum(leaf.item() for leaf in am.tree.leaves((args, kwargs)))
            assert run(*args, **kwargs).item() == wanted
    assert sum(map(len, run._recordings.values())) >= len(calls)


def test_what_was_given_away_is_gone_also_after_an_interrupted_call(monkeypatch):
    recording = import_module("ambos.tensor.recording")
    halve = am.jit(lambda parts: [part * 0.5 for part in parts], donate_argnums=0)
    halve(am.evaluate([am.rand(8) for _ in range(6)]))
    parts = am.evaluate([am.rand(8) for _ in range(6)])
    run = recording.Bound.run

    def interrupted(self, tensors):
        run(self, tensors)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recording.Bound, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            halve(parts)
    for part in parts:
        with pytest.raises(TracingError, match="was donated"):
            part.numpy()
    again = halve(am.evaluate([am.ones(8) for _ in range(6)]))
    assert [part.tolist() for part in again] == [[0.5] * 8] * 6
