"""Callbacks in `fit`: what they do to the model, going on after a crash, and wrong use."""

from __future__ import annotations

import contextlib
import json
import resource

import numpy as np
import pytest

import ambos as am
from ambos import callbacks, nn
from ambos.train.callbacks.base import HOOKS

X = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
Y = X.sum(1, keepdims=True)


def compiled(**settings):
    am.manual_seed(1)
    model = am.Sequential([nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)])
    model.compile(am.optim.SGD(lr=0.1), "mse", **{"metrics": ["mae"], **settings})
    return model


def fitted(*given, model=None, **settings):
    model = model or compiled()
    known = {"epochs": 4, "batch_size": 16, "verbose": 0, "shuffle": False, **settings}
    return model, model.fit(X, Y, callbacks=list(given), **known)


class Weights(am.Callback):
    """The first layer's weight after every batch."""

    def __init__(self):
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(self.model.get_parameter("0.weight").numpy().copy())


def test_averages_of_weights_are_evaluated_and_left_in_the_model():
    seen, tested = Weights(), []
    average = callbacks.SwapEMAWeights(momentum=0.8)
    look = callbacks.LambdaCallback(
        on_test_end=lambda logs: tested.append(average.model.get_parameter("0.weight").numpy())
    )
    look_first = [look, average]  # `look` is told first, while the averages are in the model
    model, _ = fitted(seen, *look_first, validation_data=(X, Y))
    wanted, each = seen.values[0], []
    for number, value in enumerate(seen.values):
        wanted = wanted * np.float32(0.8) + value * np.float32(0.2) if number else value
        each.append(wanted)
    np.testing.assert_allclose(model.get_parameter("0.weight").numpy(), wanted, rtol=1e-5)
    np.testing.assert_allclose(tested, each[2::3], rtol=1e-5)
    plain = Weights()
    fitted(plain)  # training itself goes on with its own weights
    np.testing.assert_array_equal(plain.values, seen.values)


def test_the_mean_of_the_last_epochs_and_its_rates():
    seen = Weights()
    mean = callbacks.StochasticWeightAveraging(0.01, swa_epoch_start=0.5, annealing_epochs=2)
    rates = []
    look = callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: rates.append(mean.model.optimizer.lr)
    )
    model, _ = fitted(seen, mean, look, epochs=6)
    ends = seen.values[2::3][3:]
    np.testing.assert_allclose(model.get_parameter("0.weight").numpy(), np.mean(ends, 0), rtol=1e-5)
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.1, 0.1, 0.055, 0.01], rtol=1e-6)


def test_batch_normalization_of_averaged_weights_is_taken_anew_or_warned_of():
    def model():
        found = am.Sequential([nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)])
        found.compile("sgd", "mse")
        return found

    with pytest.warns(UserWarning, match="statistics of batch normalization are those of the last"):
        fitted(callbacks.StochasticWeightAveraging(), model=model())
    taken = callbacks.StochasticWeightAveraging(data=[am.tensor(X)])
    trained, _ = fitted(taken, model=model())
    hidden = (
        X @ trained.get_parameter("0.weight").numpy().T + trained.get_parameter("0.bias").numpy()
    )
    found = trained.get_buffer("1.running_mean").numpy()
    np.testing.assert_allclose(found, hidden.mean(0), rtol=1e-4, atol=1e-5)


def test_finding_a_rate_leaves_model_optimizer_and_randomness_as_they_were():
    model = compiled()
    fitted(model=model)
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    state = model.optimizer.state_dict()
    draw = am.random.key
    finder = callbacks.LRFinder(1e-4, 50.0, num_steps=40)
    am.manual_seed(5)
    fitted(finder, model=model, epochs=20)
    drawn = am.rand(3).tolist()
    am.manual_seed(5)
    assert drawn == am.rand(3).tolist(), draw
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert model.optimizer.lr == 0.1
    assert model.optimizer.state_dict()["param_groups"] == state["param_groups"]
    assert len(finder.rates) < 40 < 20 * 3  # it diverged before the last step
    assert finder.rates[:2] == pytest.approx([1e-4, 1e-4 * (50 / 1e-4) ** (1 / 39)])
    assert 1e-3 < finder.suggestion() < 10
    figure = finder.plot()
    assert figure.axes[0].get_xscale() == "log"
    with pytest.raises(ValueError, match=r"suggestion: .* steps were made; need more than 101"):
        finder.suggestion(skip_begin=99)


def test_losses_of_the_finder_are_those_of_each_batch():
    finder = callbacks.LRFinder(1e-12, 1e-11, num_steps=6, beta=0.0)  # rates that change nothing
    model = compiled()
    fitted(finder, model=model)
    wanted = [((model.predict(X[i : i + 16]) - Y[i : i + 16]) ** 2).mean() for i in (0, 16, 32)]
    np.testing.assert_allclose(finder.losses, wanted * 2, rtol=1e-5)


def test_checkpoints_of_weights_and_of_models_can_be_loaded(tmp_path):
    best = callbacks.ModelCheckpoint(
        tmp_path / "deep" / "best", monitor="mae", save_best_only=True, save_weights_only=True
    )
    every = callbacks.ModelCheckpoint(f"{tmp_path}/at-{{epoch}}-{{batch}}", save_freq=5)
    model, history = fitted(best, every)
    assert min(history.history["mae"]) == best.best == history.history["mae"][-1]
    other = compiled()
    other.load_state_dict(am.load(tmp_path / "deep" / "best.safetensors"))
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    names = sorted(path.name for path in tmp_path.glob("at-*"))
    assert names == ["at-2-2.safetensors", "at-4-1.safetensors"]
    assert am.Model.load(tmp_path / names[0]).predict(X).shape == (48, 1)


def test_norms_of_gradients_are_those_of_the_plain_loop_and_stay_out_of_later_trainings():
    model, history = fitted(
        callbacks.GradientNorms(each=True), epochs=1, batch_size=48, clip_norm=0.01
    )
    plain = compiled()
    ((plain(am.tensor(X)) - am.tensor(Y)) ** 2).mean().backward()
    grads = {name: p.grad.numpy() for name, p in plain.named_parameters()}
    found = history.history
    whole = np.sqrt(sum((grad.astype(np.float64) ** 2).sum() for grad in grads.values()))
    assert found["grad_norm"][0] == pytest.approx(whole, rel=1e-5)
    for name, grad in grads.items():
        assert found[f"grad_norm/{name}"][0] == pytest.approx(np.linalg.norm(grad), rel=1e-5)
    _, later = fitted(model=model)
    assert not [name for name in later.history if "grad" in name]


def test_the_largest_batch_that_fits_is_trained_with():
    model = am.Sequential([nn.Linear(3, 256), nn.ReLU(), nn.Linear(256, 1)])
    model.compile("sgd", "mse", metrics=["mae", "r2"])
    before = model.state_dict()["0.weight"].numpy().copy()
    finder = callbacks.BatchSizeFinder(nbytes=1 << 17)
    steps = []
    look = callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: steps.append(
            (finder.params["steps"], model.get_parameter("0.weight").numpy())
        )
    )
    x = np.tile(X, (20, 1))
    model.fit(x, x[:, :1], epochs=1, verbose=0, callbacks=[finder, look])
    assert finder.batch_size in (16, 32, 64)  # of 256 float32 a row, forward and backward
    assert steps[0][0] == len(x) / finder.batch_size
    np.testing.assert_array_equal(steps[0][1], before)
    with pytest.raises(ValueError, match="a batch of 1 does not fit into 4096 bytes"):
        model.fit(x, x[:, :1], verbose=0, callbacks=[callbacks.BatchSizeFinder(nbytes=4096)])
    with pytest.raises(ValueError, match="data comes in batches"):
        model.fit([(x, x[:, :1])], verbose=0, callbacks=[callbacks.BatchSizeFinder()])


class Fails(am.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise KeyError("mine")


def test_an_error_leaves_everything_in_order(tmp_path):
    model = compiled()
    before = model.get_parameter("0.weight").numpy().copy()
    logger = callbacks.CSVLogger(tmp_path / "log.csv")
    given = [callbacks.LRFinder(), callbacks.GradientNorms(), logger, Fails()]
    with pytest.raises(KeyError, match="mine"):
        fitted(*given, model=model)
    np.testing.assert_array_equal(model.get_parameter("0.weight").numpy(), before)
    assert model.optimizer.lr == 0.1
    assert logger.file is None
    _, history = fitted(model=model)
    assert list(history.history) == ["loss", "mae"]


def test_a_full_disk_is_said_once_and_training_goes_on(tmp_path):
    logger = callbacks.CSVLogger("/dev/full")
    with pytest.warns(UserWarning, match="CSVLogger: cannot write /dev/full: No space") as said:
        _, history = fitted(logger)
    assert (len(said), len(history.epoch)) == (1, 4)
    best = callbacks.ModelCheckpoint(tmp_path / "best", "loss", save_best_only=True)
    limits, room = resource.getrlimit(resource.RLIMIT_FSIZE), []

    def limit(epoch, logs):  # files may be so long from the third epoch on
        room.append(len(list(tmp_path.iterdir())))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits[0] if epoch > 1 else 100, limits[1]))

    try:
        with pytest.warns(UserWarning, match="ModelCheckpoint: cannot write .*best") as said:
            model, _ = fitted(callbacks.LambdaCallback(on_epoch_begin=limit), best)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (len(said), room) == (1, [0, 0, 0, 1])  # and no part of a file was left
    found = am.Model.load(tmp_path / "best.safetensors").predict(X)
    np.testing.assert_array_equal(found, model.predict(X))


def test_numbers_of_validation_may_come_every_few_epochs():
    stop = callbacks.EarlyStopping("val_mae", mode="max", patience=1)
    _, history = fitted(stop, validation_data=(X, Y), validation_freq=2, epochs=9)
    assert len(history.epoch) == 4  # the second validation was no larger
    assert len(history.history["val_mae"]) == 2


def test_a_profile_of_chosen_steps_is_a_trace(tmp_path):
    profiler = callbacks.Profiler(tmp_path / "trace.json", start=4, stop=6)
    fitted(profiler)
    assert profiler.profile.rows
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


def test_a_timer_counts_epochs_and_ends_training(capsys):
    timer = callbacks.Timer()
    _, history = fitted(timer, validation_data=(X, Y))
    assert len(history.history["time"]) == 4
    assert 0 < timer.validation < timer.elapsed
    assert timer.elapsed == pytest.approx(sum(history.history["time"]), rel=0.5, abs=0.1)
    out = callbacks.Timer(0.0)
    _, history = fitted(out)
    assert len(history.history["loss"]) == 1
    assert out.remaining == 0.0
    assert capsys.readouterr().out.count("training ends") == 1


STATES = {
    "EarlyStopping": {"monitor": "loss", "patience": 3, "restore_best_weights": True},
    "ReduceLROnPlateau": {"monitor": "loss", "patience": 2, "min_delta": 0.01},
    "ModelCheckpoint": {"filepath": "best", "monitor": "loss", "save_best_only": True},
}
LOSSES = [3.0, 2.0, 2.5, 2.4, 2.3, 2.2, 1.9, 1.95, 1.96, 1.97, 1.98]


@pytest.mark.parametrize("name", STATES)
def test_a_resumed_training_goes_on_as_the_uninterrupted_one(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make = getattr(callbacks, name)

    def run(callback, model, epochs):
        callback.set_model(model)
        model.__dict__.setdefault("stop_training", False)
        found = []
        callback.on_train_begin()
        for epoch in epochs:
            callback.on_epoch_begin(epoch)
            callback.on_epoch_end(epoch, {"loss": LOSSES[epoch]})
            state = {k: v for k, v in callback.state_dict().items() if "weights" not in k}
            found.append((state, model.optimizer.lr, model.stop_training))
        return found

    whole = run(make(**STATES[name]), compiled(), range(len(LOSSES)))
    for cut in (1, 4, 7):
        first, model = make(**STATES[name]), compiled()
        parts = run(first, model, range(cut))
        second = make(**STATES[name])
        second.load_state_dict(first.state_dict())
        assert parts + run(second, model, range(cut, len(LOSSES))) == whole
        second.on_train_end()
        second.on_train_begin()  # another training begins anew
        assert second.best is None


class Take(am.Callback):
    """The state of the run after some batches, and after some epochs."""

    def __init__(self):
        self.states = []

    def on_train_batch_end(self, batch, logs=None):
        if len(self.states) in (0, 1):
            self.states.append(self.model.run.state_dict())

    def on_epoch_end(self, epoch, logs=None):
        if epoch in (1, 3):
            self.states.append(self.model.run.state_dict())


@pytest.mark.filterwarnings("ignore:StochasticWeightAveraging. EarlyStopping leaves")
def test_fit_goes_on_with_averages_of_weights_bit_by_bit(tmp_path):
    def given():
        return [
            callbacks.SwapEMAWeights(0.9, swap_on_epoch=True),
            callbacks.StochasticWeightAveraging(0.01, 0.5, 2),
            callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=0.05),
            callbacks.GradientNorms(),
            callbacks.BatchSizeFinder(max_size=16),
            callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True),
        ]

    taken, settings = Take(), {"epochs": 5, "shuffle": True, "seed": 3}
    whole, history = fitted(*given(), taken, **settings)
    assert len(taken.states) == 4
    for state in taken.states:
        am.save({"callbacks": state["callbacks"]}, tmp_path / "state.safetensors")
        state = state | am.load(tmp_path / "state.safetensors")
        again, found = fitted(*given(), resume=state, **settings)
        for name, value in whole.state_dict().items():
            np.testing.assert_array_equal(again.state_dict()[name].numpy(), value.numpy())
        for name, values in history.history.items():
            assert found.history[name][-1] == values[-1], name


def test_a_resumed_log_has_every_epoch_once(tmp_path):
    file = tmp_path / "log.csv"
    logger = callbacks.CSVLogger(file)
    logger.on_train_begin()
    for epoch in range(3):
        logger.on_epoch_end(epoch, {"loss": epoch / 2})
        if epoch == 1:
            saved = logger.state_dict()  # and then there is a crash, one line later
    logger.on_train_end()
    for number in range(2):
        again = callbacks.CSVLogger(file)
        again.load_state_dict(saved)
        again.on_train_begin()
        again.on_epoch_end(2, {"loss": 1.0})
        again.on_train_end()
        lines = file.read_text().split()
        assert lines == ["epoch,loss,val_loss", "0,0.0,NA", "1,0.5,NA", "2,1.0,NA"], number
    file.unlink()
    again = callbacks.CSVLogger(file)
    again.load_state_dict(saved)
    again.on_train_begin()
    again.on_epoch_end(2, {"loss": 1.0})
    again.on_train_end()
    assert file.read_text().split() == ["epoch,loss,val_loss", "2,1.0,NA"]


def test_nan_is_never_the_best():
    stop = callbacks.EarlyStopping("loss", patience=2)
    stop.set_model(compiled())
    stop.on_train_begin()
    for epoch, loss in enumerate([float("nan"), 2.0, 1.0]):
        stop.on_epoch_end(epoch, {"loss": loss})
    assert stop.best == 1.0
    assert stop.wait == 0


WRONG = {
    "monitor": (lambda: callbacks.EarlyStopping("val_mse"), "known: mae, loss"),
    "direction": (lambda: callbacks.EarlyStopping("off", mode="auto"), "no 'off' in this training"),
    "mode": (lambda: callbacks.EarlyStopping(mode="maxi"), "need auto, min or max. Did you mean"),
    "patience": (lambda: callbacks.EarlyStopping(patience=-1), "patience is -1; need an integer"),
    "factor": (lambda: callbacks.ReduceLROnPlateau(factor=2), "need a number between 0 and 1"),
    "schedule": (lambda: callbacks.LearningRateScheduler(0.1), "need a function, such as"),
    "rate": (lambda: callbacks.LearningRateScheduler(lambda e: "x"), r"schedule\(0\) gave 'x'"),
    "field": (lambda: callbacks.ModelCheckpoint("{epok}"), "asks for 'epok'; known: epoch"),
    "braces": (lambda: callbacks.ModelCheckpoint("{epoch"), "need names in braces"),
    "frequency": (lambda: callbacks.ModelCheckpoint("a", save_freq="batch"), "need 'epoch' or a"),
    "hook": (lambda: callbacks.LambdaCallback(on_epoch=print), "Did you mean 'on_epoch_"),
    "no hook": (lambda: callbacks.LambdaCallback(on_epoch_end=3), "is int; need a function"),
    "range": (lambda: callbacks.LRFinder(1.0, 0.1), "need 0 < min_lr < max_lr"),
    "duration": (lambda: callbacks.Timer("1 hour"), "need seconds, a timedelta or 'dd:hh:mm:ss'"),
    "start": (lambda: callbacks.StochasticWeightAveraging(swa_epoch_start=1.5), "a share of them"),
    "steps": (lambda: callbacks.Profiler("a", start=3, stop=2), "need a later stop"),
    "momentum": (lambda: callbacks.EMA(momentum=2), "need a number from 0 to 1"),
    "separator": (lambda: callbacks.CSVLogger("a", separator="--"), "need one character"),
    "name": (lambda: callbacks.EarlyStoping, "Did you mean 'EarlyStopping'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_answered(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, message = WRONG[name]
    with pytest.raises(am.errors.AmbosError, match=message):
        fitted(make(), epochs=1)


@pytest.mark.parametrize(
    "make", [callbacks.ModelCheckpoint, callbacks.CSVLogger, callbacks.Profiler]
)
def test_a_place_that_cannot_be_written_is_refused_before_training(make, tmp_path):
    (tmp_path / "file").write_text("")
    model, seen = compiled(), Weights()
    for path in (tmp_path, tmp_path / "file" / "inside"):
        with pytest.raises((OSError, ValueError)):
            fitted(seen, make(path), model=model)
    assert seen.values == []


def test_a_direction_nobody_knows_is_asked_for():
    def off(output, target):
        return (output - target).abs().max()

    stop = callbacks.EarlyStopping("off")
    with pytest.raises(ValueError, match="cannot tell whether 'off' should grow or shrink"):
        fitted(stop, callbacks.EarlyStopping("loss"), model=compiled(metrics=[off]), epochs=2)


def test_every_callback_is_public_and_has_hooks():
    for name in callbacks.__all__:
        found = getattr(callbacks, name)
        if name not in ("Callback", "CallbackList", "LambdaCallback"):
            assert any(getattr(found, hook) is not getattr(am.Callback, hook) for hook in HOOKS)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("swap_on_epoch", [True, False])
def test_the_best_weights_are_those_that_were_evaluated(first, swap_on_epoch, tmp_path):
    def order(*given):
        average = callbacks.SwapEMAWeights(0.7, swap_on_epoch=swap_on_epoch)
        return [average, *given] if first else [*given, average]

    held_out = (X[:8], Y[:8] + 0.5)  # which gets worse again
    stop = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    keep = callbacks.ModelCheckpoint(tmp_path / "best", save_best_only=True)
    bare = callbacks.ModelCheckpoint(tmp_path / "bare", save_best_only=True, save_weights_only=True)
    every = callbacks.ModelCheckpoint(tmp_path / "own", monitor="loss", save_best_only=True)
    model, history = fitted(*order(stop, keep, bare, every), validation_data=held_out, epochs=9)
    losses = history.history["val_loss"]
    assert min(losses) < min(losses[-1], losses[0])  # it did get worse, and had got better
    saved = am.Model.load(tmp_path / "best.safetensors")
    loaded = compiled()
    loaded.load_state_dict(am.load(tmp_path / "bare.safetensors"))
    for found in (model, saved, loaded):
        assert found.evaluate(*held_out)["loss"] == pytest.approx(min(losses), rel=1e-6)
    # Trained weights went on as without averages.
    plain, _ = fitted(epochs=len(losses))
    own = am.load(tmp_path / "own.safetensors")
    if not (first and swap_on_epoch):  # as Keras documents: later callbacks see the averages then
        np.testing.assert_array_equal(own["0.weight"].numpy(), plain[0].weight.numpy())


@pytest.mark.parametrize("first", [True, False])
def test_weights_that_were_restored_stay_beside_a_mean(first):
    mean = callbacks.StochasticWeightAveraging(0.01, 1, 1)
    stop = callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True)
    held_out = (X[:8], Y[:8] + 0.5)
    given = [mean, stop] if first else [stop, mean]
    with pytest.warns(UserWarning, match=r"EarlyStopping.*best epoch.*not the mean"):
        model, history = fitted(*given, validation_data=held_out, epochs=6)
    found = model.evaluate(*held_out)["loss"]
    assert found == pytest.approx(min(history.history["val_loss"]), rel=1e-6)


def test_a_state_taken_at_the_end_of_an_epoch_has_that_epoch():
    """Callbacks that come before the History, which also takes what they add."""
    states = []

    class Take(am.Callback):
        def on_epoch_end(self, epoch, logs=None):
            states.append(self.model.run.state_dict())
            logs["more"] = epoch + 0.5

    model, history = fitted(Take(), epochs=3)
    assert history.history["more"] == [0.5, 1.5, 2.5]
    again = compiled()
    found = again.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0, resume=states[1])
    assert found.epoch == [0, 1, 2]
    assert found.history["loss"] == history.history["loss"]
    np.testing.assert_array_equal(again[0].weight.numpy(), model[0].weight.numpy())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_watches_every_step_is_released_after_an_error(error, tmp_path):
    from ambos.tensor import watch

    class Fail(am.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise error

    board = callbacks.TensorBoard(tmp_path / "runs", profile_batch=(1, 9), write_graph=False)
    profiler = callbacks.Profiler(tmp_path / "trace.json", start=0, stop=9)
    with contextlib.suppress(RuntimeError):
        fitted(board, profiler, Fail())
    assert not watch.watchers
    assert not board._writers
    assert profiler.profile is not None
    assert (tmp_path / "trace.json").exists()
