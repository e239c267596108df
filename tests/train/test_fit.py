"""compile, fit, evaluate, predict: numbers, sources of batches, display, interruption."""

import copy
import os
import pickle
import signal

import numpy as np
import pytest

import ambos as am
from ambos import nn, optim
from ambos.data import DataLoader
from ambos.tensor import realize
from ambos.tensor.recording import Recording
from ambos.train import Callback, EarlyStopping, ModelCheckpoint


def problem(count=50, seed=0):
    x = np.random.RandomState(seed).randn(count, 4)
    return x, (x[:, 0] + x[:, 1] > 0).astype(np.int64)


def network(seed=0, **options):
    am.manual_seed(seed)
    model = am.Sequential([nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(2)])
    chosen = {"optimizer": optim.Adam(lr=0.05), "loss": "cross_entropy", "metrics": ["accuracy"]}
    model.compile(**{**chosen, **options})
    return model


def test_fit_learns_and_evaluate_agrees_with_predict():
    x, y = problem(200)
    model = network()
    history = model.fit(x, y, epochs=12, batch_size=32, seed=0, verbose=0)
    assert history.epoch == list(range(12))
    assert history.history["loss"][-1] < 0.25 * history.history["loss"][0]
    found = model.evaluate(x, y, batch_size=33)
    scores = model.predict(x, batch_size=17)
    assert found["accuracy"] == pytest.approx((scores.argmax(1) == y).mean())
    assert found["accuracy"] > 0.95
    shifted = scores - scores.max(1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    assert found["loss"] == pytest.approx(-logp[np.arange(200), y].mean(), rel=1e-4)
    assert not history.interrupted


def test_scores_are_kerass_list_and_its_dictionary():
    x, y = problem(40)
    model = network()
    loss, accuracy = scores = model.evaluate(x, y)
    assert (scores["loss"], scores["accuracy"]) == (scores[0], scores[1]) == (loss, accuracy)
    assert {**scores} == dict(scores.items()) == model.evaluate(x, y, return_dict=True) == scores
    assert model.evaluate(x, y, return_dict=False) == [loss, accuracy] == scores.values()
    assert "loss" in scores
    assert "mse" not in scores
    assert scores.get("mse") is None
    assert copy.deepcopy(scores) == pickle.loads(pickle.dumps(scores)) == scores
    assert model.evaluate(x[:20], y[:20]) != scores
    with pytest.raises(
        TypeError, match=r"gave 2 numbers, loss, accuracy; need one: scores\['loss'\]"
    ):
        float(scores)
    with pytest.raises(KeyError, match="mse"):
        scores["mse"]
    model.compile("sgd", "cross_entropy")
    only = model.evaluate(x, y)
    assert float(only) == loss == model.evaluate(x, y, return_dict=False)
    assert f"{only:.3f}" == f"{loss:.3f}"
    assert f"{scores}" == str(dict(scores))
    assert (only == loss, only < loss + 1, 2 * only, only * 2, 1 - only, sum([only, only])) == (
        True, True, 2 * loss, 2 * loss, 1 - loss, 2 * loss)  # fmt: skip
    assert round(only, 2) == round(loss, 2)
    for wrong in (lambda: scores * 100, lambda: scores + scores, lambda: scores < 1):
        with pytest.raises(TypeError, match="2 numbers, loss, accuracy; need one"):
            wrong()
    doubled = am.tree.map(lambda score: 2 * score, scores)
    assert dict(doubled) == {"loss": 2 * loss, "accuracy": 2 * accuracy}
    assert am.jit(lambda found: found["loss"] * 2)(scores) == 2 * loss


def test_epoch_numbers_are_weighted_by_batch_size():
    """Without learning, the epoch's loss is the loss of all examples, short last batch or not."""
    x, y = problem(50)
    model = network(optimizer=optim.SGD(lr=0.0))
    history = model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    whole = model.evaluate(x, y, batch_size=50)
    assert history.history["loss"][0] == pytest.approx(whole["loss"], rel=1e-5)
    assert history.history["accuracy"][0] == pytest.approx(whole["accuracy"], rel=1e-6)


def test_sources_of_batches_are_equivalent():
    x, y = problem(40)
    x = x.astype(np.float32)
    pairs = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 40, 16)]
    sources = [
        (x, y), (am.tensor(x), am.tensor(y)), (x.tolist(), y.tolist()),
        (pairs,), (DataLoader((x, y), batch_size=16),), (iter(pairs * 2),),
    ]  # fmt: skip
    losses = []
    for source in sources:
        once = {"steps_per_epoch": 3} if len(source) == 1 and hasattr(source[0], "send") else {}
        if len(source) == 1 and hasattr(source[0], "__next__"):
            once = {"steps_per_epoch": 3}
        if len(source) == 2:
            once = {"batch_size": 16}
        model = network()
        history = model.fit(*source, epochs=2, shuffle=False, verbose=0, **once)
        losses.append(history.history["loss"])
    for other in losses[1:]:
        assert other == losses[0]


def test_the_same_seed_trains_the_same_bits():
    x, y = problem(50)
    runs = []
    for _ in range(2):
        model = network(seed=5)
        model.fit(x, y, epochs=2, batch_size=16, verbose=0)
        runs.append([p.numpy() for p in model.parameters()])
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_fit_equals_a_loop_written_by_hand():
    x, y = problem(50)
    x = x.astype(np.float32)
    model = network()
    history = model.fit(x, y, epochs=2, batch_size=16, seed=3, verbose=0)
    am.manual_seed(0)
    twin = nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(2))
    rule = optim.Adam(twin.parameters(), lr=0.05)
    loader = DataLoader((x, y), batch_size=16, shuffle=True, seed=3)
    means = []
    for _ in range(2):
        total = 0.0
        for bx, by in loader:
            loss = nn.functional.cross_entropy(twin(bx), by)
            rule.zero_grad()
            loss.backward()
            rule.step()
            total += loss.item() * len(by)
        means.append(total / len(x))
    assert history.history["loss"] == pytest.approx(means, rel=1e-6)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_a_step_is_one_program_and_sizes_compile_nothing(monkeypatch):
    x, y = problem(144)
    model = network()
    model.fit(x, y, batch_size=40, verbose=0)  # the last batch is short
    computed = []
    compute = realize.compute
    monkeypatch.setattr(realize, "compute", lambda roots: computed.append(1) or compute(roots))
    history = model.fit(x, y, epochs=2, batch_size=40, verbose=0)
    assert not computed
    assert not history.compilations
    other = model.fit(x, y, batch_size=48, verbose=0)
    assert [entry.compiled for entry in other.compilations] == [0]


def test_a_new_epoch_and_a_look_at_the_loss_cost_the_next_step_nothing(monkeypatch):
    x, y = problem(96)
    model, looks, seen, whole = network(), [], [], Recording._looks_same
    model.fit(x, y, verbose=0)
    look = lambda self, tensors: looks.append(len(seen)) or whole(self, tensors)
    monkeypatch.setattr(Recording, "_looks_same", look)
    reading = am.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: seen.append(
        logs["loss"]))  # fmt: skip
    history = model.fit(x, y, epochs=4, callbacks=[reading], verbose=0)
    assert [seen[2], seen[5], seen[8], seen[11]] == history.history["loss"]
    assert len(seen) == 12
    assert max(looks, default=0) <= 1


def test_validation():
    x, y = problem(50)
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append((self.training, x.shape[0]))
            return x

    model = am.Sequential([Watch(), nn.Linear(4, 2)])
    model.compile("sgd", "cross_entropy", ["accuracy"])
    history = model.fit(x, y, validation_split=0.2, batch_size=40, verbose=0)
    assert seen == [(True, 40), (False, 10)]
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    held = model.evaluate(x[40:], y[40:])
    assert history.history["val_loss"][0] == pytest.approx(held["loss"], rel=1e-6)
    other = model.fit(x, y, validation_data=(x[:10], y[:10]), verbose=0)
    assert other.history["val_loss"][0] == model.evaluate(x[:10], y[:10])["loss"]
    assert model.training


def test_piped_output_is_one_line_an_epoch(capsys):
    x, y = problem(20)
    network().fit(x, y, epochs=2, validation_split=0.5)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("\r" not in line and "\x1b" not in line for line in lines)
    assert lines[1].startswith("epoch 2/2 ")
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert f" {name} " in lines[1]
    network().fit(x, y, verbose=0)
    assert capsys.readouterr().out == ""


def test_keyboard_interrupt_keeps_the_model_and_its_history(capsys):
    x, y = problem(64)

    class Stop(Callback):
        ended = False

        def on_batch_end(self, batch, logs):
            assert logs["loss"] > 0
            if (len(self.model_history), batch) == (2, 1):
                raise KeyboardInterrupt

        def on_epoch_end(self, epoch, logs):
            self.model_history.append(logs)

        def on_train_end(self, logs=None):
            self.ended = True

    stop = Stop()
    stop.model_history = []
    model = network()
    history = model.fit(x, y, epochs=9, batch_size=16, callbacks=[stop])
    assert history.interrupted
    assert history.epoch == [0, 1]
    assert stop.ended
    assert "interrupted in epoch 3" in capsys.readouterr().out
    assert model.training
    assert model.predict(x).shape == (64, 2)
    assert not model.fit(x, y, verbose=0).interrupted


def test_a_real_ctrl_c_waits_for_the_end_of_the_batch():
    x, y = problem(64)
    batches = []

    def source():
        for start in range(0, 64, 16):
            if start == 32:
                os.kill(os.getpid(), signal.SIGINT)
            batches.append(start)
            yield x[start : start + 16], y[start : start + 16]

    model = network()
    history = model.fit(source(), steps_per_epoch=4, verbose=0)
    assert history.interrupted
    assert batches == [0, 16, 32]  # the third batch was finished
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_early_stopping_restores_the_best(tmp_path):
    x, y = problem(40)
    model = network(optimizer=optim.SGD(lr=0.5))
    x_val, y_val = problem(20, seed=9)
    stop = EarlyStopping(patience=2, restore_best_weights=True)
    keep = ModelCheckpoint(tmp_path / "best-{epoch}", save_best_only=True)
    y_bad = 1 - y_val  # what is learnt makes this worse
    history = model.fit(
        x, y, epochs=30, validation_data=(x_val, y_bad), callbacks=[stop, keep], verbose=0
    )
    assert len(history.epoch) == 3
    assert model.evaluate(x_val, y_bad)["loss"] == pytest.approx(
        min(history.history["val_loss"]), rel=1e-6
    )
    assert [p.name for p in tmp_path.iterdir()] == ["best-1.safetensors"]
    with pytest.raises(ValueError, match="Did you mean 'loss'"):
        model.fit(x, y, callbacks=[EarlyStopping("los")], verbose=0)


def test_model_wraps_and_subclasses():
    x, y = problem(30)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
    model = am.Model(net)
    assert list(model.state_dict()) == list(net.state_dict())
    assert next(model.parameters()) is net[0].weight
    before = net[0].weight.numpy()
    model.compile("adam", "cross_entropy")
    model.fit(x, y, verbose=0)
    assert (net[0].weight.numpy() != before).any()
    model.eval()
    assert not net.training
    np.testing.assert_array_equal(model.predict(x), net(am.tensor(x.astype(np.float32))).numpy())

    class Mine(am.Model):
        def __init__(self, width):
            super().__init__()
            self.body = nn.Linear(4, width)
            self.head = nn.LazyLinear(2)

        def forward(self, x):
            return self.head(self.body(x).relu())

    mine = Mine(6)
    mine.compile(loss=nn.CrossEntropyLoss(), optimizer=optim.SGD)
    assert len(mine.fit(x, y, epochs=2, verbose=0).history["loss"]) == 2


def test_regression_with_mae():
    x = np.random.RandomState(0).randn(40, 3)
    y = x @ np.array([[1.0], [2.0], [-1.0]])
    model = am.Sequential([nn.Linear(3, 1)])
    model.compile(optim.SGD(lr=0.1), "mse", ["mae"])
    history = model.fit(x, y, epochs=40, verbose=0)
    assert history.history["mae"][-1] < 0.02
    assert model.evaluate(x, y[:, 0]) == model.evaluate(x, y)
    with pytest.raises(ValueError, match="never broadcast"):
        model.fit(x, np.repeat(y, 2, 1), verbose=0)


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda m, x, y: m.fit(x, y, epoch=3), "Did you mean 'epochs'"),
        (lambda m, x, y: m.fit(x, y, batchsize=3), "Did you mean 'batch_size'"),
        (lambda m, x, y: m.compile(optimiser="sgd", loss="mse"), "Did you mean 'optimizer'"),
        (lambda m, x, y: m.compile(loss="cross_entrpy"), "Did you mean 'cross_entropy'"),
        (lambda m, x, y: m.compile(loss="mse", metrics=["acuracy"]), "Did you mean 'accuracy'"),
        (lambda m, x, y: m.compile(loss="mse", metrics="accuracy"), "need a list"),
        (lambda m, x, y: m.compile("adm", "mse"), "Did you mean 'adam'"),
        (lambda m, x, y: m.compile(3, "mse"), "the optimizer is int"),
        (lambda m, x, y: m.compile("adam"), "no loss"),
        (lambda m, x, y: m.compile(loss="sparse_categorical_crossentropy"), "take logits"),
        (lambda m, x, y: m.fit(x), "x without y"),
        (lambda m, x, y: m.fit(x, y[:3]), "y has 3 rows"),
        (lambda m, x, y: m.fit(x, y, epochs=0), "epochs is 0"),
        (lambda m, x, y: m.fit(x, y, steps_per_epoch=0), "steps_per_epoch is 0"),
        (lambda m, x, y: m.fit(x, y, verbose=7), "verbose is 7"),
        (lambda m, x, y: m.evaluate(x, y, verbose=7), "verbose is 7"),
        (lambda m, x, y: m.summary(inputs=(4,)), "Did you mean 'input'"),
        (lambda m, x, y: m.predict(3), "got int"),
        (lambda m, x, y: m.fit(3), "got int"),
        (lambda m, x, y: m.predict(iter([])), "no batches"),
        (lambda m, x, y: m.fit(x, y, validation_split=2), "validation_split is 2"),
        (lambda m, x, y: m.fit(x, y, validation_split=0.999), "one side empty"),
        (lambda m, x, y: m.fit([(x, y)], y), "y in its pairs"),
        (lambda m, x, y: m.fit([(x, y, y[:, None], y)]), "need pairs"),
        (lambda m, x, y: m.fit(iter([]), verbose=0), "no batches"),
        (lambda m, x, y: m.fit(iter([(x, y)]), epochs=2, verbose=0), "can be read once"),
        (lambda m, x, y: m.fit(x, y, callbacks=[print]), "a callback is"),
        (lambda m, x, y: m.fit(x[:0], y[:0]), "x is empty"),
        (lambda m, x, y: am.Model(3), "got int"),
        (lambda m, x, y: am.Model(nn.Linear(4, 2)).fit(x, y), "not compiled yet"),
    ],
)
def test_mistakes_are_named(do, message):
    x, y = problem(50)
    with pytest.raises((ValueError, TypeError), match=message):
        do(network(), x, y)


def test_summary_is_an_aligned_table(capsys):
    model = am.Sequential([
        nn.LazyConv2d(4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10),
    ])  # fmt: skip
    model.summary()
    assert "? has no size until the first call" in capsys.readouterr().out
    model.summary((3, 8, 8))
    text = capsys.readouterr().out
    rows = text.splitlines()
    assert len({len(row) for row in rows if row[0] == "─"}) == 1
    assert "4 (Linear)       (N, 10)            1,450  2.88 k" in text
    count = sum(p.numel() for p in model.parameters())
    assert rows[-2].startswith(f"parameters {count:,} ({count:,} trained), ")


def test_predict_takes_batches_as_fit_does():
    x, y = problem(40)
    x, model = x.astype(np.float32), network()
    whole = model.predict(x)
    for source in (
        DataLoader((x, y), batch_size=16), DataLoader(x, batch_size=16),
        [(x[:16], y[:16]), (x[16:], y[16:])], (part for part in (x[:16], x[16:])),
    ):  # fmt: skip
        np.testing.assert_array_equal(model.predict(source), whole)


def test_callbacks_are_at_hand():
    assert (am.Callback, am.EarlyStopping, am.ModelCheckpoint) == (
        Callback, EarlyStopping, ModelCheckpoint,
    )  # fmt: skip
    assert am.History is am.train.History


def test_a_step_that_looks_at_values_says_that_its_first_batch_was_met_before():
    class Looks(am.Sequential):
        def predict_step(self, data):
            seen.append(data.numpy())
            return super().predict_step(data)

    seen = []
    model = Looks([nn.Linear(2, 1)])
    with pytest.warns(UserWarning, match="run again: what it appended .* once more"):
        model.predict(np.ones((1, 2), np.float32))
    assert all(np.array_equal(rows, np.ones((1, 2))) for rows in seen)
