"""Parameters at rest: a jitted call asks nothing of them, and misses nothing that is done to them.

The oracle is the same play without jit.
"""

from __future__ import annotations

import copy
import gc
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.core.errors import GradientError, IndexingError
from ambos.graph.node import Node
from ambos.runtime.memory import Storage, statistics
from ambos.tensor import recording
from ambos.tensor.resting import _runs, attention, peek
from tests.tensor.recordings import count_of, twice

X = am.tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))
HALVES = np.full((2, 3), 0.5, np.float32)


class Play:
    """A small training, with all that may be done to it between two steps. `held`: what was taken
    from it, and what that showed when it was taken."""

    def __init__(self, jit: Callable[..., Any]) -> None:
        am.manual_seed(3)
        self.jit = jit
        self.net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.25))
        self.optimizer = optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
        self.weight, self.bias = self.net[0].weight, self.net[0].bias
        self.held: list[tuple[Any, Any]] = []
        self.losses: list[float] = []
        self.saved = copy.deepcopy(self.net.state_dict())
        self.first = self.optimizer.state_dict()
        self.step = jit(self._step)
        self.other = jit(self._other)
        self.backward = jit(lambda x: (self.net[0](x) ** 2).sum().backward())

    def _step(self, x: am.Tensor) -> am.Tensor:
        loss = (self.net(x) ** 2).mean() + self.weight.abs().sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def _other(self) -> None:
        with am.no_grad():
            self.weight.mul_(0.75)
            self.bias.add_(0.125)

    def train(self, times: int = 1) -> None:
        self.losses += [self.step(X).item() for _ in range(times)]

    def hold(self, taken: Any) -> None:
        self.held.append((taken, np.array(taken)))

    def lend(self) -> None:
        given = {"0.weight": am.ones(2, 3), "0.bias": am.zeros(2)}
        self.hold(am.functional_call(self.net, given, X))

    def speed_up(self) -> None:
        """The optimizer's tensors are others."""
        velocity = self.optimizer.state[self.bias]["momentum_buffer"]
        velocity.data = velocity.detach() * 2

    def tie(self) -> None:
        """Bias and shift hold one value: neither may be written over while the other shows it."""
        self.bias.data = self.net[1].bias.data

    def shown(self) -> Any:
        state = {name: value.tolist() for name, value in self.net.state_dict().items()}
        taken = [(np.array(now).tolist(), then.tolist()) for now, then in self.held]
        return self.losses, state, taken, [p.grad is None for p in [self.weight, X]]


ACTS: dict[str, Callable[[Play], Any]] = {
    "train": lambda p: p.train(),
    "rebind": lambda p: setattr(p.weight, "data", am.tensor(HALVES)),
    "fill": lambda p: am.no_grad()(lambda: p.weight.copy_(am.tensor(HALVES)))(),
    "scale": lambda p: am.no_grad()(lambda: p.bias.mul_(0.5))(),
    "element": lambda p: am.no_grad()(lambda: p.weight.__setitem__((0, 0), 2.0))(),
    "hold numpy": lambda p: p.hold(np.asarray(p.weight.detach())),
    "hold detached": lambda p: p.hold(p.weight.detach()),
    "hold pending": lambda p: p.hold(p.weight.detach() * 2),
    "hold moment": lambda p: p.hold(p.net[1].running_mean.detach()),
    "hold velocities": lambda p: [p.hold(s["momentum_buffer"].detach())
                                  for s in p.optimizer.state.values()],
    "print": lambda p: repr(p.weight),
    "state_dict": lambda p: [p.hold(value) for value in p.net.state_dict().values()],
    "load": lambda p: p.net.load_state_dict(p.saved),
    "load optimizer": lambda p: p.optimizer.load_state_dict(p.first),
    "rate": lambda p: setattr(p.optimizer, "lr", 0.05),
    "group rate": lambda p: p.optimizer.param_groups[0].update(lr=0.2),
    "setting": lambda p: p.optimizer.param_groups[0].update(momentum=0.5),
    "kind": lambda p: p.optimizer.param_groups[0].update(nesterov=True),
    "speed up": Play.speed_up,
    "tie": Play.tie,
    "gradient": lambda p: setattr(p.weight, "grad", am.ones(2, 3)),
    "other step": lambda p: p.other(),
    "backward": lambda p: (p.net.zero_grad(), p.backward(X)),
    "lend": Play.lend,
    "freeze": lambda p: p.bias.requires_grad_(False),
    "thaw": lambda p: p.bias.requires_grad_(True),
    "eval": lambda p: p.net.eval(),
    "seed": lambda p: am.manual_seed(5),
    "deep copy": lambda p: p.hold(copy.deepcopy(p.weight).detach()),
}  # fmt: skip


def played(acts: Sequence[str]) -> None:
    def play(jit: Callable[..., Any]) -> Any:
        training = Play(jit)
        training.train(4)
        for act in acts:
            ACTS[act](training)
            training.train(3)
        return training.shown()

    twice(play)


@pytest.mark.parametrize("act", [*ACTS][1:])
def test_what_is_done_between_two_steps_is_seen_by_the_next(act: str) -> None:
    played([act])


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([*ACTS]), min_size=2, max_size=5))
def test_any_acts_one_after_another(acts: list[str]) -> None:
    played(acts)


def test_the_unchanged_call_asks_no_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Play(am.jit)
    training.train(4)
    parameters = [*training.net.parameters(), training.net[1].running_var]
    assert all(isinstance(parameter._kept, Node) for parameter in parameters)
    addresses = [peek(parameter).value.address for parameter in parameters]
    asked: list[Any] = []
    monkeypatch.setattr(recording, "peek", lambda handle: asked.append(handle) or peek(handle))
    version = attention.version
    training.train(5)
    assert not asked
    assert attention.version is version
    assert [peek(parameter).value.address for parameter in parameters] == addresses
    repr(training.weight)
    assert attention.version is not version
    training.train()
    assert training.weight in asked
    asked.clear()
    training.train()
    assert not asked


def test_two_functions_share_what_is_at_rest() -> None:
    """Neither wakes what the other has put to rest, and both write in place."""
    training = Play(am.jit)
    for _ in range(3):
        training.train()
        training.other()
    version, address = attention.version, peek(training.weight).value.address
    for _ in range(3):
        training.train()
        training.other()
    assert attention.version is version
    assert peek(training.weight).value.address == address


def test_a_total_beside_the_step_disturbs_nothing() -> None:
    """Tensors that no recording depends on may change as they like."""
    training, total = Play(am.jit), am.zeros(())
    training.train(3)
    version = attention.version
    for _ in range(3):
        total += training.step(X)
        total.grad = None
    assert attention.version is version
    assert total.item() > 0


def test_what_is_only_read_is_seen_when_it_changes() -> None:
    weight, scale = am.tensor([1.0, 2.0]), am.tensor(2.0)
    serve = am.jit(lambda x: (x * weight * scale).sum())
    x = am.tensor([1.0, 1.0])
    assert [serve(x).item() for _ in range(4)] == [6.0] * 4
    changes: list[tuple[Callable[[], Any], float]] = [
        (lambda: setattr(scale, "data", am.tensor(3.0)), 9.0),
        (lambda: weight.add_(1.0), 15.0),
        (lambda: weight.__setitem__(0, 0.0), 9.0),
        (lambda: am.jit(lambda: scale.mul_(2))(), 18.0),
        (lambda: x.add_(1), 36.0),
        (lambda: setattr(weight, "data", am.tensor([1.0])), 24.0),
        (lambda: setattr(weight, "data", am.tensor([1], dtype="int64")), 24.0),
    ]
    for change, wanted in changes:
        change()
        assert [serve(x).item() for _ in range(3)] == [wanted] * 3


def test_a_gradient_that_is_set_or_dropped_is_seen() -> None:
    weight = am.tensor([1.0, 2.0], requires_grad=True)
    run = am.jit(lambda x: x * (2 if weight.grad is None else weight.grad.sum()))
    x = am.tensor(1.0)
    for grad, wanted in ((None, 2.0), (am.ones(2), 2.0), (am.zeros(2), 0.0), (None, 2.0)):
        weight.grad = grad
        assert [run(x).item() for _ in range(4)] == [wanted] * 4
    training = Play(am.jit)
    training.train(4)
    for grad in (None, am.ones(2, 3)):
        training.weight.grad = grad
        training.train()
        with pytest.raises(GradientError, match="used the gradient up"):
            repr(training.weight.grad + 1)


def test_a_view_keeps_its_values_and_is_not_kept() -> None:
    training = Play(am.jit)
    training.train(3)
    view = np.asarray(training.weight.detach())
    seen = view.copy()
    training.train(3)
    np.testing.assert_array_equal(view, seen)
    assert not np.array_equal(view, training.weight.detach().numpy())
    del view
    training.train(2)
    address = peek(training.weight).value.address
    training.train(2)
    assert peek(training.weight).value.address == address


def test_memory_of_what_was_replaced_is_given_back() -> None:
    """A recording that is not called any more keeps no old values."""
    big = am.zeros(1 << 18)
    step = am.jit(lambda x: big.add_(x))
    for _ in range(4):
        step(am.tensor(1.0))
    gc.collect()
    live = statistics.live_bytes
    big.data = am.tensor([1.0])
    gc.collect()
    assert statistics.live_bytes < live - (1 << 19)


def test_a_call_that_fails_leaves_everything_in_order() -> None:
    table = am.ones(3, 2, requires_grad=True)
    optimizer = optim.SGD([table], lr=0.5)

    @am.jit
    def step(index: am.Tensor) -> am.Tensor:
        loss = F.embedding(index, table).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    good, bad = am.tensor([0, 1]), am.tensor([0, 9])
    for number in range(1, 4):
        for _ in range(2):
            with pytest.raises(IndexingError):
                step(bad)
        step(good)
        if number == 2:  # looked at between a failure and a call, too
            assert table.tolist() == [[0, 0], [0, 0], [1, 1]]
    with pytest.raises(IndexingError):
        step(bad)
    assert table.tolist() == [[-0.5, -0.5], [-0.5, -0.5], [1, 1]]
    assert not _runs


def test_a_failure_before_the_first_write_in_place() -> None:
    """What the failed call has looked at counts for nothing: the parameter was not yet at rest."""
    weight = am.ones(2, 3, requires_grad=True)
    optimizer = optim.SGD([weight], lr=1.0)

    @am.jit
    def step(labels: am.Tensor) -> am.Tensor:
        loss = F.cross_entropy(weight, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    good, bad = am.tensor([0, 1]), am.tensor([0, 3])
    for _ in range(3):
        step(good)
        view = np.asarray(weight.detach())
        seen = view.copy()
        for _ in range(2):
            with pytest.raises(IndexingError):
                step(bad)
        for _ in range(3):
            step(good)
        np.testing.assert_array_equal(view, seen)


def test_an_exponential_average_beside_its_source() -> None:
    """One handle takes the value of another inside: both are never written over together."""

    def play(jit: Callable[..., Any]) -> Any:
        fast, slow = am.tensor([1.0, 2.0]), am.tensor([0.0, 0.0])

        def step() -> am.Tensor:
            fast.mul_(0.5)
            slow.data = fast.data
            return fast + slow

        run = jit(step)
        shown = []
        for number in range(6):
            shown.append(run().tolist())
            if number % 2:
                slow.add_(1)
            shown.append((fast.tolist(), slow.tolist()))
        return shown

    twice(play)


def test_threads_that_call_and_look() -> None:
    """Calls take turns; what one thread has taken shows what it was, while others train."""
    weight = am.zeros(64, requires_grad=True)
    optimizer = optim.SGD([weight], lr=1.0)
    turn, wrong = threading.Lock(), []

    @am.jit
    def step() -> am.Tensor:
        loss = -weight.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def train() -> None:
        for _ in range(150):
            step()

    def look() -> None:
        taken = []
        for _ in range(60):
            with turn:
                view = np.asarray(weight.detach())
                taken.append((view, view.copy()))
        wrong.extend(1 for view, then in taken if not np.array_equal(view, then))

    def train_in_turn() -> None:
        for _ in range(60):
            with turn:
                step()

    step()
    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert weight.tolist() == [301.0] * 64
    threads = [threading.Thread(target=target) for target in (train_in_turn, look, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert weight.tolist() == [361.0] * 64


@pytest.mark.parametrize("is_settled", [False, True])
@pytest.mark.parametrize("act", ["rebind", "hold detached", "other scale", "gradient"])
def test_what_another_thread_does_during_a_call_is_seen_by_the_next(
    act: str, is_settled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight, scale = am.tensor([1.0, 2.0], requires_grad=True), am.tensor(2.0)
    optimizer = optim.SGD([weight], lr=0.5)
    held: list[Any] = []
    acts: dict[str, Callable[[], Any]] = {
        "rebind": lambda: setattr(weight, "data", am.tensor([8.0, 8.0])),
        "hold detached": lambda: held.append(weight.detach()),
        "other scale": lambda: setattr(scale, "data", am.tensor(4.0)),
        "gradient": lambda: setattr(weight, "grad", am.ones(2)),
    }

    @am.jit
    def step() -> am.Tensor:
        loss = (weight * scale).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    steps = 4
    for _ in range(steps - 1):
        step()
    if not is_settled:
        weight.tolist()  # wakes it: the call looks at everything
    run = recording.Bound.run

    def disturbed(self: Any, tensors: Any) -> None:
        monkeypatch.setattr(recording.Bound, "run", run)
        run(self, tensors)
        acts[act]()

    monkeypatch.setattr(recording.Bound, "run", disturbed)
    step()
    shown = [value.tolist() for value in held]
    # Looking at the parameter would wake it; every step has taken 1 from each of its two.
    before = [8.0, 8.0] if act == "rebind" else [1.0 - steps, 2.0 - steps]
    factor = 4.0 if act == "other scale" else 2.0
    assert [step().item() for _ in range(3)] == [
        factor * (sum(before) - 2 * 0.5 * factor * n) for n in range(3)
    ]
    assert [value.tolist() for value in held] == shown
    with pytest.raises(GradientError):
        repr(weight.grad + 1)


def test_what_a_call_reads_stays_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = am.zeros(1000)
    serve = am.jit(lambda: weight + 1)
    for _ in range(3):
        serve()
    run, others = recording.Bound.run, []

    def disturbed(self: Any, tensors: Any) -> None:
        weight.data = am.tensor([5.0])  # what was there might be given away now
        for _ in range(8):
            storage = Storage(4000)
            storage.numpy("float32", (1000,))[:] = 7
            others.append(storage)
        run(self, tensors)

    with monkeypatch.context() as patched:
        patched.setattr(recording.Bound, "run", disturbed)
        assert set(serve().tolist()) == {1.0}
    assert serve().tolist() == [6.0]
    assert not _runs


def test_weights_loaded_while_another_thread_serves() -> None:
    """Each call sees each tensor as it was before or after, and reads no memory given back."""
    size = 1 << 16
    weight = am.zeros(size)
    serve = am.jit(lambda: weight + 0)
    serve()
    stop, wrong = threading.Event(), []

    def load() -> None:
        for number in range(80):
            weight.data = am.full((size,), float(number))
        stop.set()

    thread = threading.Thread(target=load)
    thread.start()
    while not stop.is_set():
        found = serve().numpy()
        if found.min() != found.max():
            wrong.append(found)
    thread.join()
    assert not wrong
    assert serve()[0].item() == 79.0


def test_results_are_tensors_like_any_other() -> None:
    """They have no node until somebody asks for one; whatever may be asked first."""
    run = am.jit(lambda x: (x * 2, x.sum()))
    x = am.tensor([1.0, 2.0])
    asks: list[tuple[Callable[[Any], Any], Any]] = [
        (lambda r: r[1].item(), 6.0 / 2),
        (lambda r: float(r[1]), 3.0),
        (lambda r: r[0].shape, (2,)),
        (lambda r: r[0].tolist(), [2.0, 4.0]),
        (lambda r: (r[0] + 1).tolist(), [3.0, 5.0]),
        (lambda r: run(r[0])[0].tolist(), [4.0, 8.0]),
        (lambda r: r[0].numel(), 2),
        (lambda r: r[0].requires_grad_().is_leaf, True),
        (lambda r: copy.deepcopy(r[0]).tolist(), [2.0, 4.0]),
        (lambda r: r[0].mul_(2).tolist(), [4.0, 8.0]),
        (lambda r: np.asarray(r[0]).tolist(), [2.0, 4.0]),
        (lambda r: repr(r[1]), "tensor(3.)"),
        (lambda r: am.jit(lambda: r[0] + r[1])().tolist(), [5.0, 7.0]),
        (lambda r: am.grad(lambda y: (y * y).sum())(r[0]).tolist(), [4.0, 8.0]),
    ]
    for ask, wanted in asks:
        assert ask(run(x)) == wanted
    assert count_of(run) <= 2
