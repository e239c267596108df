"""One model in several threads: predictions and evaluations beside each other and beside `fit`."""

import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest

import ambos as am
from ambos import nn
from tests.train.recordings import steps_recorded

STREAM = np.random.RandomState(0)
X = STREAM.randn(32, 4).astype(np.float32)
Y = STREAM.randint(0, 3, 32)
WAIT = 60.0  # seconds after which a test fails rather than hangs


def network(jit=True):
    am.manual_seed(0)
    model = am.Sequential([nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)])
    model.compile("sgd", "cross_entropy", metrics=["accuracy"], jit=jit)
    return model


def state(model):
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def same(found, wanted):
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def predicting(model, found):
    """Another thread is in the middle of `predict`: one batch done, one to come when what is
    returned is called."""
    middle, go_on = threading.Event(), threading.Event()

    def batches():
        yield X[:8]
        middle.set()
        assert go_on.wait(WAIT)
        yield X[8:16]

    thread = threading.Thread(target=lambda: found.append(model.predict(batches())))
    thread.start()
    assert middle.wait(WAIT)

    def finish():
        go_on.set()
        thread.join(WAIT)

    return finish


@pytest.mark.parametrize("kind", ["predict", "evaluate"])
def test_who_is_done_first_leaves_the_others_in_eval_mode(kind):
    model = network()
    wanted, before = model.predict(X[:16]), state(model)
    logs = model.evaluate(X, Y, batch_size=16)
    first = []

    def halves():
        yield X[:16], Y[:16]
        finish()  # the other one, which came first
        yield X[16:], Y[16:]

    finish = predicting(model, first)
    if kind == "predict":
        second = model.predict(x for x, _ in halves())
        np.testing.assert_array_equal(second[:16], wanted)
    else:
        assert model.evaluate(halves()) == logs
    np.testing.assert_array_equal(first[0], wanted)
    same(state(model), before)
    assert model.training


def test_a_training_beside_predictions_trains_as_one_alone():
    """The model trains at each step of `fit`, and predicts at each of `predict`."""
    alone = network()
    alone.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    model, found = network(), []
    model.predict(X[:8])

    class Beside(am.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                finish()

    finish = predicting(model, found)
    network()  # the random numbers go on from where they were for the one alone
    model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=[Beside()])
    same(state(model), state(alone))
    assert len(found[0]) == 16
    assert model.training


def test_evaluations_beside_each_other_have_sums_of_their_own():
    model = network()
    sizes = [8, 16, 24, 32] * 4
    wanted = [model.evaluate(X[:size], Y[:size], batch_size=8) for size in sizes]
    before, found = state(model), [None] * len(sizes)

    def work(place):
        size = sizes[place]
        found[place] = model.evaluate(X[:size], Y[:size], batch_size=8)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(sizes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert found == wanted
    same(state(model), before)


HOW = {"batch_size": 8, "epochs": 3, "shuffle": False}


@contextmanager
def beside(*calls):
    """Each of `calls` again and again in a thread of its own, with many switches between them."""
    stop, errors, switch = threading.Event(), [], sys.getswitchinterval()

    def work(call):
        try:
            while not stop.is_set():
                call()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work, args=(call,), daemon=True) for call in calls]
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        sys.setswitchinterval(switch)
        stop.set()
        for thread in threads:
            thread.join(WAIT)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


def trained(model, kind, note):
    """Train it; `note` whenever others may see something new."""

    class Noting(am.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            note()

    if kind == "fit":
        model.fit(X, Y, **HOW, verbose=0, callbacks=[Noting()])
        return
    for step in am.loop(model, X, Y, **HOW):
        step.output.numpy()
        note()  # batch norm has seen the batch, and weights are those of before
        step.backward()
        step.update()
        note()


@pytest.mark.parametrize("jit", [True, False], ids=["recorded", "as met"])
@pytest.mark.parametrize("kind", ["fit", "loop"])
def test_predictions_beside_a_training_are_of_the_weights_of_some_update(kind, jit):
    alone = network(jit)
    known = {alone.predict(X[:16]).tobytes()}
    trained(alone, kind, lambda: known.add(alone.predict(X[:16]).tobytes()))
    assert len(known) > 12
    model, found = network(jit), []
    found.append(model.predict(X[:16]).tobytes())  # drawn: the next dropout is that of alone
    predict = lambda: found.append(model.predict(X[:16]).tobytes())
    with beside(predict, predict, predict):
        trained(model, kind, lambda: None)
    assert set(found) <= known
    same(state(model), state(alone))


def test_callbacks_that_look_while_others_look():
    """Nobody waits for somebody who waits: predictions and evaluations from callbacks of a
    training and of an evaluation, and from threads."""
    alone, model = network(), network()
    alone.fit(X, Y, **HOW, verbose=0)
    looks = []

    class Looking(am.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            looks.append(len(model.predict(X[:4])))

        def on_test_batch_end(self, batch, logs=None):
            looks.append(len(model.evaluate(X[:4], Y[:4])))

    model.predict(X[:4])
    am.manual_seed(0)
    network()
    with beside(lambda: model.predict(X[:8]), lambda: model.evaluate(X[:8], Y[:8])):
        model.fit(X, Y, **HOW, verbose=0, validation_data=(X, Y), callbacks=[Looking()])
    assert len(looks) == 3 * (4 + 1)
    same(state(model), state(alone))


def test_a_training_leaves_modes_alone_and_they_leave_it():
    """Whoever says `eval()` meanwhile says it of calls outside."""
    alone, model = network(), network()
    alone.fit(X, Y, **HOW, verbose=0)
    network()
    modes = []

    class Says(am.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            model.eval()

        def on_train_batch_end(self, batch, logs=None):
            modes.append([module.training for module in model.modules()])

    model.fit(X, Y, **HOW, verbose=0, callbacks=[Says()])
    same(state(model), state(alone))
    assert modes == [[False] * 5] * 12
    model[1].train()
    model.fit(X, Y, **HOW, verbose=0)
    model.predict(X)
    assert [module.training for module in model] == [False, True, False, False]
    assert steps_recorded(lambda: model.train().fit(X, Y, **HOW, verbose=0)) == 0
    assert steps_recorded(lambda: model.eval().predict(X)) == 0


@pytest.mark.parametrize("view", [False, True], ids=["itself", "as a Model"])
def test_a_network_that_keeps_a_part_frozen(view):
    """By a `train` of its own, as fine-tuning is written in PyTorch."""

    class Frozen(am.Sequential if not view else nn.Sequential):
        frozen = True

        def train(self, mode=True):
            super().train(mode)
            self[1].train(mode and not self.frozen)
            return self

    net = Frozen(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    model = am.Model(net) if view else net
    model.compile("sgd", "cross_entropy")
    model.fit(X, Y, **HOW, verbose=0)
    assert (net[1].running_mean == 0).all()
    for step in am.loop(model, X, Y, **HOW):
        step.backward()
        step.update()
    assert (net[1].running_mean == 0).all()
    net.frozen = False
    model.fit(X, Y, **HOW, verbose=0)
    assert (net[1].running_mean != 0).any()
