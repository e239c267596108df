"""What `fit` takes beside x and y: weights, accumulation, clipping, schedules, going on."""

import numpy as np
import pandas as pd
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.nn.utils import clip_grad_norm_

STREAM = np.random.RandomState(0)
X = STREAM.randn(52, 4).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
W = STREAM.rand(52).astype(np.float32)


def network(rule=None, dropout=0.0, **options):
    am.manual_seed(0)
    model = am.Sequential([nn.Linear(4, 6), nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 2)])
    chosen = {"loss": "cross_entropy", "metrics": ["accuracy"], **options}
    model.compile(rule or optim.Adam(lr=0.05), **chosen)
    return model


def weights(model):
    return [p.numpy() for p in model.parameters()]


def same(one, other):
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


def by_hand(update, epochs=2, size=16):
    """Define-by-run, with `update(model, rule, x, y, rows)` for each batch."""
    model = network()
    rule = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for start in range(0, len(X), size):
            rows = slice(start, start + size)
            update(model, rule, am.tensor(X[rows]), am.tensor(Y[rows]), rows)
    return model


PLAIN = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}


def test_weights_of_classes_and_samples_multiply_and_divide_by_rows():
    table = np.array([0.5, 3.0], np.float32)

    def update(model, rule, x, y, rows):
        weight = am.tensor(table[Y[rows]]) * am.tensor(W[rows])
        (F.cross_entropy(model(x), y, reduction="none") * weight).mean().backward()
        rule.step()
        rule.zero_grad()

    model = network()
    history = model.fit(X, Y, sample_weight=W, class_weight={0: 0.5, 1: 3.0}, **PLAIN)
    same(model, by_hand(update))
    again = network(optim.SGD(lr=0.0))
    found = again.fit(X, Y, sample_weight=W, **PLAIN).history["loss"][0]
    per_row = F.cross_entropy(again(am.tensor(X)), am.tensor(Y), reduction="none").detach().numpy()
    assert found == pytest.approx((per_row * W).mean(), rel=1e-5)
    assert set(history.history) == {"loss", "accuracy"}
    listed = network()
    listed.fit(X, Y, sample_weight=W, class_weight=[0.5, 3.0], **PLAIN)
    same(listed, model)
    stream = network()
    parts = [(X[i : i + 16], Y[i : i + 16], W[i : i + 16]) for i in range(0, 52, 16)]
    stream.fit(parts, class_weight={0: 0.5, 1: 3.0}, epochs=2, verbose=0)
    same(stream, model)


def test_clipping_is_part_of_the_step():
    def update(model, rule, x, y, rows):
        F.cross_entropy(model(x), y).backward()
        clip_grad_norm_(model.parameters(), 0.1)
        rule.step()
        rule.zero_grad()

    model = network()
    model.fit(X, Y, clip_norm=0.1, **PLAIN)
    same(model, by_hand(update))


def test_accumulated_batches_are_one_large_batch():
    """Also where the last batch is short, and where the last group is incomplete."""
    small, large = network(optim.SGD(lr=0.5)), network(optim.SGD(lr=0.5))
    small.fit(X, Y, accumulate=3, batch_size=8, epochs=3, shuffle=False, verbose=0)
    large.fit(X, Y, batch_size=24, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(weights(small), weights(large), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert small.run.updates == large.run.updates == 9
    assert all(p.grad is None for p in small.parameters())


def test_schedules_turn_by_update_and_by_epoch():
    rule = optim.SGD(lr=1.0)
    network(rule, schedule=lambda update: 0.5**update).fit(X, Y, **PLAIN)
    assert rule.lr == 0.5**8
    model = network()
    rule = optim.SGD(model.parameters(), lr=1.0)
    model.compile(rule, "cross_entropy", schedule=optim.StepLR(rule, 1, 0.1))
    seen = []

    class Rates(am.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(rule.lr)

    model.fit(X, Y, callbacks=Rates(), **PLAIN)
    assert seen == pytest.approx([1.0] * 4 + [0.1] * 4)


def test_averages_of_a_schedule_free_optimizer_are_what_is_validated_and_left():
    rule = optim.AdamWScheduleFree(lr=0.05)
    model, modes = network(rule), []

    class Modes(am.Callback):
        def on_train_batch_end(self, batch, logs=None):
            modes.append(rule.param_groups[0]["train_mode"])

        def on_test_begin(self, logs=None):
            modes.append(rule.param_groups[0]["train_mode"])

    model.fit(X, Y, batch_size=26, callbacks=Modes(), validation_data=(X, Y), verbose=0)
    assert modes == [True, True, False]
    assert model.history.history["val_loss"][0] == model.evaluate(X, Y)["loss"]
    model.fit(X, Y, batch_size=26, verbose=0)


def test_lbfgs_gets_its_closure_and_step_hooks_are_called():
    model = network(optim.LBFGS(lr=0.1, max_iter=3))
    history = model.fit(X, Y, batch_size=52, epochs=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    rule, calls = optim.SGD(lr=0.1), []
    rule.register_step_post_hook(lambda *args: calls.append(1))
    model = network(rule)
    with pytest.warns(UserWarning, match="the optimizer has step hooks"):
        model.fit(X, Y, **PLAIN)
    assert len(calls) == 8
    plain = network(optim.SGD(lr=0.1), jit=False)
    plain.fit(X, Y, **PLAIN)
    same(plain, model)


@pytest.mark.parametrize(
    ("given", "named"),
    [({"accumulate": 2}, "accumulate"), ({"clip_norm": 1.0}, "clip_norm"),
     ({"precision": "float16"}, "precision='float16'")],
)  # fmt: skip
def test_what_does_not_go_with_lbfgs_is_refused(given, named):
    model = network(optim.LBFGS(lr=0.1, max_iter=3))
    before = [value.copy() for value in weights(model)]
    with pytest.raises(ValueError, match=f"fit: {named} with LBFGS.* need a larger batch_size"):
        model.fit(X, Y, verbose=0, **given)
    with pytest.raises(ValueError, match=f"loop: {named} with LBFGS"):
        list(am.loop(model, X, Y, **given))
    for one, other in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="loop: clip_norm is -1; need a number > 0"):
        list(am.loop(network(), X, Y, clip_norm=-1))


def test_a_step_that_looks_at_values_runs_operation_by_operation_and_says_so_once():
    class Looks(am.Sequential):
        def train_step(self, data):
            x, y = data
            loss = F.cross_entropy(self(x), y)
            if loss.item() > 0:
                loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            return {"loss": loss, "seen": loss.item()}

    am.manual_seed(0)
    model = Looks([nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.0), nn.Linear(6, 2)])
    model.compile(optim.Adam(lr=0.05))
    with pytest.warns(UserWarning, match=r"Looks.train_step.*is looked at") as caught:
        history = model.fit(X, Y, **PLAIN)
    assert len(caught) == 1
    usual = network()
    usual.fit(X, Y, **PLAIN)
    same(model, usual)
    assert history.history["loss"] == pytest.approx(usual.history.history["loss"])
    assert set(history.history) == {"loss", "seen"}


def test_inputs_of_every_kind_are_the_same():
    class Two(am.Model):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 2)

        def forward(self, a, b):
            return self.body(am.concatenate([a, b], 1))

    def trained(x, y, **more):
        am.manual_seed(0)
        model = Two()
        model.compile("sgd", "cross_entropy")
        history = model.fit(x, y, batch_size=16, epochs=2, seed=1, verbose=0, **more)
        return model, history.history["loss"]

    a, b = X[:, :1], X[:, 1:]
    frame = pd.DataFrame(X, columns=list("abcd"))
    sources = [(a, b), [a, b], {"b": b, "a": a}, (am.tensor(a), am.tensor(b))]
    sources += [(frame[["a"]], frame[["b", "c", "d"]])]
    losses = [trained(source, Y)[1] for source in sources]
    losses.append(trained((a, b), pd.Series(Y))[1])
    losses.append(trained((a.astype(np.float64), b), Y.tolist())[1])
    assert all(found == losses[0] for found in losses)
    model, _ = trained({"a": a, "b": b}, Y, validation_split=0.5)
    assert model.predict({"b": b, "a": a}).shape == (52, 2)
    np.testing.assert_array_equal(model.predict((a, b)), model.predict({"b": b, "a": a}))


def test_a_table_with_texts_says_which_columns_they_are():
    frame = pd.DataFrame({"age": [1, 2], "job": ["a", "b"], "when": pd.to_datetime(["2026"] * 2)})
    model = am.Sequential([nn.LazyLinear(1)])
    model.compile("sgd", "mse")
    with pytest.raises(
        am.errors.ArgumentError, match=r"have none: 'job', 'when'.*get_dummies.*\(x\)"
    ):
        model.fit(frame, np.zeros(2), verbose=0)


def test_a_dataset_of_samples_is_batched_and_a_dataset_of_batches_is_not():
    class Samples(am.data.Dataset):
        def __len__(self):
            return len(X)

        def __getitem__(self, index):
            return X[index], Y[index]

    arrays = network()
    arrays.fit(X, Y, batch_size=16, seed=1, verbose=0)
    samples = network()
    samples.fit(Samples(), batch_size=16, seed=1, verbose=0, validation_data=(X, Y))
    same(samples, arrays)
    assert samples.evaluate(Samples(), batch_size=20)["loss"] == pytest.approx(
        samples.evaluate(X, Y)["loss"], rel=1e-6
    )
    found = samples.predict(Samples(), batch_size=20)
    np.testing.assert_array_equal(found, samples.predict(X))


def test_outputs_have_losses_weights_and_metrics_of_their_own():
    class Heads(am.Model):
        def __init__(self):
            super().__init__()
            self.kind, self.size = nn.Linear(4, 2), nn.Linear(4, 1)

        def forward(self, x):
            return {"kind": self.kind(x), "size": self.size(x)}

    am.manual_seed(0)
    model = Heads()
    model.compile(
        optim.SGD(lr=0.0), {"kind": "cross_entropy", "size": "mse"},
        {"kind": ["accuracy"], "size": "mae"}, loss_weights={"size": 0.5},
    )  # fmt: skip
    size = X.sum(1, keepdims=True)
    logs = model.fit(X, {"size": size, "kind": Y}, verbose=0).history
    assert set(logs) == {"loss", "kind_loss", "size_loss", "kind_accuracy", "size_mae"}
    out = model.predict(X)
    assert logs["size_mae"][0] == pytest.approx(np.abs(out["size"] - size).mean(), rel=1e-5)
    assert logs["kind_accuracy"][0] == pytest.approx((out["kind"].argmax(1) == Y).mean())
    assert logs["loss"][0] == pytest.approx(logs["kind_loss"][0] + 0.5 * logs["size_loss"][0])
    with pytest.raises(ValueError, match="Did you mean 'size'"):
        model.fit(X, {"sise": size, "kind": Y}, verbose=0)


def test_single_batches():
    model, twin = network(), network()
    for start in range(0, 32, 16):
        x, y = X[start : start + 16], Y[start : start + 16]
        found = model.train_on_batch(x, y, return_dict=True)
        listed = twin.train_on_batch(x, y)
        assert list(found.values()) == listed
    same(model, twin)
    fitted = network()
    fitted.fit(X[:32], Y[:32], batch_size=16, shuffle=False, verbose=0)
    same(model, fitted)
    assert model.test_on_batch(X, Y, return_dict=True) == model.evaluate(X, Y)
    np.testing.assert_array_equal(model.predict_on_batch(X), model.predict(X, batch_size=7))


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_training_goes_on_from_any_step_with_the_same_bits(accumulate):
    def options():
        return {
            "batch_size": 8, "epochs": 3, "accumulate": accumulate, "verbose": 0,
            "validation_data": (X, Y),
        }  # fmt: skip

    whole, states = network(dropout=0.3), []

    class Take(am.Callback):
        def on_train_batch_end(self, batch, logs=None):
            states.append(self.model.run.state_dict())

    wanted = whole.fit(X, Y, callbacks=[Take()], **options())
    assert len(states) == 3 * 7
    for number in (0, 6, 10, 20):
        am.manual_seed(99)
        model = network(dropout=0.3)
        found = model.fit(X, Y, resume=states[number], **options())
        same(model, whole)
        assert found.history == wanted.history


def test_metrics_of_one_name_and_what_keras_calls_otherwise():
    model = network(metrics=["accuracy", "accuracy"], weighted_metrics=["accuracy"] * 2)
    logs = model.fit(X, Y, sample_weight=W, **PLAIN).history
    assert len(logs) == 5
    assert logs["accuracy"] == logs["accuracy_1"] != logs["weighted_accuracy"]
    with pytest.raises(AttributeError, match=r"save_weights.*am\.save\(model\.state_dict\(\)"):
        model.save_weights("m")
    assert not hasattr(model, "count_params")
    with pytest.raises(ValueError, match="got validation_data without targets"):
        model.fit(X, Y, validation_data=X, verbose=0)
