"""What a recording takes from outside and what it leaves there: each as the function would."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import IndexingError, TracingError
from ambos.runtime.memory import statistics

from .recordings import count_of, twice

# --- values from outside --------------------------------------------------------------------------


def test_detached_parameters_are_read_at_every_call() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        w = am.tensor([1.0, 2.0], requires_grad=True)
        fns = [wrapper(f) for f in (
            lambda x: x * w.detach(), lambda x: x * w.data, lambda x: x * am.tensor(w),
            lambda x: x * w.detach().requires_grad_(), lambda x: x * w.clone().detach_(),
        )]  # fmt: skip
        rows = []
        for value in ([1.0, 2.0], [0.0, 3.0], [5.0, 6.0]):
            w.data = am.tensor(value)
            rows.append([fn(am.ones(2)).tolist() for fn in fns])
        return rows

    assert twice(play)[1][0] == [0.0, 3.0]


def test_detached_arguments_are_those_of_the_call() -> None:
    g = am.jit(lambda x: x.detach() * 2)
    for value in ([1.0, 2.0], [5.0, 6.0]):
        assert g(am.tensor(value, requires_grad=True)).tolist() == [2 * v for v in value]


def test_values_put_in_place_are_read_at_every_call() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        w, source = am.ones(2, requires_grad=True), am.tensor([3.0, 4.0])

        @wrapper
        def step() -> None:
            with am.no_grad():
                w.copy_(source)

        rows = []
        for value in (3.0, 5.0, 7.0):
            source.data = am.tensor([value, 1.0])
            step()
            rows.append(w.tolist())
        return rows

    twice(play)


def test_a_tensor_that_the_function_replaces_is_an_error() -> None:
    class Holder:
        def __init__(self) -> None:
            self.state = am.tensor([1.0])

    holder = Holder()

    @am.jit
    def step(x: am.Tensor) -> am.Tensor:
        value, holder.state = holder.state, am.tensor([2.0])
        return x * value

    with pytest.raises(TracingError, match="no tensor holds any more"):
        step(am.ones(1))


def test_constants_made_inside_stay() -> None:
    f = am.jit(lambda x: x * am.tensor([1.0, 2.0]) + [3.0, 4.0])
    for _ in range(2):
        assert f(am.ones(2)).tolist() == [4.0, 6.0]


def test_what_was_before_is_returned_and_recorded_once() -> None:
    state = am.ones(2)

    @am.jit
    def step() -> am.Tensor:
        old = state.detach()
        state.add_(1)
        return old

    assert [step().tolist() for _ in range(4)] == [[n, n] for n in (1.0, 2.0, 3.0, 4.0)]
    assert count_of(step) == 1


def test_a_result_changed_in_place_is_no_state() -> None:
    @am.jit
    def f(x: am.Tensor) -> am.Tensor:
        y = x * 2
        y.add_(1)
        return y

    first = f(am.ones(2))
    assert f(am.zeros(2)).tolist() == [1, 1]
    assert first.tolist() == [3, 3]
    (recordings,) = f._recordings.values()
    assert recordings[0].rebound == []


def test_an_equal_expression_outside_is_another() -> None:
    w = am.tensor([1.0, 2.0], requires_grad=True)
    y = w * 2
    assert y.tolist() == [2, 4]
    inside, outside = am.jit(lambda x: w * 2 + x), am.jit(lambda x: y * x)
    for value in ([1.0, 2.0], [5.0, 6.0]):
        if value != w.tolist():
            w.data = am.tensor(value)
        assert inside(am.tensor([0.0, 0.0])).tolist() == [2 * v for v in value]
        assert outside(am.tensor([1.0, 1.0])).tolist() == [2, 4]


# --- tensors that are one and the same ------------------------------------------------------------


def test_an_argument_may_be_a_tensor_from_outside() -> None:
    for order in ("wz", "zw", "wzzw", "zzww"):
        w, zero = am.ones(2), am.zeros(2)
        f = am.jit(lambda x, w=w: x + w)
        for name in order:
            assert f(w if name == "w" else zero).tolist() == ([2, 2] if name == "w" else [1, 1])


def test_an_argument_may_be_what_is_overwritten() -> None:
    numbers = np.arange(200_000, dtype=np.float32)
    v = am.tensor(numbers)

    @am.jit
    def g(x: am.Tensor) -> None:
        v.add_(x.flip(0))

    g(am.zeros(200_000))
    g(v)
    np.testing.assert_array_equal(v.numpy(), numbers + numbers[::-1])


def test_arguments_that_others_hold_are_recorded_once() -> None:
    runs, shelf = [], SimpleNamespace(tensors=[am.tensor([float(n)]) for n in range(6)])

    @am.jit
    def f(x: am.Tensor) -> am.Tensor:
        runs.append(1)
        return x * 2

    assert [f(x).item() for x in shelf.tensors] == [0, 2, 4, 6, 8, 10]
    assert len(runs) == 1
    runs.clear()
    for n in range(4):  # held by variables only
        x = am.tensor([n, n])
        assert f(x).tolist() == [2 * n, 2 * n]
    assert len(runs) == 1


def test_parameters_may_be_arguments_and_known_to_an_optimizer_too() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        weights = [nn.Parameter(am.tensor([1.0, 2.0])) for _ in range(2)]
        rates = {weights[0]: 0.5, weights[1]: 0.25}
        optimizer = am.optim.SGD([weights[0]], lr=0.5)

        @wrapper
        def by_optimizer(weights: list[nn.Parameter]) -> None:
            (weights[0] ** 2).sum().backward()
            optimizer.step()

        @wrapper
        def by_identity(weight: nn.Parameter) -> am.Tensor:
            return weight.detach() * rates.get(weight, 100.0)

        @wrapper
        def by_place(weight: nn.Parameter) -> am.Tensor:
            return weights[1].detach() + weight.detach() * 10

        def returned(weight: nn.Parameter) -> am.Tensor:
            return weights[1]

        by_optimizer(weights)
        found = [weights[0].tolist()]
        for weight in (*weights, nn.Parameter(am.ones(2)), *weights):
            found += [by_identity(weight).tolist(), by_place(weight).tolist()]
            found += [wrapper(returned)(weight).tolist()]
        return found

    twice(play)


def test_an_argument_that_is_kept_is_refused() -> None:
    made: list[am.optim.SGD] = []

    @am.jit
    def step(weight: am.Tensor) -> None:
        if not made:
            made.append(am.optim.SGD([weight], lr=0.5))
        (weight**2).sum().backward()
        made[0].step()

    weight = am.tensor([2.0], requires_grad=True)
    with pytest.raises(TracingError, match="keeps an argument otherwise than by returning it"):
        step(weight)
    assert (weight.item(), weight.grad) == (2, None)
    (weight * 3).sum().backward()
    made[:] = [am.optim.SGD([weight], lr=0.5)]
    step(weight)  # 2 - 0.5 * (3 + 4), with the gradient that was there
    assert weight.item() == -1.5


def test_a_method_may_get_a_tensor_of_its_object() -> None:
    class Sum:
        def __init__(self) -> None:
            self.total = am.tensor([1.0])

        @am.jit
        def plus(self, x: am.Tensor) -> am.Tensor:
            return x + self.total

    one = Sum()
    assert [one.plus(x).item() for x in (one.total, am.tensor([5.0]), one.total)] == [2, 6, 2]


# --- indices, memory, threads ---------------------------------------------------------------------


def test_indices_from_outside_are_checked_at_every_call() -> None:
    table, index = am.arange(4).float(), am.tensor([0, 1])
    f = am.jit(lambda x: am.take(table, index, 0) * x)
    f(am.tensor([1.0, 1.0]))
    f(am.tensor([1.0, 1.0]))
    index.data = am.tensor([0, 99])
    with pytest.raises(IndexingError):
        f(am.tensor([1.0, 1.0]))


def test_half_a_renewal_is_none() -> None:
    """One tensor is renewed, another cannot be: the recording is still right when that is back."""
    a, b = am.tensor([1.0, 1.0]), am.tensor([1.0, 1.0])
    before = b.detach()
    f = am.jit(lambda x: x * a + b)
    one, wide = am.tensor([1.0, 1.0]), am.ones(3, 2)
    assert f(one).tolist() == [2, 2]
    a.data, b.data = am.tensor([5.0, 5.0]), wide
    assert f(one).shape == (3, 2)
    b.data = before
    assert f(one).tolist() == [6, 6]


OFFSET = """
import ambos as am
big = am.ones((8 << 20) + 64)
am.evaluate(big)
p = big[1:]
am.evaluate(p)
del big
step = am.jit(lambda: p.mul_(0.5) and None)
"""


def test_memory_that_begins_within_a_line_is_not_streamed_to() -> None:
    """Stores past the caches need whole lines: else this dies with a signal."""
    code = OFFSET.replace("p.mul_(0.5) and None", "(p.mul_(0.5), None)[1]")
    code += "step(); step()\nassert p[0].item() == 0.25\n"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=120)
    assert done.returncode == 0


def test_other_threads_may_make_tensors_meanwhile() -> None:
    inside, go = threading.Event(), threading.Event()
    w = am.ones(3)
    kept = []

    def other() -> None:
        inside.wait(10)
        kept.append(am.ones(2) * am.tensor([1.0, 2.0]) + 1)  # pending, and no stray
        kept.append((w + 1).exp())
        assert len(kept[1].tolist()) == 3
        am.tensor([1.0]).exp().item()
        go.set()

    thread = threading.Thread(target=other)
    thread.start()

    @am.jit
    def f(x: am.Tensor) -> am.Tensor:
        y = (x + w) * 3
        inside.set()
        go.wait(10)
        return y.exp() * w + (w + 1).exp() * 0

    results = [f(am.zeros(3)) for _ in range(2)]
    thread.join()
    np.testing.assert_allclose(results[1].numpy(), np.exp(3) * np.ones(3), rtol=1e-6)
    w.data = am.zeros(3)
    assert f(am.zeros(3)).tolist() == [0, 0, 0]
    assert count_of(f) == 1
    assert kept[0].tolist() == [2, 3]


def test_loading_weights_while_another_thread_serves() -> None:
    """What a call reads stays alive until it is done."""
    net = nn.Linear(64, 256)
    states = [{k: am.full(v.shape, float(n)) for k, v in net.state_dict().items()} for n in (1, 2)]
    net.load_state_dict(states[0])
    infer, x = am.jit(net), am.ones(512, 64)
    infer(x)
    stop = threading.Event()

    def load() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            net.load_state_dict({k: v + 0 for k, v in states[n % 2].items()})

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for _ in range(50):
            found = set(np.unique(infer(x).numpy()).tolist())
            assert found <= {65.0, 66.0, 129.0, 130.0}  # weight and bias may be of either state
    finally:
        stop.set()
        thread.join()


def test_a_dropped_gradient_is_freed() -> None:
    w = am.ones(100_000, requires_grad=True)

    @am.jit
    def add(x: am.Tensor) -> None:
        (w * x).sum().backward()

    for _ in range(2):
        add(am.tensor([2.0]))
    w.grad = None
    for _ in range(2):
        add(am.tensor([2.0]))
    before = statistics.live_bytes
    w.grad = None
    assert statistics.live_bytes <= before - 400_000


def test_moments_of_a_second_model_are_not_taken_for_zeros() -> None:
    """Its step is known: nothing settles the layouts of its moments before they are written in
    place, and the next program wants them in another."""
    rng = np.random.default_rng(0)
    filters = rng.standard_normal((16, 8, 3, 3)).astype("float32")
    x = am.tensor(rng.standard_normal((2, 8, 9, 9)).astype("float32"))

    def train(jit: bool, whole: bool = True) -> list[np.ndarray]:
        w = am.tensor(filters.copy(), requires_grad=True)
        optimizer = am.optim.Adam([w], lr=0.1)

        def decay() -> None:
            optimizer.zero_grad()
            w.square().sum().backward()
            optimizer.step()

        def fit() -> None:
            optimizer.zero_grad()
            am.nn.functional.conv2d(x, w, padding=1).tanh().sum().backward()
            optimizer.step()

        first, second = (am.jit(decay), am.jit(fit)) if jit else (decay, fit)
        for _ in range(3):
            first()
        if whole:
            second()
        return [optimizer.state[w]["exp_avg"].numpy(), w.numpy()]

    train(jit=True, whole=False)
    for ours, plain in zip(train(jit=True), train(jit=False), strict=True):
        assert ours.tobytes() == plain.tobytes()
