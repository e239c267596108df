"""One model in several threads: predictions and evaluations beside each other and beside `fit`."""

import threading

import numpy as np
import pytest

import ambos as am
from ambos import nn

STREAM = np.random.RandomState(0)
X = STREAM.randn(32, 4).astype(np.float32)
Y = STREAM.randint(0, 3, 32)
WAIT = 60.0  # seconds after which a test fails rather than hangs


def network():
    am.manual_seed(0)
    model = am.Sequential([nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)])
    model.compile("sgd", "cross_entropy", metrics=["accuracy"])
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
