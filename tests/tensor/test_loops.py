"""Loops: what they compute, what they refuse, and what they leave behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    GradientError,
    ShapeError,
    TracingError,
)
from ambos.graph import toposort
from ambos.tensor import realize


def test_a_running_sum() -> None:
    total, before = am.scan(lambda s, x: (s + x, s), 0.0, am.tensor([1.0, 2.0, 4.0]))
    assert total.item() == 7
    assert before.tolist() == [0, 1, 3]


def test_reversed_results_lie_where_their_xs_do() -> None:
    total, after = am.scan(lambda s, x: (s + x, s), 0, am.tensor([1, 2, 4]), reverse=True)
    assert total.item() == 7
    assert after.tolist() == [6, 4, 0]


class State(NamedTuple):
    position: am.Tensor
    speed: am.Tensor


def test_trees_in_and_out() -> None:
    def step(state: State, force: dict[str, am.Tensor]) -> tuple[State, dict[str, object]]:
        speed = state.speed + force["push"] - force["brake"]
        return State(state.position + speed, speed), {"speed": [speed, None]}

    xs = {"push": am.tensor([1.0, 2.0]), "brake": am.tensor([0.5, 0.0])}
    last, ys = am.scan(step, State(am.tensor(0.0), am.tensor(0.0)), xs)
    assert isinstance(last, State)
    assert (last.position.item(), last.speed.item()) == (3.0, 2.5)
    assert ys["speed"][0].tolist() == [0.5, 2.5]
    assert ys["speed"][1] is None


def test_length_alone_and_no_steps() -> None:
    last, powers = am.scan(lambda x, _: (x * 2, x), 1, None, length=5)
    assert last.item() == 32
    assert powers.tolist() == [1, 2, 4, 8, 16]
    last, rows = am.scan(lambda x, y: (x + y.sum(), y * 2), 1.0, am.zeros(0, 3))
    assert last.item() == 1
    assert rows.shape == (0, 3)


def test_python_numbers_have_the_dtype_that_comes_out() -> None:
    xs = am.arange(3, dtype=am.float64) / 10
    total, _ = am.scan(lambda s, x: (s + x, None), 0.1, xs)
    assert total.dtype is am.float64
    assert total.item() == 0.1 + 0.0 + 0.1 + 0.2
    count, _ = am.scan(lambda n, x: (n + x.sum(), None), 0, am.ones(2, 2))
    assert count.dtype is am.float32
    again, ys = am.scan(lambda s, x: (0.25, 3), am.ones((), dtype=am.float64), xs)
    assert again.dtype is am.float64
    assert ys.dtype is am.int64


def test_while() -> None:
    assert am.while_loop(lambda x: x < 100, lambda x: x * 3, 1).item() == 243
    count, x = am.while_loop(lambda s: s[1] > 1, lambda s: (s[0] + 1, s[1] / 2), (0, 100.0))
    assert (count.item(), x.item()) == (7, 100 / 128)
    assert am.while_loop(lambda x: False, lambda x: x + 1, 5).item() == 5


def test_for() -> None:
    assert am.fori_loop(2, 5, lambda i, x: x * 10 + i, 0).item() == 234
    assert am.fori_loop(5, 2, lambda i, x: x + 1, 7).item() == 7
    for bounds in ((am.tensor(2), 5), (2, am.tensor(5)), (am.tensor(2), am.tensor(5))):
        assert am.fori_loop(*bounds, lambda i, x: x * 10 + i, 0).item() == 234
    small = am.tensor(3, dtype=am.int8)
    assert am.fori_loop(0, small, lambda i, x: x + (i.dtype is am.int8), 0).item() == 3


def test_ten_thousand_steps_are_one_node() -> None:
    def graph(steps: int) -> list[str]:
        def loss(w: am.Tensor) -> am.Tensor:
            xs = am.ones(steps, 3)
            last, ys = am.scan(lambda s, x: (am.tanh(s * w + x), s), am.zeros(3), xs)
            return (last + ys.sum(0)).sum()

        return [node.op.name for node in toposort([am.grad(loss)(am.tensor(0.5))._node])]

    assert graph(10_000) == graph(10)
    assert graph(10).count("scan") <= 3


def test_modules_in_a_loop_get_the_gradients_of_the_unrolled_one() -> None:
    am.manual_seed(0)
    cell, start = nn.Linear(5, 3), am.zeros(4, 3)
    xs = am.randn(6, 4, 2)

    def step(h: am.Tensor, x: am.Tensor) -> tuple[am.Tensor, am.Tensor]:
        h = am.tanh(cell(am.cat([h, x], dim=1)))
        return h, h

    def gradients(states: am.Tensor) -> list[np.ndarray]:
        for parameter in cell.parameters():
            parameter.grad = None
        (states**2).mean().backward()
        return [parameter.grad.numpy() for parameter in cell.parameters()]

    looped = gradients(am.scan(step, start, xs)[1])
    h, states = start, []
    for x in xs:
        h, _ = step(h, x)
        states.append(h)
    for one, other in zip(looped, gradients(am.stack(states)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_the_gradient_of_ten_thousand_steps() -> None:
    xs = np.random.default_rng(0).standard_normal(10_000)

    def loss(w: am.Tensor) -> am.Tensor:
        return am.scan(lambda s, x: (s * w + x, s), xs[0] * 0, am.tensor(xs))[1].sum()

    s = slope = total = 0.0
    for x in xs:  # s' = w s + x, so ds'/dw = s + w ds/dw
        total += slope
        s, slope = 0.9 * s + x, s + 0.9 * slope
    found = am.grad(loss)(am.tensor(0.9, dtype=am.float64))
    np.testing.assert_allclose(found.item(), total, rtol=1e-9)


def test_bits_are_those_of_a_loop_lazily_jitted_and_of_examples() -> None:
    random = np.random.default_rng(0)
    w = am.tensor(random.standard_normal((5, 5)).astype(np.float32) * 0.5)
    xs = am.tensor(random.standard_normal((3, 6, 5)).astype(np.float32))

    def last(w: am.Tensor, x: am.Tensor) -> am.Tensor:
        return am.scan(lambda h, row: (am.tanh(w @ h + row), None), am.zeros(5), x)[0]

    def slope(w: am.Tensor, x: am.Tensor) -> am.Tensor:
        return am.grad(lambda w, x: (last(w, x) ** 2).sum(), argnums=(0, 1))(w, x)[1]

    h = am.zeros(5)
    for row in xs[0]:
        h = am.tanh(w @ h + row)
    assert am.array_equal(last(w, xs[0]), h)
    for function in (last, slope):
        looped = am.stack([function(w, x) for x in xs])
        many = am.vmap(function, in_axes=(None, 0))
        assert am.array_equal(many(w, xs), looped)
        assert am.array_equal(am.jit(many)(w, xs), looped)
        assert am.array_equal(am.jit(function)(w, xs[1]), looped[1])


def test_examples_of_a_while_stop_by_themselves() -> None:
    def collatz(n: am.Tensor) -> tuple[am.Tensor, am.Tensor]:
        def step(state: tuple[am.Tensor, am.Tensor]) -> tuple[am.Tensor, am.Tensor]:
            n, count = state
            return am.where(n % 2 == 0, n // 2, 3 * n + 1), count + 1

        return am.while_loop(lambda state: state[0] > 1, step, (n, 0))

    assert am.vmap(collatz)(am.tensor([1, 6, 7, 27]))[1].tolist() == [0, 8, 16, 111]


def test_tangents_go_through_a_while() -> None:
    def grown(x: am.Tensor) -> am.Tensor:
        return am.while_loop(lambda y: y < 50, lambda y: y * x, x)

    value, tangent = am.jvp(grown, (am.tensor(3.0),), (am.tensor(1.0),))
    assert (value.item(), tangent.item()) == (81, 4 * 27)  # x**4
    # 7 -> 49 -> 343 = x**3
    assert am.vmap(am.jacfwd(grown))(am.tensor([3.0, 7.0])).tolist() == [4 * 27, 3 * 49]


def test_gradients_stop_where_they_were_stopped() -> None:
    def loss(x: am.Tensor) -> am.Tensor:
        return am.scan(lambda s, _: (s * x.detach() + x, None), 1.0, None, length=2)[0]

    # ((1 * c + x) * c + x) by x: c + 1
    assert am.grad(loss)(am.tensor(3.0)).item() == 4
    with am.no_grad():
        assert not am.scan(lambda s, x: (s + x, s), 0.0, am.ones(2, requires_grad=True))[
            0
        ].requires_grad


def test_checkpoint_inside_keeps_the_carry_only_and_plans_once() -> None:
    w, xs = am.eye(4) * 0.5, am.ones(6, 2, 4)

    def slope(inner: Callable[..., am.Tensor]) -> am.Tensor:
        def loss(x: am.Tensor) -> am.Tensor:
            h, _ = am.scan(lambda h, row: (inner(h, row), None), am.zeros(2, 4), x)
            return (h * h).sum()

        return am.grad(loss)(xs)

    def inner(h: am.Tensor, x: am.Tensor) -> am.Tensor:
        return am.tanh(am.tanh(h @ w + x) @ w)

    def kept(gradient: am.Tensor) -> int:
        nodes = toposort([gradient._node])
        return max(len(n.attrs[1].body.results) for n in nodes if n.op.name == "scan")

    every, again = slope(inner), slope(am.checkpoint(inner))
    assert (kept(every), kept(again)) == (3, 2)
    assert am.array_equal(every, again)
    plans = len(realize._plans)
    assert am.array_equal(every, slope(am.checkpoint(inner)))
    assert len(realize._plans) == plans


def test_of_a_sum_of_contractions_the_sum_is_kept() -> None:
    w, u, bias = am.ones(4, 16) * 0.1, am.ones(3, 16) * 0.2, am.zeros(16)

    def cell(
        state: tuple[am.Tensor, am.Tensor], x: am.Tensor
    ) -> tuple[tuple[am.Tensor, am.Tensor], None]:
        h, c = state
        i, f, g, o = am.chunk(h @ w + x @ u + bias, 4, dim=1)
        c = am.sigmoid(f) * c + am.sigmoid(i) * am.tanh(g)
        return (am.sigmoid(o) * am.tanh(c), c), None

    def loss(x: am.Tensor) -> am.Tensor:
        return (am.scan(cell, (am.zeros(2, 4), am.zeros(2, 4)), x)[0][0] ** 2).sum()

    nodes = toposort([am.grad(loss)(am.ones(6, 2, 3))._node])
    scans = [node.attrs[1].body for node in nodes if node.op.name == "scan"]
    kept = [(node.op.name, node.shape) for body in scans for node in body.results[2:]]
    assert ("add", (2, 16)) in kept  # the gates before they open
    assert not [name for name, shape in kept if name == "contract" and shape == (2, 16)]


def test_every_step_draws_anew_and_jit_draws_the_same() -> None:
    def noisy(start: am.Tensor) -> tuple[am.Tensor, am.Tensor]:
        return am.scan(lambda s, _: (s, s + am.rand(2)), start, None, length=3)

    am.manual_seed(1)
    _, one = noisy(am.zeros(2))
    _, two = noisy(am.zeros(2))
    am.manual_seed(1)
    jitted = am.jit(noisy)
    assert am.array_equal(one, jitted(am.zeros(2))[1])
    assert am.array_equal(two, jitted(am.zeros(2))[1])
    assert len(set(one.numpy().ravel().tolist() + two.numpy().ravel().tolist())) == 12


def test_keys_that_are_given_are_the_users() -> None:
    keys = am.random.split(am.random.key(0), 3)
    _, drawn = am.scan(lambda s, key: (s, am.random.uniform(key, (2,))), 0, keys)
    apart = am.stack([am.random.uniform(key, (2,)) for key in keys])
    assert am.array_equal(drawn, apart)


def test_streams_inside_branches_loops_and_layers() -> None:
    am.manual_seed(0)
    dropout = nn.Dropout(0.5)

    def noise(x: am.Tensor) -> am.Tensor:
        inner = am.scan(lambda u, _: (u, am.rand(())), 0, None, length=2)[1]
        return am.cond(x > 0, lambda: am.rand(2), lambda: am.zeros(2)) + inner

    drawn = am.scan(lambda s, x: (s, noise(x)), 0, am.ones(3))[1]
    assert len(set(drawn.numpy().ravel().tolist())) == 6
    masks = am.scan(lambda s, x: (s, dropout(x)), 0, am.ones(3, 16))[1].numpy()
    assert len({row.tobytes() for row in masks}) == 3
    count = am.while_loop(lambda n: n < am.rand(()) * 10, lambda n: n + 1, 0).item()
    assert 0 <= count < 10


def test_a_second_try_takes_no_second_key() -> None:
    def noisy(x: am.Tensor) -> am.Tensor:  # an int that becomes a float: f is traced twice
        return am.scan(lambda s, row: (s + row.sum() + am.rand(()), None), 0, x)[0] + am.rand(())

    am.manual_seed(7)
    lazily = [noisy(am.ones(3, 2)).item() for _ in range(3)]
    assert am.random.default_generator.get_state() == (7, 6)
    am.manual_seed(7)
    jitted = am.jit(noisy)
    assert [jitted(am.ones(3, 2)).item() for _ in range(3)] == lazily


def test_what_is_refused_at_one_step_is_refused() -> None:
    x = am.arange(6.0).reshape(2, 3) ** 2

    def step(s: am.Tensor, weights: am.Tensor) -> tuple[am.Tensor, None]:
        return s + am.cov(x, aweights=weights).sum(), None

    good = am.tensor([[1.0, 2.0, 1.0], [3.0, 1.0, 1.0], [1.0, 1.0, 1.0]]) * 1
    bad = good - am.tensor([[0.0], [2.0], [0.0]])
    assert am.scan(step, 0.0, good)[0].item() > 0

    def by_number(rows: am.Tensor) -> am.Tensor:
        def more(state: tuple[am.Tensor, am.Tensor]) -> tuple[am.Tensor, am.Tensor]:
            n, s = state
            return n + 1, step(s, rows[n])[0]

        return am.while_loop(lambda state: state[0] < 3, more, (0, 0.0))[1]

    def nested(rows: am.Tensor) -> am.Tensor:
        return am.map(
            lambda row: am.cond(row[0] > -9, lambda: step(0.0, row)[0], lambda: 0.0), rows
        )

    for function in (lambda rows: am.scan(step, 0.0, rows), by_number, nested):
        function(good)
        with pytest.raises(ArgumentError, match=r"cov: .* \[test_loops.py:"):
            function(bad)
    with pytest.raises(ArgumentError, match="cov"):
        am.vmap(lambda rows: am.scan(step, 0.0, rows)[0])(am.stack([good, bad]))
    skipped = am.map(
        lambda row: am.cond((row >= 0).all(), lambda: step(0.0, row)[0], lambda: 0.0), bad
    )
    assert (skipped == 0).tolist() == [False, True, False]


# --- misuse --------------------------------------------------------------------------------------

X = am.ones(3, 2)
WRONG = {
    "a shape": (
        lambda: am.scan(lambda c, x: ({"w": [c["w"][0][:1]]}, None), {"w": [am.ones(2)]}, X),
        ShapeError, r"scan: carry\['w'\]\[0\] goes in as float32\[2\] and comes out as .*\[1\]",
    ),
    "a dtype": (
        lambda: am.scan(lambda c, x: (c + x, None), am.zeros(2, dtype=am.int32), X),
        DTypeError, r"carry goes in as int32\[2\] and comes out as float32\[2\]; .* start with",
    ),
    "a Python float of an integer": (
        lambda: am.scan(lambda c, x: (1.5, None), am.tensor(1), X),
        DTypeError, r"goes in as int64\[\] and comes out as float32\[\]",
    ),
    "a structure": (
        lambda: am.scan(lambda c, x: ({"b": c["a"]}, None), {"a": 1.0}, X),
        ArgumentError, "scan: the structures of the carry and the carry that f returns differ: at",
    ),
    "a leaf that becomes a tuple": (
        lambda: am.scan(lambda c, x: ((c, c), None), 1.0, X), ArgumentError, "structures",
    ),
    "no pair": (
        lambda: am.scan(lambda c, x: c, am.ones(2), X), ArgumentTypeError,
        "scan: f returned a Tensor; need a pair",
    ),
    "a triple": (
        lambda: am.scan(lambda c, x: (c, x, x), am.ones(2), X), ArgumentTypeError,
        "scan: f returned a tuple of 3; need a pair",
    ),
    "lengths": (
        lambda: am.scan(lambda c, x: (c, None), 0, {"a": X, "b": am.ones(4)}), ArgumentError,
        r"scan: xs\['a'\] has 3 rows, xs\['b'\] of shape \(4,\) has 4",
    ),
    "length": (
        lambda: am.scan(lambda c, x: (c, None), 0, X, length=4), ArgumentError,
        r"scan: length is 4, xs of shape \(3, 2\) has 3",
    ),
    "no length": (
        lambda: am.scan(lambda c, x: (c, None), 0), ArgumentError, "neither xs nor length",
    ),
    "a scalar": (
        lambda: am.scan(lambda c, x: (c, None), 0, (am.tensor(1.0),)), ShapeError,
        r"scan: xs\[0\] is a float32 scalar",
    ),
    "text": (
        lambda: am.scan(lambda c, x: (c, None), {"a": "b"}, X), ArgumentTypeError,
        r"scan: carry\['a'\] is a str",
    ),
    "text to collect": (
        lambda: am.scan(lambda c, x: (c, "b"), 0, X), ArgumentTypeError, "scan: ys is a str",
    ),
    "unroll": (
        lambda: am.scan(lambda c, x: (c, None), 0, X, unroll=0), ArgumentError, "unroll is 0",
    ),
    "a look": (
        lambda: am.scan(lambda c, x: (c if c.sum() > 0 else x, None), am.ones(2), X),
        TracingError, "scan: the value of bool.* is looked at",
    ),
    "a while that changes structure": (
        lambda: am.while_loop(lambda c: c[0] < 1, lambda c: [c[0]], (1.0,)), ArgumentError,
        "while_loop: the structures of the carry and what body_fun returns differ",
    ),
    "a while that changes shape": (
        lambda: am.while_loop(lambda c: c.sum() < 1, lambda c: c[None], am.ones(1)), ShapeError,
        r"while_loop: carry goes in as float32\[1\] and comes out as float32\[1, 1\]",
    ),
    "a condition that is no bool": (
        lambda: am.while_loop(lambda c: c, lambda c: c + 1, 0), DTypeError,
        r"while_loop: cond_fun returned int64\[\]; need a bool",
    ),
    "a condition that is no scalar": (
        lambda: am.while_loop(lambda c: c < 1, lambda c: c + 1, am.zeros(2)), ShapeError,
        r"while_loop: cond_fun returned bool\[2\]; need a scalar",
    ),
    "a condition that is text": (
        lambda: am.while_loop(lambda c: "yes", lambda c: c + 1, 0), ArgumentTypeError,
        "cond_fun returned a str",
    ),
    "a condition that stays": (
        lambda: am.while_loop(lambda c: True, lambda c: c + 1, 0), ArgumentError, "returned True",
    ),
    "a bound": (
        lambda: am.fori_loop(0, am.tensor(2.0), lambda i, x: x, 0), DTypeError,
        r"fori_loop: upper is float32\[\]; need an integer",
    ),
    "bounds": (
        lambda: am.fori_loop(am.tensor([0, 1]), 3, lambda i, x: x, 0), ShapeError, "need a scalar",
    ),
    "no function": (lambda: am.scan(3, 0, X), ArgumentTypeError, "scan: f is a int; need a func"),
    "the gradient of a while": (
        lambda: am.grad(lambda x: am.while_loop(lambda c: c < 9, lambda c: c * x, x))(2.0),
        GradientError, "while_loop: no gradient .* am.scan, or am.fori_loop",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_misuse_is_answered_and_leaves_nothing_behind(what: str) -> None:
    call, error, message = WRONG[what]
    am.manual_seed(3)
    before = am.random.default_generator.get_state()
    with pytest.raises(error, match=message) as caught:
        call()
    assert "test_loops.py" in str(caught.value)
    assert am.random.default_generator.get_state() == before
    assert am.scan(lambda s, x: (s + x, s), 0.0, am.tensor([1.0, 2.0]))[0].item() == 3


def test_a_refused_loop_gives_back_the_keys_that_it_took() -> None:
    am.manual_seed(5)
    with pytest.raises(ShapeError):
        am.scan(lambda s, x: (am.rand(3), None), am.zeros(2), X)
    one = am.rand(2)
    am.manual_seed(5)
    assert am.array_equal(one, am.rand(2))


def test_what_is_kept_or_changed_inside_is_refused() -> None:
    kept, count = [], am.zeros(2)

    def keeps(s: am.Tensor, x: am.Tensor) -> tuple[am.Tensor, None]:
        kept.append(s * 2)
        return s + x, None

    with pytest.raises(TracingError, match="scan: the function keeps a tensor"):
        am.scan(keeps, am.zeros(2), X)
    kept.clear()

    def changes(s: am.Tensor, x: am.Tensor) -> tuple[am.Tensor, None]:
        count.add_(x)
        return s, None

    with pytest.raises(TracingError, match="scan: the function changes a tensor from outside"):
        am.scan(changes, am.zeros(2), X)
    assert count.tolist() == [0, 0]
