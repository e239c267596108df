"""Metrics that a model keeps for its own steps, as Keras 3 (JAX) resets and reports them."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import copy
import pickle

import jax
import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

STREAM = np.random.RandomState(0)
X, Y = STREAM.randn(23, 4).astype(np.float32), STREAM.randint(0, 3, 23)
XV, YV = STREAM.randn(11, 4).astype(np.float32), STREAM.randint(0, 3, 11)
KERNEL = STREAM.randn(4, 3).astype(np.float32)
PLAIN = {"batch_size": 5, "epochs": 3, "shuffle": False, "verbose": 0}


class Theirs(keras.Model):
    """The `train_step` of Keras's guide for JAX."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.score = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @property
    def metrics(self):
        return [self.loss_tracker, self.accuracy]

    def call(self, x):
        return self.dense(x)

    def measured(self, variables, loss, y, scores):
        count = len(self.loss_tracker.variables)
        of_loss = self.loss_tracker.stateless_update_state(variables[:count], loss)
        of_accuracy = self.accuracy.stateless_update_state(variables[count:], y, scores)
        logs = {"loss": self.loss_tracker.stateless_result(of_loss),
                "accuracy": self.accuracy.stateless_result(of_accuracy)}  # fmt: skip
        return logs, [*of_loss, *of_accuracy]

    def train_step(self, state, data):
        weights, others, moments, variables = state
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)

        def loss_of(weights):
            scores, left = self.stateless_call(weights, others, x)
            return self.score(y, scores), (scores, left)

        (loss, (scores, others)), grads = jax.value_and_grad(loss_of, has_aux=True)(weights)
        weights, moments = self.optimizer.stateless_apply(moments, grads, weights)
        logs, variables = self.measured(variables, loss, y, scores)
        return logs, (weights, others, moments, variables)

    def test_step(self, state, data):
        weights, others, variables = state
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        scores, others = self.stateless_call(weights, others, x)
        logs, variables = self.measured(variables, self.score(y, scores), y, scores)
        return logs, (weights, others, variables)


def theirs():
    model = Theirs()
    model(X[:1])
    model.dense.set_weights([KERNEL, np.zeros(3, np.float32)])
    model.compile(keras.optimizers.SGD(0.1))
    return model


class Ours(am.Model):
    """The same, as Keras's guides write it for other backends."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(4, 3)
        self.loss_tracker = am.metrics.Mean(name="loss")
        self.accuracy = am.metrics.Accuracy(name="accuracy")

    @property
    def metrics(self):
        return [self.loss_tracker, self.accuracy]

    def forward(self, x):
        return self.dense(x)

    def measured(self, loss, y, scores):
        self.loss_tracker.update_state(loss)
        self.accuracy.update_state(y, scores)
        return {m.name: m.result() for m in self.metrics}

    def train_step(self, data):
        x, y = data
        scores = self(x)
        loss = F.cross_entropy(scores, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return self.measured(loss, y, scores)

    def test_step(self, data):
        x, y = data
        scores = self(x)
        return self.measured(F.cross_entropy(scores, y), y, scores)


class InLists(Ours):
    """Without the property; one tracker in a list, one in a layer."""

    metrics = None

    def __init__(self):
        super().__init__()
        del self.accuracy
        self.kept = [am.metrics.Accuracy(name="accuracy")]
        self.dense.loss_tracker = am.metrics.Mean()
        del self.loss_tracker

    def measured(self, loss, y, scores):
        self.dense.loss_tracker.update(loss)
        self.kept[0].update(scores, y)
        return {"loss": self.dense.loss_tracker.compute(), "accuracy": self.kept[0].result()}


def ours(kind=Ours, jit=True):
    model = kind()
    model.dense.weight.data = am.tensor(KERNEL.T.copy())
    model.dense.bias.data = am.zeros(3)
    model.compile(optim.SGD(lr=0.1), jit=jit)
    return model


def agree(found, wanted):
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, err_msg=name)


@pytest.mark.filterwarnings("error:.*runs operation by operation")
@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("kind", [Ours, InLists])
def test_epochs_and_validation_are_those_of_keras(kind, jit):
    model, keras_model = ours(kind, jit), theirs()
    found = model.fit(X, Y, validation_data=(XV, YV), validation_batch_size=4, **PLAIN)
    wanted = keras_model.fit(X, Y, validation_data=(XV, YV), validation_batch_size=4, **PLAIN)
    agree(found.history, wanted.history)
    for _ in range(2):
        agree(dict(model.evaluate(XV, YV, batch_size=4)),
              keras_model.evaluate(XV, YV, batch_size=4, verbose=0, return_dict=True))  # fmt: skip


def test_single_batches_are_measured_alone():
    model, keras_model = ours(), theirs()
    for part in (slice(0, 9), slice(9, 14)):
        agree(model.train_on_batch(X[part], Y[part], return_dict=True),
              keras_model.train_on_batch(X[part], Y[part], return_dict=True))  # fmt: skip
    agree(model.test_on_batch(XV, YV, return_dict=True),
          keras_model.test_on_batch(XV, YV, return_dict=True))  # fmt: skip


class Guarded(Ours):
    """A reset under Keras's name, and rows that no step can add up."""

    def __init__(self):
        super().__init__()
        self.loss_tracker, self.area = Loud(name="loss"), am.metrics.AUROC(name="area")

    @property
    def metrics(self):
        return [self.loss_tracker, self.accuracy, self.area]

    def measured(self, loss, y, scores):
        self.area.update_state((y == 1).long(), scores[:, 1] - scores[:, 0])
        return super().measured(loss, y, scores)


class Loud(am.metrics.Mean):
    resets = 0

    def reset_state(self):
        Loud.resets += 1
        super().reset_state()


@pytest.mark.filterwarnings("ignore:.*runs operation by operation")
def test_metrics_of_rows_and_resets_of_ones_own():
    Loud.resets = 0
    model = ours(Guarded)
    history = model.fit(X, Y, validation_data=(XV, YV), **PLAIN).history
    agree({n: history[n] for n in ("loss", "accuracy")}, ours().fit(X, Y, **PLAIN).history)
    assert Loud.resets >= 6
    scores = am.tensor(model.predict(XV))
    area = am.metrics.AUROC()
    area.update(scores[:, 1] - scores[:, 0], (am.tensor(YV) == 1).long())
    assert history["val_area"][-1] == pytest.approx(area.compute())


@pytest.mark.parametrize("jit", [True, False])
def test_an_evaluation_between_two_batches_leaves_the_epoch_as_it_was(jit):
    class Evaluates(am.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(dict(logs))
            self.model.evaluate(XV, YV)

    seen = []
    found = ours(jit=jit).fit(X, Y, callbacks=[Evaluates()], **PLAIN).history
    assert found == ours(jit=jit).fit(X, Y, **PLAIN).history
    assert seen[4]["loss"] == found["loss"][0]  # as it stands after each batch
    assert seen[0]["loss"] != seen[1]["loss"]


@pytest.mark.parametrize("at", [1, 4])  # 4: after an epoch's last batch, before its end
def test_a_resumed_epoch_goes_on_with_them(at):
    class Keeps(am.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == at and not states:
                states.append(pickle.loads(pickle.dumps(self.model.run.state_dict())))

    states = []
    wanted = ours().fit(X, Y, callbacks=[Keeps()], **PLAIN).history
    assert ours().fit(X, Y, resume=states[0], **PLAIN).history == wanted


def test_the_open_loop_begins_anew_in_each_epoch():
    class Layer(nn.Linear):
        def forward(self, input):
            found = super().forward(input)
            self.size.update(found.square().mean())
            return found

    model = am.Sequential([Layer(4, 3)])
    model[0].size = am.metrics.Mean()
    model.compile("sgd", "cross_entropy")
    sizes, parts = [], []
    for step in am.loop(model, X, Y, batch_size=9, epochs=2, shuffle=False):
        parts.append(float(np.square(step.output.numpy()).mean()))
        step.backward()
        step.update()
        sizes.append(model[0].size.compute())
    assert sizes[5] == pytest.approx(np.mean(parts[3:]))
    assert sizes[3] == pytest.approx(parts[3])


def test_metrics_hold_numbers_once_a_step_was_recorded():
    model = ours()
    model.fit(X, Y, **PLAIN)
    tracker, twin = model.loss_tracker, copy.deepcopy(model.loss_tracker)
    assert twin.compute() == tracker.compute() == model.history.history["loss"][-1]
    tracker.update(100.0)
    assert tracker.compute() > twin.compute()
    model.reset_metrics()
    with pytest.raises(am.errors.ArgumentError, match="nothing was measured"):
        tracker.compute()
    tracker.update(2.0)
    assert tracker.compute() == 2.0
    again = model.fit(X, Y, **PLAIN).history["loss"]
    assert again[0] < model.evaluate(X, Y, batch_size=5)["loss"] * 2


@pytest.mark.filterwarnings("ignore:.*runs operation by operation")
def test_a_step_may_look_at_a_result():
    class Looks(Ours):
        def train_step(self, data):
            logs = super().train_step(data)
            seen.append(float(logs["loss"]))
            return logs

    seen = []
    assert ours(Looks).fit(X, Y, **PLAIN).history == ours(jit=False).fit(X, Y, **PLAIN).history
    assert seen[4] == pytest.approx(ours().fit(X, Y, **PLAIN).history["loss"][0])
