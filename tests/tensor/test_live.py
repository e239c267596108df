"""What is computed when somebody looks, and that a training step is one graph every time."""

import numpy as np
import pytest

import ambos as am
from ambos.core.config import config
from ambos.tensor import live, realize
from ambos.tensor.realize import planning


def plans_and_losses(step, count):
    plans, losses = [], []
    for _ in range(count):
        losses.append(step())
        plans.append(len(realize._plans))
    return plans, losses


def test_a_training_step_compiles_once():
    am.manual_seed(0)
    rng = np.random.default_rng(0)
    w = am.tensor(rng.normal(size=(4, 8)), dtype=am.float32, requires_grad=True)
    v = am.tensor(rng.normal(size=(8, 1)), dtype=am.float32, requires_grad=True)
    momentum = {p: am.zeros_like(p) for p in (w, v)}

    def step():
        x = am.tensor(rng.normal(size=(16, 4)), dtype=am.float32)
        hidden = (x @ w).relu()
        hidden = hidden * am.random.bernoulli(None, 0.9, hidden.shape) / 0.9
        loss = ((hidden @ v - x.sum(1, keepdims=True)) ** 2).mean()
        loss.backward()
        with am.no_grad():
            for p in (w, v):
                momentum[p] = momentum[p] * 0.9 + p.grad
                p -= 0.01 * momentum[p]
                p.grad = None
        return loss.item()

    plans, losses = plans_and_losses(step, 30)
    assert plans[-1] == plans[3]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert len(live._waiting.handles) < 50


def test_the_step_is_the_same_however_often_it_is_looked_at():
    rng = np.random.default_rng(0)
    x = am.tensor(rng.normal(size=(8, 4)).astype(np.float32))

    def train(look):
        w = am.full((4, 1), 0.5, requires_grad=True)
        for _ in range(4):
            y = (x @ w).tanh()
            if look:
                repr(y)
            loss = (y * y).mean()
            if look:
                loss.item()
            loss.backward()
            if look:
                w.grad.numpy()
            with am.no_grad():
                w -= 0.1 * w.grad
            w.grad = None
            if look:
                w.tolist()
        return w.numpy().tobytes()

    assert train(False) == train(True)


def test_evaluate_takes_trees():
    x = am.ones(2) + 1
    tree = {"a": [x * 2, 3], "b": None}
    assert am.evaluate(tree) is tree
    assert tree["a"][0]._node.value is not None
    a, b = am.evaluate(x, x + 5)
    assert a is x
    assert b.tolist() == [7, 7]


def test_what_nobody_holds_is_not_computed(monkeypatch):
    counted = []
    original = realize.realize
    monkeypatch.setattr(realize, "realize", lambda nodes: (counted.append(len(nodes)),
                                                           original(nodes)))  # fmt: skip
    x = am.tensor([1.0])
    held = x + 1
    forgotten = held * 3
    del forgotten
    held.numpy()
    assert counted == [1]


def test_computed_tensors_let_go_of_their_graph():
    x = am.tensor([1.0])
    y = (x + 1) * 2
    y.numpy()
    assert y._node.inputs == ()
    assert (y + 1).tolist() == [5]


def test_running_op_by_op_leaves_numbers_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    x = am.tensor(np.arange(15, dtype=np.float32).reshape(3, 5))
    (x * 0.40625).tolist()
    with monkeypatch.context() as patch:
        patch.setattr(config, "fuse", False)
        (x * x * 0.40625).tolist()
    before = planning.programs
    (x * 0.40625).tolist()
    assert planning.programs == before


def test_a_number_that_was_looked_at_stays_a_number() -> None:
    """Or graphs with the same number would be other graphs, with other kernels."""
    shown = am.full((3, 5), 0.375)
    assert shown.tolist()[0][0] == 0.375
    (am.ones(3, 5).sum() * 0.375).item()
    before = planning.programs
    x = am.tensor(np.arange(15, dtype=np.float32).reshape(3, 5))
    first = (x * 0.375).tolist()
    assert am.full((3, 5), 0.375).tolist() == shown.tolist()
    assert (x * 0.375).tolist() == first
    assert planning.programs == before + 1
