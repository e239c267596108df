"""Whatever fails in a training, the model keeps what it has learnt, and the next one works."""

import multiprocessing
import signal
import threading

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.data import DataLoader
from ambos.nn import functional as F

STREAM = np.random.RandomState(0)
X = STREAM.randn(32, 4).astype(np.float32)
Y = STREAM.randint(0, 3, 32)
HOW = {"batch_size": 8, "epochs": 3, "verbose": 0}


@pytest.fixture(autouse=True)
def no_threads_are_left():
    before = threading.enumerate()  # what other tests of this process have left is theirs
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert all(thread.name.startswith("ambos-") for thread in left)


class Fault(Exception):
    pass


class Failing:
    """Raises when it is asked for the `at`-th time."""

    def __init__(self, at):
        self.left = at

    def __call__(self, *args, **kwargs):
        self.left -= 1
        if not self.left:
            raise Fault

    def batches(self, size=8):
        for start in range(0, 32, size):
            self()
            yield X[start : start + size], Y[start : start + size]


class Passes:
    """Batches, as often as they are asked for."""

    def __init__(self, failing):
        self.failing = failing

    def __iter__(self):
        return self.failing.batches()


def network():
    am.manual_seed(0)
    model = am.Sequential([nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)])
    model.compile("adam", "cross_entropy", metrics=["accuracy"])
    return model


def state(model):
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def hook(name, at):
    failing = Failing(at)
    body = lambda self, *args, **kwargs: failing()
    return type("Fails", (am.callbacks.Callback,), {name: body})()


def in_order(model, updates, epochs):
    """Nothing is under way; weights are those of as many updates; another training works."""
    assert model.run.updates == updates
    assert {name: len(values) for name, values in model.history.history.items()} == (
        dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), epochs) if epochs else {}
    )
    alone, left = network(), updates
    while left:  # the same as from trainings that were ended as they should
        count = min(left, 4)
        alone.fit(X[: 8 * count], Y[: 8 * count], **HOW | {"epochs": 1}, shuffle=False)
        left -= count
    for name, value in state(alone).items():
        np.testing.assert_array_equal(state(model)[name], value, err_msg=name)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert multiprocessing.active_children() == []
    history = model.fit(X, Y, **HOW, validation_data=(X, Y)).history
    assert [len(values) for values in history.values()] == [3] * 4
    assert model.evaluate(X, Y)["loss"] == history["val_loss"][-1]


# Where it fails the second time: updates by then, epochs in the history.
HOOKS = {
    "on_epoch_begin": (4, 1),
    "on_train_batch_begin": (1, 0),
    "on_train_batch_end": (2, 0),
    "on_test_begin": (8, 1),
    "on_test_batch_begin": (8, 1),
    "on_test_batch_end": (8, 1),
    "on_test_end": (8, 1),
    "on_epoch_end": (8, 2),
}


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_that_fails(name):
    model = network()
    with pytest.raises(Fault) as caught:
        model.fit(X, Y, **HOW, shuffle=False, validation_data=(X, Y), callbacks=[hook(name, 2)])
    assert caught.value.__notes__[0].startswith(f"in Fails.{name}")
    in_order(model, *HOOKS[name])


@pytest.mark.parametrize(("name", "updates", "epochs"), [
    ("on_train_begin", 0, 0), ("on_train_end", 12, 3)])  # fmt: skip
def test_a_hook_around_the_training_that_fails(name, updates, epochs):
    model = network()
    with pytest.raises(Fault):
        model.fit(X, Y, **HOW, shuffle=False, validation_data=(X, Y), callbacks=[hook(name, 1)])
    in_order(model, updates, epochs)


@pytest.mark.parametrize(("at", "updates", "epochs", "where"), [
    (1, 0, 0, "batch 0 of epoch 0"), (3, 2, 0, "batch 2 of epoch 0"),
    (5, 4, 1, "batch 0 of epoch 1"), (8, 7, 1, "batch 3 of epoch 1"),
])  # fmt: skip
def test_batches_that_fail_to_come(at, updates, epochs, where):
    model = network()
    with pytest.raises(Fault) as caught:
        model.fit(Passes(Failing(at)), epochs=3, verbose=0, validation_data=(X, Y))
    assert caught.value.__notes__[0].startswith(f"in {where}, ")
    in_order(model, updates, epochs)
    with pytest.raises(Fault) as caught:
        list(am.loop(network(), Passes(Failing(at)), epochs=3))
    assert caught.value.__notes__[0].startswith(f"in {where}, ")


@pytest.mark.parametrize(("at", "updates", "epochs", "batch"), [
    (1, 4, 0, 0), (3, 4, 0, 2), (5, 8, 1, 0), (8, 8, 1, 3),
])  # fmt: skip
def test_a_validation_set_that_fails(at, updates, epochs, batch):
    model = network()
    validation = Passes(Failing(at))
    with pytest.raises(Fault) as caught:
        model.fit(X, Y, **HOW, shuffle=False, validation_data=validation)
    assert caught.value.__notes__[0].startswith(f"in batch {batch} of validation_data, ")
    in_order(model, updates, epochs)


@pytest.mark.parametrize("op", ["evaluate", "predict"])
def test_batches_that_fail_to_come_without_training(op):
    run = getattr(network(), op)
    for batches in (Passes(Failing(3)), Failing(3).batches()):
        with pytest.raises(Fault) as caught:
            run(batches)
        assert caught.value.__notes__ == ["in batch 2 of x, counted from 0"]
    rows = am.data.Dataset.from_tensor_slices((X, Y))
    failing = Failing(20)
    with pytest.raises(Fault) as caught:
        run(rows.map(lambda x, y: failing() or (x, y)).batch(8))
    assert caught.value.__notes__ == ["map: at element 19", "in batch 2 of x, counted from 0"]


@pytest.mark.parametrize("what", ["loss", "metric", "forward"])
def test_a_part_of_the_step_that_fails(what):
    """Run as it was met; a recorded step calls none of them again."""
    failing = Failing(10)  # in the third epoch

    def failing_here(name, value):
        if name == what:
            failing()
        return value

    class Passing(nn.Module):
        def forward(self, x):
            return failing_here("forward", x)

    def loss(output, y):
        return failing_here("loss", F.cross_entropy(output, y))

    def exactness(output, y):
        return failing_here("metric", (output.argmax(1) == y).float().mean())

    am.manual_seed(0)
    model = am.Sequential([nn.Linear(4, 8), Passing(), nn.BatchNorm1d(8), nn.Linear(8, 3)])
    model.compile("sgd", loss, [exactness], jit=False)
    with pytest.raises(Fault):
        model.fit(X, Y, **HOW, shuffle=False)
    assert model.run.updates == 9
    assert len(model.history.history["loss"]) == 2
    before = state(model)
    assert all(np.isfinite(value).all() for value in before.values())
    history = model.fit(X, Y, **HOW)
    assert set(map(len, history.history.values())) == {3}


@pytest.mark.parametrize(("name", "updates", "epochs"), [
    ("on_train_batch_end", 2, 0), ("on_test_batch_end", 4, 0), ("on_epoch_end", 8, 2),
])  # fmt: skip
def test_workers_are_gone(name, updates, epochs):
    loaders = [DataLoader((X, Y), batch_size=8, num_workers=workers, multiprocessing_context="fork")
               for workers in (2, 1)]  # fmt: skip
    model = network()
    with pytest.raises(Fault):
        model.fit(loaders[0], epochs=3, verbose=0, validation_data=loaders[1],
                  callbacks=[hook(name, 2)])  # fmt: skip
    in_order(model, updates, epochs)
