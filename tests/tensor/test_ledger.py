"""The ledger, causes, and strict functions."""

import dataclasses
import re
from typing import NamedTuple

import numpy as np
import pytest

import ambos as am
from ambos import nn, optim
from ambos.core.errors import ArgumentError, TracingError
from ambos.runtime.loader import statistics
from ambos.tensor import ledger as ledgers
from ambos.tensor.ledger import ledger


class Batch(NamedTuple):
    x: am.Tensor
    y: am.Tensor | None


@am.tree.register_dataclass
@dataclasses.dataclass
class State:
    weight: am.Tensor
    name: str = dataclasses.field(default="a", metadata={"static": True})


def entries(action):
    """What `action` writes down."""
    start = ledger.count
    action()
    return ledger.since(start)


def test_sizes_compile_once_and_the_ledger_says_why():
    weight, sizes = am.evaluate(am.rand(8, 3)), range(20, 70)

    @am.jit
    def step(w, x, y):
        loss = lambda w: nn.functional.cross_entropy((x @ w).relu(), y)
        return w - 0.1 * am.grad(loss)(w)

    def train(size):
        step(weight, am.zeros(size, 8), am.zeros(size, dtype="int64"))

    for size in (18, 18, 19):
        train(size)
    compiled = statistics.compiled
    found = [e for e in entries(lambda: [train(size) for size in sizes])
             if e.function.endswith("step")]  # fmt: skip
    assert statistics.compiled == compiled
    assert len(found) == 50
    assert sum(entry.compiled for entry in found) == 0
    assert found[0].cause == "argument x: shape (20, 8) was (19, 8)"
    assert found[0].line.startswith("test_ledger.py:")
    assert found[0].kernels == found[0].from_memory > 0
    assert found[0].plan in ("made", "fitted", "disk")
    assert 0 < found[0].planning < found[0].seconds
    assert entries(lambda: [train(size) for size in sizes]) == []


class Language(nn.Module):
    """Embedding, normalisation, attention, a thin product and cross-entropy."""

    more_classes = (), ()

    def __init__(self):
        super().__init__()
        self.table, self.norm = nn.Embedding(11, 16), nn.LayerNorm(16)
        self.projected, self.head = nn.Linear(16, 48), nn.Linear(16, 5)

    @staticmethod
    def batch(size, length):
        return am.tensor(np.arange(size * length).reshape(size, length) % 11)

    def forward(self, tokens):
        size, length = tokens.shape
        parts = self.projected(self.norm(self.table(tokens))).chunk(3, -1)
        heads = [part.reshape(size, length, 2, 8).transpose(1, 2) for part in parts]
        mixed = nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
        scores = self.head(mixed.transpose(1, 2).reshape(size * length, 16))
        return nn.functional.cross_entropy(scores, tokens.reshape(-1) % 5)


class Picture(nn.Module):
    """A convolution and a product with one result."""

    more_classes = (), (33,)

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(2))
        self.head = nn.Linear(8, 1)

    @staticmethod
    def batch(size, length):
        return am.tensor(np.ones((size, 3, 4, length), np.float32))

    def forward(self, x):
        return self.head(self.layers(x).mean(-1)).square().mean()


@pytest.mark.parametrize("build", [Language, Picture])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_size_compiles_in_three_classes(build, axis):
    """Of 1, below 8, and from 8 on: each at most once, whatever the batch or the length. Images of
    odd widths are a class of their own where a convolution has so few results that the sums of two
    neighbours share a vector."""
    am.manual_seed(0)
    net = build()
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    @am.jit
    def step(batch):
        optimizer.zero_grad()
        net(batch).backward()
        optimizer.step()

    def train(size):
        step(net.batch(*((size, 6) if axis == 0 else (6, size))))

    for size in (40, 1, 2, 40, *net.more_classes[axis]):
        train(size)
    compiled = statistics.compiled
    for size in (64, 17, 16, 3):
        train(size)
        assert statistics.compiled == compiled, size


def test_lazily_computed_sizes_compile_once_and_are_entries():
    def compute(size):
        return ((am.rand(size, 5) * 2 - 1).exp().sum(axis=1) / 3).numpy()

    compute(4), compute(5)
    compiled = statistics.compiled
    found = entries(lambda: [compute(size) for size in range(6, 56)])
    assert statistics.compiled == compiled
    assert len(found) >= 50
    assert {entry.function for entry in found} == {""}
    assert all(entry.line.startswith("test_ledger.py:") for entry in found)
    assert entries(lambda: compute(6)) == []


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        (((am.ones(3),), {}), ((am.ones(4),), {}), r"argument a: shape \(4,\) was \(3,\)"),
        (((am.ones(3),), {}), ((am.ones(3, dtype="float64"),), {}), "a: dtype float64 was float32"),
        (((am.ones(3, 2),), {}), ((am.evaluate(am.rand(2, 3)).T,), {}),
         r"a: strides \(1, 3\) was \(2, 1\)"),
        (((am.ones(3),), {}), ((am.ones(3, requires_grad=True),), {}),
         "a: requires_grad True was False"),
        (((am.ones(3), 2), {}), ((am.ones(3), 3), {}), "argument b is 3 and was 2"),
        (((am.ones(3), {"k": [1, 2.0]}), {}), ((am.ones(3), {"k": [1, 3.0]}), {}),
         r"argument b\['k'\]\[1\] is 3.0 and was 2.0"),
        (((am.ones(3), [1]), {}), ((am.ones(3), [1, 2]), {}),
         "argument b is a list of 2 and was a list of 1"),
        (((am.ones(3),), {"b": None}), ((am.ones(3),), {"b": am.ones(1)}),
         "argument b is a leaf and was None"),
        (((am.ones(3), 1), {}), ((am.ones(3), am.ones(1)), {}),
         r"argument b is a tensor float32\[1\] and was 1"),
        (((am.ones(3),), {}), ((), {"a": am.ones(3)}),
         "the arguments are 0 by position and by keyword a, and were 1 by position"),
        (((State(am.ones(3)),), {}), ((State(am.ones(3), "b"),), {}),
         "argument a is a State with name='b' and was a State with name='a'"),
        (((Batch(am.ones(3), None),), {}), ((Batch(am.ones(3), am.ones(3)),), {}),
         "argument a.y is a leaf and was None"),
        (((nn.Linear(1, 1),), {}), ((nn.Linear(1, 1),), {}), r"argument a is Linear\("),
        (((am.abs,), {}), ((am.exp,), {}), "argument a is <function exp .* was <function abs"),
    ],
)  # fmt: skip
def test_causes_and_strict(first, second, cause):
    calls = []

    @am.jit(strict=True)
    def strict(a, b=0):
        calls.append(1)
        return am.ones(2) if b is None else 1

    strict(*first[0], **first[1])
    strict(*first[0], **first[1])
    with pytest.raises(TracingError, match=rf"strict would be recorded again: .*{cause}.*; strict"):
        strict(*second[0], **second[1])
    assert len(calls) == 1
    strict(*first[0], **first[1])  # goes on
    loose = am.jit(strict.__wrapped__)
    loose(*first[0], **first[1])
    (entry,) = entries(lambda: loose(*second[0], **second[1]))
    assert entry.function.endswith("strict")
    assert re.search(cause, entry.cause)


def test_strict_training_records_once():
    weight = am.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.Adam([weight], lr=0.1)
    layer = nn.Sequential(nn.Linear(2, 1), nn.Dropout(0.5)).requires_grad_(False)

    @am.jit(strict=True)
    def step(x):
        loss = (layer(weight * x) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    data = [(am.ones(2) * n,) for n in range(4)]  # somebody holds them
    for (x,) in data:
        step(x)
    layer[0].eval()  # which does not look at its mode
    step(data[0][0])
    layer.eval()
    with pytest.raises(TracingError, match=r"Dropout.training is False and was True; strict=True"):
        step(data[0][0])
    layer.train()
    before = weight.tolist()
    step(data[1][0])
    assert weight.tolist() != before


def test_strict_functional_training_records_once():
    @am.jit(strict=True)
    def step(state, batch):
        loss = lambda weight: ((batch.x @ weight) ** 2).sum()
        value, grad = am.value_and_grad(loss)(state.weight)
        return value, dataclasses.replace(state, weight=state.weight - 0.1 * grad)

    state, losses = State(am.ones(4, 3) / 10), []
    for _ in range(4):
        value, state = step(state, Batch(am.ones(2, 4) / 3, None))
        losses.append(value.item())
    assert losses == sorted(losses, reverse=True)
    assert isinstance(state, State)


def test_other_causes():
    net = nn.Linear(2, 1)
    jitted = am.jit(lambda x: x @ net.weight.T)
    jitted(am.ones(1, 2))
    net.weight.data = am.ones(3, 2)
    (entry,) = [e for e in entries(lambda: jitted(am.ones(1, 2))) if e.function]
    assert entry.cause == "a tensor from outside is float32[3, 2] and was float32[1, 2]"
    with am.no_grad():
        (entry,) = [e for e in entries(lambda: jitted(am.ones(1, 2))) if e.function]
    assert entry.cause == "recording of gradients: False was True"


def test_the_table(capsys):
    double = am.jit(lambda x: x * 2)
    double(am.ones(3))
    found = am.compilations()
    text = capsys.readouterr().out
    assert "first call" in text
    assert "test_ledger.py:" in text
    assert repr(found).startswith(f"<{len(found)} compilations, ")
    assert found[-1:][0] is found[-1]
    assert found[-1].function.endswith("<lambda>")


def test_the_ledger_is_bounded(monkeypatch):
    fresh = ledgers.Ledger()
    for number in range(ledgers.MOST_ENTRIES + 10):
        fresh.add(ledgers.Compilation("f", str(number), ""))
    assert len(fresh.since(0)) == ledgers.MOST_ENTRIES
    assert [entry.cause for entry in fresh.since(fresh.count - 2)][-1].endswith("09")
    for number in range(ledgers.MOST_FORMS + 10):
        fresh._cause([(f"op{number}",)])
    assert len(fresh._forms) == ledgers.MOST_FORMS


def test_history_has_the_entries_of_its_run():
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 4), np.float32), rng.integers(0, 2, 40)
    model = am.Model(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
    model.compile(optimizer="adam", loss="cross_entropy")
    history = model.fit(x, y, epochs=2, batch_size=16, verbose=0)
    assert len(history.compilations) >= 1
    assert all(isinstance(entry, ledgers.Compilation) for entry in history.compilations)
    again = model.fit(x, y, epochs=1, batch_size=16, verbose=0)
    assert len(again.compilations) < len(history.compilations)


def test_static_arguments():
    calls = []

    @am.jit(static_argnums=1, static_argnames=("mode",))
    def f(x, sizes, mode="a", scale=1):
        calls.append(sizes)
        assert isinstance(sizes, tuple)
        return x.reshape(sizes) * (2 if mode == "b" else 1) * scale

    x = am.arange(6.0)
    assert f(x, (2, 3)).shape == (2, 3)
    assert f(x, (2, 3)).shape == (2, 3)
    assert f(x, sizes=(3, 2)).shape == (3, 2)
    assert f(x, (3, 2), "b")[1, 0].item() == 4
    assert f(x, (3, 2), mode="b")[1, 0].item() == 4
    assert calls == [(2, 3), (3, 2), (3, 2), (3, 2)]
    with pytest.raises(ArgumentError, match="a static argument is a list, which is not hashable"):
        f(x, [2, 3])
    assert am.jit(f.__wrapped__, static_argnums=[1])(x, (2, 3)).shape == (2, 3)
    for options, message in (
        ({"static_argnums": 7}, "static_argnums names argument 7; need numbers of x, "),
        ({"static_argnums": 1.0}, "static_argnums is 1.0; need an argument's number, or several"),
        ({"static_argnames": 3}, "static_argnames is 3; need an argument's name, or several"),
        ({"donate_argnames": "q"}, "donate_argnames names 'q'; need names of x, sizes, mode, "),
    ):
        with pytest.raises(ArgumentError, match=message):
            am.jit(f.__wrapped__, **options)

    class Layer:
        @am.jit(static_argnums=(2,))
        def shaped(self, x, size):
            return x.reshape(size)

    assert Layer().shaped(x, (3, 2)).shape == (3, 2)
