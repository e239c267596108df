"""Modules whose `train` does more than say modes, and models whose parts or modes change."""

import gc
import threading
import weakref

import numpy as np
import pytest

import ambos as am
from ambos import nn
from tests.train.recordings import steps_recorded

STREAM = np.random.RandomState(0)
X = STREAM.randn(16, 3).astype(np.float32)
Y = STREAM.randn(16, 1).astype(np.float32)
HOW = {"batch_size": 4, "epochs": 3, "shuffle": False}


class Merging(nn.Module):
    """Low-rank adapters as loralib writes them: `eval` merges them into the weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(am.full((3, 3), 0.1)).requires_grad_(False)
        self.a = nn.Parameter(am.full((2, 3), 0.1))
        self.b = nn.Parameter(am.full((3, 2), 0.1))
        self.merged, self.kept = False, []

    def train(self, mode=True):
        super().train(mode)
        with am.no_grad():
            if mode and self.merged:
                self.weight.copy_(self.kept.pop())
                self.merged = False
            elif not mode and not self.merged:
                self.kept.append(self.weight.detach().clone())
                self.weight.add_(self.b @ self.a)
                self.merged = True
        return self

    def forward(self, x):
        found = x @ self.weight.T
        return found if self.merged else found + x @ self.a.T @ self.b.T


def network(jit=True):
    am.manual_seed(0)
    model = am.Sequential([Merging(), nn.Linear(3, 1)])
    model.compile("sgd", "mse", jit=jit)
    return model


def same(model, other):
    wanted = other.state_dict()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), wanted[name].numpy(), err_msg=name)
    assert model[0].merged is other[0].merged


@pytest.fixture(scope="module")
def alone():
    model = network()
    model.fit(X, Y, **HOW, verbose=0)
    return model


def looking(model):
    model.predict(X[:2])
    model.evaluate(X, Y, batch_size=8)
    model(am.tensor(X[:2]), training=False)


class Looks(am.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        looking(self.model)


@pytest.mark.parametrize("jit", [True, False], ids=["recorded", "as met"])
def test_who_looks_leaves_the_training_as_it_was(alone, jit):
    model = network(jit)
    model.fit(X, Y, **HOW, verbose=0, callbacks=[Looks()])
    same(model, alone)
    model = network(jit)
    for step in am.loop(model, X, Y, **HOW):
        for part in (step.backward, step.update):
            looking(model)
            part()
    same(model, alone)


def test_who_looks_from_another_thread_leaves_the_training_as_it_was(alone):
    model, found, stop = network(), [], threading.Event()

    def look():
        while len(found) < 3 or not stop.is_set():  # a busy machine may be late
            found.append(model.predict(X[:2]))
            model.evaluate(X, Y)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        model.fit(X, Y, **HOW, verbose=0)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    same(model, alone)
    assert len(found) > 2


def test_predictions_are_of_the_merged_layer_and_training_is_not(alone):
    seen, model = [], network()
    model[0].register_forward_hook(lambda module, *_: seen.append(module.merged))
    with am.no_grad():
        wanted = alone(am.tensor(X)).numpy()
    np.testing.assert_allclose(alone.predict(X), wanted, rtol=1e-5)
    model.eval()  # it is said of calls outside: each batch is trained as ever
    model.fit(X, Y, **HOW, verbose=0)
    model.predict(X)
    assert seen == [False, True]
    assert not model.training
    assert model[0].merged
    same(model.train(), alone)


def test_a_layer_that_merges_inside_of_a_recorded_function(alone):
    step = am.jit(lambda x: (alone(x, training=False), alone(x)))
    for _ in range(3):
        merged, usual = step(am.tensor(X))
        np.testing.assert_allclose(merged.numpy(), usual.numpy(), rtol=1e-5)
    assert not alone[0].merged


def test_layers_that_are_replaced_are_let_go():
    model, gone = am.Sequential([nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)]), []
    model.compile("sgd", "mse")
    for _ in range(3):
        model[1], model[2] = nn.Dropout(0.5), nn.Linear(4, 1)
        gone += map(weakref.ref, [model[1], model[2]])
        model.predict(X)
        model.evaluate(X, Y)
    gc.collect()
    assert [each() is None for each in gone] == [True] * 4 + [False] * 2


def test_parts_that_are_frozen_one_by_one_are_recorded_once_if_they_read_no_mode():
    frozen = [3]

    class Freezing(am.Sequential):
        def train(self, mode=True):
            super().train(mode)
            for layer in self[: frozen[0]]:
                layer.eval()
            return self

    model = Freezing([nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)])
    model.compile("sgd", "mse")

    def fits():
        for frozen[0] in (3, 2, 1, 0):
            model.fit(X, Y, verbose=0)

    assert steps_recorded(fits, "train") == 1
