"""What a recording takes from outside and what it leaves there: each as the function would."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ambos as am
from ambos import nn, optim
from ambos.core.errors import IndexingError, TracingError
from ambos.runtime.memory import statistics


def plain(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn


def twice(play: Callable[[Callable[..., Any]], Any]) -> Any:
    """What `play` gives without jit and with it, which has to be the same."""
    expected = play(plain)
    assert play(am.jit) == expected
    return expected


def listed(tensor: am.Tensor | None) -> Any:
    return None if tensor is None else tensor.tolist()


def count_of(jitted: Any) -> int:
    return sum(len(found) for found in jitted._recordings.values())


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


HELD = [am.tensor([float(n)]) for n in range(6)]


def test_arguments_that_others_hold_are_recorded_twice_at_most() -> None:
    runs = []

    @am.jit
    def f(x: am.Tensor) -> am.Tensor:
        runs.append(1)
        return x * 2

    assert [f(x).item() for x in HELD] == [0, 2, 4, 6, 8, 10]
    assert len(runs) == 2
    runs.clear()
    for n in range(4):  # held by variables only
        x = am.tensor([n, n])
        assert f(x).tolist() == [2 * n, 2 * n]
    assert len(runs) == 1


def test_a_method_may_get_a_tensor_of_its_object() -> None:
    class Sum:
        def __init__(self) -> None:
            self.total = am.tensor([1.0])

        @am.jit
        def plus(self, x: am.Tensor) -> am.Tensor:
            return x + self.total

    one = Sum()
    assert [one.plus(x).item() for x in (one.total, am.tensor([5.0]), one.total)] == [2, 6, 2]


# --- gradients ------------------------------------------------------------------------------------


def test_a_cleared_gradient_is_not_added_to() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        w = am.ones(1, requires_grad=True)
        (w * 2).sum().backward()

        @wrapper
        def step(x: am.Tensor) -> None:
            w.grad = None
            (w * x).sum().backward()

        rows = []
        for value, clear in ((3.0, False), (4.0, True), (5.0, False)):
            if clear:
                w.grad = None
            step(am.tensor([value]))
            rows.append(listed(w.grad))
        return rows

    assert twice(play) == [[3.0], [4.0], [5.0]]


def test_clearing_alone_is_recorded() -> None:
    u = am.ones(1, requires_grad=True)

    @am.jit
    def clear() -> None:
        u.grad = None

    for _ in range(3):
        clear()
        assert u.grad is None
        u.grad = am.ones(1)


def test_gradients_of_arguments_go_to_the_arguments() -> None:
    p, q = am.ones(1, requires_grad=True), am.tensor([2.0], requires_grad=True)

    @am.jit
    def step(x: am.Tensor) -> None:
        x.grad = None
        (x * x).sum().backward()

    for _ in range(2):
        for x, expected in ((p, [2.0]), (q, [4.0])):
            step(x)
            assert listed(x.grad) == expected


@pytest.mark.parametrize("size", [2, 100_000])
def test_a_gradient_that_is_an_input_is_the_old_one(size: int) -> None:
    z, v = am.ones(size, requires_grad=True), am.tensor(np.full(size, 5.0, np.float32))

    @am.jit
    def step() -> None:
        z.grad = None
        (z * v).sum().backward()
        v.add_(1.0)

    for value in (5.0, 6.0, 7.0):
        step()
        assert z.grad is not None
        assert set(z.grad.tolist()) == {value}


def test_accumulation_is_recorded_once_and_in_place() -> None:
    w, runs = am.ones(1000, requires_grad=True), []

    @am.jit
    def add(x: am.Tensor) -> None:
        runs.append(1)
        (w * x).sum().backward()

    for _ in range(4):
        w.grad = None
        addresses = set()
        for number in range(4):
            add(am.tensor([2.0]))
            assert w.grad is not None
            assert w.grad[7].item() == 2.0 * (number + 1)
            if number:
                addresses.add(w.grad._node.value.address)
        assert len(addresses) <= 2
    assert len(runs) <= 4  # without a gradient and with one; a second time where others hold x


def test_a_gradient_that_somebody_holds_keeps_its_values() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        w = am.ones(2, requires_grad=True)

        @wrapper
        def add(x: am.Tensor) -> None:
            (w * x).sum().backward()

        held = []
        for _ in range(4):
            add(am.tensor([1.0, 2.0]))
            held.append(w.grad)
        return [listed(grad) for grad in held]

    assert twice(play)[0] == [1.0, 2.0]


def test_a_gradient_from_outside_changed_in_place() -> None:
    def play(wrapper: Callable[..., Any], hold: bool) -> Any:
        w, kept = am.ones(2, requires_grad=True), []

        @wrapper
        def halve() -> None:
            with am.no_grad():
                assert w.grad is not None
                w.grad.mul_(0.5)

        rows = []
        for value in (1.0, 2.0, 3.0):
            w.grad = am.tensor([value, 8.0])
            if hold:
                kept.append(w.grad)
            halve()
            halve()
            rows.append([listed(w.grad), *map(listed, kept)])
        return rows

    for hold in (False, True):
        assert play(am.jit, hold) == play(plain, hold)


def test_a_gradient_that_shares_its_values_with_a_tensor() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        w, v = am.ones(2, requires_grad=True), am.tensor([1.0, 2.0])
        w.grad = v.detach()

        @wrapper
        def step(x: am.Tensor) -> am.Tensor:
            w.grad = None
            return x * v

        @wrapper
        def both(x: am.Tensor) -> am.Tensor:
            assert w.grad is not None
            return x * v + w.grad

        rows = [both(am.ones(2)).tolist(), step(am.ones(2)).tolist()]
        w.grad = am.tensor([7.0, 8.0])
        rows += [both(am.ones(2)).tolist(), step(am.ones(2)).tolist()]
        return rows

    twice(play)


def test_looking_whether_there_is_a_gradient() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        w = am.ones(1, requires_grad=True)
        other = am.ones(1, requires_grad=True)

        @wrapper
        def f(x: am.Tensor) -> Any:
            return (x if w.grad is None else x * 2), w.grad

        rows = []
        for grad in (None, am.tensor([3.0]), None, am.tensor([4.0])):
            w.grad, other.grad = grad, am.ones(1)
            x, found = f(am.ones(1))
            rows.append((listed(x), listed(found)))
        return rows

    assert twice(play)[0] == ([1.0], None)


def test_gradients_of_others_do_not_matter() -> None:
    w, other, runs = am.ones(1, requires_grad=True), am.ones(1, requires_grad=True), []

    @am.jit
    def add(x: am.Tensor) -> None:
        runs.append(1)
        (w * x).sum().backward()

    add(am.ones(1))
    w.grad, other.grad = None, am.ones(1)
    add(am.ones(1))
    assert len(runs) == 1


def test_an_optimizer_alone_uses_the_gradients_that_are_there() -> None:
    def play(wrapper: Callable[..., Any]) -> Any:
        w = am.tensor([1.0, 2.0], requires_grad=True)
        optimizer = optim.SGD([w], lr=0.5)
        update = wrapper(lambda: optimizer.step())
        rows = []
        for value in (1.0, 2.0, 3.0):
            optimizer.zero_grad()
            (w * value).sum().backward()
            update()
            rows.append((w.tolist(), listed(w.grad)))
        return rows

    twice(play)


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
