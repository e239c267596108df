"""`jit`: the same numbers as without it, in place, for every handle that is rebound."""

from __future__ import annotations

import ctypes
import gc
import weakref
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.core.config import config
from ambos.core.errors import GradientError
from ambos.runtime import loader
from ambos.runtime.memory import statistics
from ambos.tensor.realize import planning

Step = Callable[..., Any]


@pytest.fixture(autouse=True)
def _restore_config() -> Iterator[None]:
    fuse, threads = config.fuse, config.threads
    yield
    config.fuse, config.threads = fuse, threads


def batches(count: int, rows: int = 16) -> list[tuple[am.Tensor, am.Tensor]]:
    state = np.random.RandomState(0)
    return [
        (am.tensor(state.randn(rows, 12).astype(np.float32)), am.tensor(state.randint(0, 10, rows)))
        for _ in range(count)
    ]


def build(name: str) -> tuple[nn.Module, optim.Optimizer, Step]:
    """A small network with dropout and batch norm, its optimizer, one training step."""
    am.manual_seed(3)
    net = nn.Sequential(
        nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 10)
    )
    optimizer = {
        "sgd": lambda p: optim.SGD(p, lr=0.1),
        "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1),
        "adam": lambda p: optim.Adam(p, lr=1e-2),
        "adamw": lambda p: optim.AdamW(p, lr=1e-2, amsgrad=True),
    }[name](net.parameters())

    def step(x: am.Tensor, y: am.Tensor) -> am.Tensor:
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return net, optimizer, step


def state_of(net: nn.Module, optimizer: optim.Optimizer) -> list[bytes]:
    values = [v.numpy().tobytes() for v in net.state_dict().values()]
    for state in optimizer.state_dict()["state"].values():
        values += [v.numpy().tobytes() if hasattr(v, "numpy") else repr(v).encode()
                   for v in state.values()]  # fmt: skip
    return values


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_a_training_step_gives_the_same_bits(name: str) -> None:
    outcomes = []
    for wrapper in (lambda f: f, am.jit):
        net, optimizer, step = build(name)
        step = wrapper(step)
        losses = []
        for number, (x, y) in enumerate(batches(6)):
            optimizer.lr = 0.1 / (number + 1)
            losses.append(step(x, y).item())
        outcomes.append((losses, state_of(net, optimizer)))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("threads", [1, 2])
def test_op_by_op_and_threads_agree_with_jit(threads: int) -> None:
    outcomes = []
    for fuse in (True, False):
        config.fuse, config.threads = fuse, threads
        net, optimizer, step = build("adam")
        jitted = am.jit(step)
        losses = [jitted(x, y).item() for x, y in batches(3)]
        outcomes.append((losses, state_of(net, optimizer)))
    assert outcomes[0] == outcomes[1]


def test_replays_plan_nothing_and_stay_in_place() -> None:
    net, _, step = build("adam")
    jitted = am.jit(step)
    (x, y), *rest = batches(5)
    jitted(x, y)
    jitted(x, y)
    addresses = [p._node.value.address for p in net.parameters()]
    before, live = planning.programs, statistics.live_bytes
    for x, y in rest:
        jitted(x, y)
    assert planning.programs == before
    assert [p._node.value.address for p in net.parameters()] == addresses
    assert statistics.live_bytes <= live


def test_several_recordings_of_the_same_parameters_stay_in_place() -> None:
    net, _, step = build("adam")
    jitted, infer = am.jit(step), am.jit(net)
    data = [*batches(1, 16), *batches(1, 24), *batches(1, 16)]
    for x, y in data:
        jitted(x, y)
        infer(x)
    addresses = [p._node.value.address for p in net.parameters()]
    for x, y in data:
        jitted(x, y)
        infer(x)
    assert [p._node.value.address for p in net.parameters()] == addresses


@pytest.mark.parametrize(
    "hold",
    [
        lambda p: p.detach(),
        lambda p: np.from_dlpack(p.detach()),
        lambda p: p._node,
        lambda p: p._node.value,
        lambda p: p._node.value.storage,
    ],
    ids=["tensor", "numpy", "node", "array", "storage"],
)
def test_one_parameter_of_many_that_is_held_elsewhere_is_not_overwritten(hold) -> None:
    params = [am.full(3, i + 1.0).requires_grad_() for i in range(4)]
    optimizer = am.optim.SGD(params, lr=0.25)

    @am.jit
    def step():
        loss = sum((p * p).sum() for p in params)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def values() -> list[float]:
        return [p[0].item() for p in params]

    addresses = lambda: [p._node.value.address for p in params]
    for _ in range(3):
        step()
    before, places = values(), addresses()
    step()
    assert addresses() == places
    halves = [value / 2 for value in before]
    assert values() == halves
    kept = hold(params[2])
    step()
    moved = [old != new for old, new in zip(places, addresses(), strict=True)]
    assert moved == [False, False, True, False]
    assert ctypes.c_float.from_address(places[2]).value == halves[2]
    assert values() == [value / 2 for value in halves]
    del kept
    step()
    places = addresses()
    step()
    assert addresses() == places
    assert values() == [value / 8 for value in halves]


def test_a_changed_module_is_recorded_again() -> None:
    net, _, _ = build("sgd")
    net.eval()
    infer, x = am.jit(net), batches(1)[0][0]
    infer(x)
    net.add_module("4", nn.Linear(24, 3))
    assert infer(x).shape == (16, 3)
    np.testing.assert_array_equal(infer(x).numpy(), net(x).numpy())


def test_a_value_that_somebody_holds_is_not_overwritten() -> None:
    net, _, step = build("sgd")
    jitted = am.jit(step)
    (x, y), *_ = batches(1)
    jitted(x, y)
    weight = next(net.parameters())
    held, view = weight.detach(), weight._node.value.numpy()
    copy, shown = held.numpy(), view.copy()
    jitted(x, y)
    assert not np.array_equal(weight.numpy(), copy)
    np.testing.assert_array_equal(held.numpy(), copy)
    np.testing.assert_array_equal(view, shown)
    old = weight.numpy()
    del held, view
    jitted(x, y)
    assert not np.array_equal(weight.numpy(), old)


def test_handles_are_read_at_every_call() -> None:
    weight = am.ones(3)
    scaled = am.jit(lambda x: x * weight)
    assert scaled(am.ones(3)).tolist() == [1, 1, 1]
    weight.copy_(am.tensor([1.0, 2.0, 3.0]))
    assert scaled(am.ones(3)).tolist() == [1, 2, 3]
    weight.data = am.zeros(3)
    assert scaled(am.ones(3)).tolist() == [0, 0, 0]


def test_a_loaded_state_is_used() -> None:
    net, _, _ = build("sgd")
    net.eval()
    infer = am.jit(net)
    x = batches(1)[0][0]
    first = infer(x).numpy()
    net.load_state_dict({k: v * 0.5 if v.dtype.is_floating else v
                         for k, v in net.state_dict().items()})  # fmt: skip
    np.testing.assert_array_equal(infer(x).numpy(), net(x).numpy())
    assert not np.array_equal(first, infer(x).numpy())


def test_train_and_eval_have_recordings_of_their_own() -> None:
    net, _, _ = build("sgd")
    jitted, x = am.jit(net), batches(1)[0][0]
    for mode in (True, False, True, False):
        net.train(mode)
        am.manual_seed(5)
        found = jitted(x).numpy()
        am.manual_seed(5)
        if not mode:
            np.testing.assert_array_equal(found, net(x).numpy())
    before = planning.programs
    net.train()
    jitted(x)
    net.eval()
    jitted(x)
    assert planning.programs == before


def test_random_streams_are_the_same() -> None:
    def noisy(x: am.Tensor) -> am.Tensor:
        return F.dropout(x, 0.5) + am.rand(8)

    jitted, results = am.jit(noisy), []
    for function in (noisy, jitted):
        am.manual_seed(11)
        results.append([function(am.ones(8)).tolist() for _ in range(4)])
    assert results[0] == results[1]
    assert len({tuple(row) for row in results[1]}) == 4


def test_gradients_accumulate() -> None:
    found = []
    for wrapper in (lambda f: f, am.jit):
        weight = am.tensor([1.0, 2.0], requires_grad=True)

        def add(x: am.Tensor, weight: Any = weight) -> None:
            (weight * x).sum().backward()

        step = wrapper(add)
        row = []
        for cycle in range(3):
            weight.grad = None
            for number in range(3):
                step(am.tensor([1.0 + number, 2.0 + cycle]))
                row.append(weight.grad.tolist())
        found.append(row)
    assert found[0] == found[1]


def test_a_used_up_gradient_says_so() -> None:
    net, _, step = build("sgd")
    am.jit(step)(*batches(1)[0])
    with pytest.raises(GradientError, match=r"used the gradient up.*return p\.grad"):
        next(net.parameters()).grad.numpy()


def test_two_handles_that_begin_as_one_value() -> None:
    weight = am.ones(2)
    average = weight.detach()

    @am.jit
    def step(x: am.Tensor) -> None:
        weight.add_(x)
        average.data = average * 0.5 + weight * 0.5

    for _ in range(3):
        step(am.ones(2))
    assert weight.tolist() == [4, 4]
    assert average.tolist() == [3.125, 3.125]


def test_swapped_and_shared_handles() -> None:
    a, b = am.zeros(2), am.ones(2)

    @am.jit
    def swap() -> None:
        old = a.detach()
        a.data = b
        b.data = old

    for _ in range(3):
        swap()
    assert (a.tolist(), b.tolist()) == ([1, 1], [0, 0])


def test_arguments_may_be_rebound_and_returned() -> None:
    @am.jit
    def bump(x: am.Tensor, factor: float) -> dict[str, Any]:
        x.mul_(factor)
        return {"x": x, "twice": [x * 2, None, 3]}

    x = am.ones(2)
    for _ in range(2):
        found = bump(x, 3.0)
    assert x.tolist() == [9, 9]
    assert found["x"].tolist() == [9, 9]
    assert found["twice"][0].tolist() == [18, 18]
    assert found["twice"][1:] == [None, 3]


def test_the_same_tensor_twice() -> None:
    jitted = am.jit(lambda a, b: a + 2 * b)
    x, y = am.ones(2), am.zeros(2)
    assert jitted(x, x).tolist() == [3, 3]
    assert jitted(x, y).tolist() == [1, 1]
    assert jitted(y, x).tolist() == [2, 2]


def test_views_arrays_numbers_and_pending_arguments() -> None:
    jitted = am.jit(lambda a, k=1: a * k)
    data = am.tensor(np.arange(12, dtype=np.float32).reshape(3, 4))
    assert jitted(data[1:, ::2]).tolist() == [[4, 6], [8, 10]]
    assert jitted(data[1], k=2).tolist() == [8, 10, 12, 14]
    assert jitted(np.ones(2, np.float32)).tolist() == [1, 1]
    assert jitted(data + 1).tolist() == (data + 1).tolist()


def test_a_new_batch_size_compiles_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_all = loader._compile_all

    def watched(kernels: Any, features: Any) -> Any:
        compiled.extend(f"{kernel.label}: {kernel.name}" for kernel in kernels)
        return compile_all(kernels, features)

    _, _, step = build("adam")
    jitted = am.jit(step)
    for rows in (40, 200):  # a packed B is a kernel more
        jitted(*batches(1, rows)[0])
    monkeypatch.setattr(loader, "_compile_all", watched)
    for rows in (6, 7, 16, 31, 128, 300):
        jitted(*batches(1, rows)[0])
    assert compiled == []


def test_methods_have_recordings_of_their_own_object() -> None:
    class Counter:
        def __init__(self, start: float) -> None:
            self.total = am.tensor([start])

        @am.jit
        def add(self, x: am.Tensor) -> am.Tensor:
            self.total.add_(x)
            return self.total * 1

    one, two = Counter(1.0), Counter(10.0)
    for _ in range(3):
        one.add(am.ones(1))
    two.add(am.ones(1))
    assert (one.total.item(), two.total.item()) == (4.0, 11.0)


def test_a_jitted_function_inside_another_and_inside_grad() -> None:
    inner = am.jit(lambda x: (x * x).sum())
    assert am.jit(lambda x: inner(x) + 1)(am.ones(2)).item() == 3
    assert am.grad(inner)(am.tensor([1.0, 2.0])).tolist() == [2, 4]


def test_a_lazy_layer_is_initialised_once() -> None:
    am.manual_seed(0)
    net = nn.Sequential(nn.LazyLinear(3))
    optimizer = optim.SGD(net.parameters(), lr=0.01)

    @am.jit
    def step(x: am.Tensor) -> am.Tensor:
        loss = net(x).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(am.ones(4, 5)).item() for _ in range(4)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]


def test_nothing_is_leaked() -> None:
    _, _, step = build("adam")
    jitted = am.jit(step)
    x, y = batches(1)[0]
    for _ in range(3):
        jitted(x, y)
    gc.collect()
    before = statistics.live_bytes
    for _ in range(20):
        jitted(x, y)
    gc.collect()
    assert statistics.live_bytes <= before


def test_the_recorded_call_writes_in_place_too() -> None:
    state = am.tensor([2.0] * 1000)

    @am.jit
    def advance() -> None:
        state.add_(1)

    address = state._node.value.address
    for total in (3, 4):
        advance()
        assert state._node.value.address == address
        assert state[0].item() == total


@pytest.mark.filterwarnings("ignore::ambos.core.errors.RecordingWarning")
def test_recordings_of_one_signature_are_bounded() -> None:
    weight = am.tensor([1.0, 2.0], requires_grad=True)

    @am.jit()
    def add(x: am.Tensor) -> None:
        (weight * x).sum().backward()

    for _ in range(20):
        weight.grad = None
        for _ in range(2):
            add(am.ones(2))
        assert weight.grad.tolist() == [2, 2]
    assert max(len(found) for found in add._recordings.values()) <= 16


def test_a_matrix_that_multiplies_single_rows_moves_once_and_serves_everyone():
    layer = am.nn.Linear(40, 24)
    x, many = am.rand(1, 40), am.rand(9, 40)
    expected, expected_many = layer(x).numpy(), layer(many).numpy()
    wide = am.jit(lambda m: m @ layer.weight.T + layer.bias)
    assert wide(many).numpy().tobytes() == expected_many.tobytes()
    single = am.jit(layer)
    with am.no_grad():
        assert single(x).numpy().tobytes() == expected.tobytes()
    assert layer.weight._node.value.strides == (1, 24)  # as a row reads it
    assert wide(many).numpy().tobytes() == expected_many.tobytes()  # recorded for the old place
    assert layer(x).numpy().tobytes() == expected.tobytes()
    layer.weight.data = am.zeros(24, 40)
    assert single(x).tolist() == [layer.bias.tolist()]


def test_memory_that_a_call_writes_is_kept(monkeypatch):
    """A key is drawn at every call, also where no number needs it."""
    recording = import_module("ambos.tensor.recording")
    cell_of, written = recording._cell, []

    def cell(array, value):
        written.append(weakref.ref(array.storage))
        return cell_of(array, value)

    monkeypatch.setattr(recording, "_cell", cell)
    function = am.jit(lambda x: (am.rand(3), x + 1)[1])
    function(am.ones(8))
    gc.collect()
    assert [storage() is not None for storage in written] == [True]


def test_a_contraction_to_a_scalar():
    a = am.arange(12.0).reshape(3, 4)
    for spec, b in (("ab,ab->", a), ("ab,ba->", a.T)):
        function = am.jit(lambda a, b, spec=spec: am.einsum(spec, a, b))
        assert function(a, b).item() == (a.numpy() ** 2).sum()


def test_what_python_gives_anew_at_every_call_stays_when_it_is_a_result():
    found = []
    for wrap in (am.jit, lambda function: function):
        generator = am.Generator().manual_seed(3)
        draw = wrap(generator.next_key)
        found.append([key.tolist() for key in [draw() for _ in range(3)]])
    assert found[0] == found[1]
    assert len({*map(tuple, found[0])}) == 3
