"""The same numbers into Keras's callbacks and into ours: rates, epochs, lines and file names."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest

import ambos as am
from ambos import callbacks

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")
# Keras hands NumPy its variables in the way of NumPy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RANDOM = np.random.default_rng(11)
FALLING = np.exp(-np.arange(12) / 4)
SERIES = {
    "falling": FALLING,
    "noisy": FALLING + RANDOM.normal(size=12) * 0.1,
    "rising": FALLING[::-1],
    "flat": np.full(12, 0.5),
    "late": np.r_[np.full(6, 1.0), FALLING[:6]],
}


class Rate:
    """What both libraries' callbacks change."""

    def __init__(self):
        self.param_groups = [{"lr": 0.1}]

    @property
    def learning_rate(self):
        return self.param_groups[0]["lr"]

    @learning_rate.setter
    def learning_rate(self, value):
        self.param_groups[0]["lr"] = float(value)

    lr = learning_rate


class Model:
    """Enough of a model: a rate, one weight that counts epochs, and files that it only notes."""

    def __init__(self):
        self.optimizer, self.stop_training = Rate(), False
        self.plan, self.weight, self.saved = SimpleNamespace(schedule=None), 0, []

    def get_weights(self):
        return self.weight

    def set_weights(self, weight):
        self.weight = weight

    def state_dict(self):
        return {"weight": self.weight}

    def load_state_dict(self, state):
        self.weight = state["weight"]

    def save(self, path, overwrite=True):
        self.saved.append(os.path.basename(path).split(".keras")[0])


def trained(callback, series, monitor="val_loss"):
    """Epochs as `fit` would run them, until somebody stops."""
    model, rates = Model(), []
    callback.set_model(model)
    callback.set_params({"epochs": len(series)})
    callback.on_train_begin()
    for epoch, value in enumerate(series):
        model.weight = epoch
        callback.on_epoch_begin(epoch)
        for batch in range(3):
            callback.on_train_batch_end(batch, {"loss": float(value) + 1})
        callback.on_epoch_end(epoch, {"loss": float(value) + 1, monitor: float(value)})
        rates.append(model.optimizer.learning_rate)
        if model.stop_training:
            break
    callback.on_train_end()
    return model, rates


STOPPING = [
    {},
    {"patience": 2},
    {"patience": 1, "min_delta": 0.05, "restore_best_weights": True},
    {"patience": 3, "mode": "max", "restore_best_weights": True},
    {"patience": 2, "baseline": 0.3, "restore_best_weights": True},
    {"patience": 1, "start_from_epoch": 4, "restore_best_weights": True},
]


@pytest.mark.parametrize("name", SERIES)
def test_early_stopping_stops_at_the_same_epoch_with_the_same_weights(name):
    for settings in STOPPING:
        theirs = keras.callbacks.EarlyStopping(**settings)
        ours = callbacks.EarlyStopping(**settings)
        model, rates = trained(theirs, SERIES[name])
        found, own = trained(ours, SERIES[name])
        assert (len(own), found.weight) == (len(rates), model.weight), settings
        assert ours.stopped_epoch == theirs.stopped_epoch
        assert float(ours.best) == pytest.approx(float(theirs.best))


# Numbers of a grid, whose ties and margins are ties and margins in float32 as in float64.
GRID, CASES = 1 / 16, range(40)


def drawn(case):
    """A random course of 2 to 24 epochs, some of them without a number, and a source of more."""
    random = np.random.default_rng(case)
    length = int(random.integers(2, 25))
    steps = random.integers(-2, 3, length)
    steps[0] += 20
    series = steps.cumsum() * GRID
    spoilt = random.random(length) < random.choice([0.0, 0.2])
    series[1:][spoilt[1:]] = np.nan
    return series, random


@pytest.mark.parametrize("case", CASES)
def test_early_stopping_decides_as_keras_does(case):
    series, random = drawn(case)
    settings = {
        "patience": int(random.integers(0, 5)), "mode": str(random.choice(["auto", "min", "max"])),
        "min_delta": float(random.integers(-2, 3) * GRID),
        "baseline": random.choice([None, 20 * GRID, 18 * GRID]),
        "restore_best_weights": bool(random.integers(2)),
        "start_from_epoch": int(random.integers(0, 4)),
    }  # fmt: skip
    theirs, ours = keras.callbacks.EarlyStopping(**settings), callbacks.EarlyStopping(**settings)
    if np.isnan(series[settings["start_from_epoch"] :][:1]).any():
        series[:] = np.nan_to_num(series)  # a first NaN is the best there: nothing is better
    model, rates = trained(theirs, series)
    found, own = trained(ours, series)
    assert (len(own), found.weight) == (len(rates), model.weight), settings
    for name in ("stopped_epoch", "best_epoch", "wait", "best"):
        assert getattr(ours, name) == getattr(theirs, name), (name, settings)


@pytest.mark.parametrize("case", CASES)
def test_plateaus_are_those_of_keras(case):
    series, random = drawn(case)
    settings = {
        "patience": int(random.integers(0, 4)), "mode": str(random.choice(["auto", "min", "max"])),
        "min_delta": float(random.integers(-2, 3) * GRID), "cooldown": int(random.integers(0, 4)),
        "factor": float(random.choice([0.1, 0.5, 0.9])), "min_lr": float(random.choice([0, 0.03])),
    }  # fmt: skip
    wanted = trained(keras.callbacks.ReduceLROnPlateau(**settings), series)[1]
    found = trained(callbacks.ReduceLROnPlateau(**settings), series)[1]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, err_msg=str(settings))


@pytest.mark.parametrize("case", CASES)
def test_files_are_those_of_keras(case):
    series, random = drawn(case)
    settings = {
        "save_best_only": bool(random.integers(2)),
        "mode": str(random.choice(["auto", "min", "max"])),
        "initial_value_threshold": random.choice([None, 20 * GRID, 18 * GRID]),
        "filepath": str(random.choice(["{epoch}.keras", "{epoch:03d}-{val_loss:.4f}.keras"])),
    }  # fmt: skip
    if not settings["save_best_only"] and random.integers(2):
        settings |= {
            "save_freq": int(random.integers(1, 8)),
            "filepath": "{epoch}-{batch:02d}.keras",
        }
    series[:] = np.nan_to_num(series)
    model, _ = trained(keras.callbacks.ModelCheckpoint(**settings), series)
    settings["filepath"] = settings["filepath"].replace(".keras", ".safetensors")
    found, _ = trained(callbacks.ModelCheckpoint(**settings), series)
    assert [saved.removesuffix(".safetensors") for saved in found.saved] == model.saved, settings


PLATEAUS = [
    {"patience": 1},
    {"patience": 2, "factor": 0.5, "cooldown": 2},
    {"patience": 1, "factor": 0.3, "min_lr": 0.02, "min_delta": 0.05},
    {"patience": 2, "mode": "max", "cooldown": 1},
]


@pytest.mark.parametrize("name", SERIES)
def test_rates_on_a_plateau_are_the_same(name):
    for settings in PLATEAUS:
        wanted = trained(keras.callbacks.ReduceLROnPlateau(**settings), SERIES[name])[1]
        found = trained(callbacks.ReduceLROnPlateau(**settings), SERIES[name])[1]
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_scheduled_rates_are_the_same():
    for schedule in (lambda epoch: 0.1 / (epoch + 1), lambda epoch, rate: rate * 0.9):
        wanted = trained(keras.callbacks.LearningRateScheduler(schedule), FALLING)[1]
        found = trained(callbacks.LearningRateScheduler(schedule), FALLING)[1]
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("name", SERIES)
def test_checkpoints_bear_the_same_names(name):
    for settings in (
        {},
        {"save_best_only": True},
        {"save_best_only": True, "mode": "max"},
        {"save_best_only": True, "initial_value_threshold": 0.6},
        {"save_freq": 4, "filepath": "{epoch:02d}-{batch:03d}-{loss:.3f}.keras"},
    ):
        given = {"filepath": "at-{epoch:02d}-{val_loss:.2f}.keras", **settings}
        model, _ = trained(keras.callbacks.ModelCheckpoint(**given), SERIES[name])
        given["filepath"] = given["filepath"].replace(".keras", ".safetensors")
        found, _ = trained(callbacks.ModelCheckpoint(**given), SERIES[name])
        assert [saved.removesuffix(".safetensors") for saved in found.saved] == model.saved


LINES = [
    {"loss": 0.5, "accuracy": 0.25, "lr": np.float64(0.125)},
    {"loss": 1 / 3, "accuracy": 1, "val_loss": 2.0},
    {"loss": [1.0, 2.0], "accuracy": "none"},
]


def test_lines_of_the_csv_file_are_the_same(tmp_path):
    for number, settings in enumerate(({}, {"separator": ";"})):
        for order in (LINES, LINES[::-1], LINES[1:]):
            files = [tmp_path / f"{number}-{len(order)}-{name}.csv" for name in ("theirs", "ours")]
            makers = (keras.callbacks.CSVLogger, callbacks.CSVLogger)
            for make, file in zip(makers, files, strict=True):
                for append in (False, True):  # twice: the second goes on
                    logger = make(str(file), append=append, **settings)
                    logger.on_train_begin()
                    for epoch, logs in enumerate(order):
                        logger.on_epoch_end(epoch, dict(logs))
                    logger.on_train_end()
            assert files[0].read_bytes() == files[1].read_bytes()


def test_nan_ends_training_after_the_same_batch(capsys):
    for value in (1.0, float("nan"), float("inf")):
        stopped = []
        for make in (keras.callbacks.TerminateOnNaN, callbacks.TerminateOnNaN):
            callback = make()
            callback.set_model(Model())
            callback.on_train_batch_end(3, {"loss": value})
            stopped.append(callback.model.stop_training)
        assert stopped[0] == stopped[1] == (value != 1.0)
    assert capsys.readouterr().out.count("after batch 3") == 2


def test_backups_are_written_after_the_same_batches(tmp_path):
    for freq in ("epoch", 1, 2, 5, 7):
        theirs = keras.callbacks.BackupAndRestore(str(tmp_path / "here"), save_freq=freq)
        ours = callbacks.BackupAndRestore(tmp_path / "here", save_freq=freq)
        wanted, found, place = [], [], {}
        theirs._save_model = lambda wanted=wanted, place=place: wanted.append(dict(place))
        ours.checkpoints.write = found.append
        ours.set_model(SimpleNamespace(run=SimpleNamespace(state_dict=lambda p=place: dict(p))))
        for epoch in range(4):
            for batch in range(3):
                place |= {"epoch": epoch, "batch": batch}
                for callback in (theirs, ours):
                    callback.on_train_batch_end(batch)
            place["batch"] = None
            for callback in (theirs, ours):
                callback.on_epoch_end(epoch)
        assert found == wanted, freq
        assert wanted


def test_functions_take_the_places_of_hooks_in_the_order_of_keras():
    said = []
    functions = [lambda *given, n=n: said.append(n) for n in range(6)]
    for make in (keras.callbacks.LambdaCallback, callbacks.LambdaCallback):
        callback = make(*functions, on_test_begin=lambda logs: said.append("test"))
        trained(callback, [1.0])
        callback.on_test_begin({})
    assert said == [2, 0, 5, 5, 5, 1, 3, "test"] * 2


@pytest.mark.parametrize("swap", [False, True])
def test_averages_of_weights_are_those_of_keras(swap):
    """Their momentum is the optimizer's."""
    x = RANDOM.normal(size=(20, 3)).astype(np.float32)
    y = (x @ np.ones((3, 1))).astype(np.float32)
    theirs = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    theirs.set_weights([np.zeros((3, 1), np.float32), np.zeros(1, np.float32)])
    rule = keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.8)
    theirs.compile(rule, "mse")
    ours = am.Sequential([am.nn.Linear(3, 1)])
    ours[0].weight.data, ours[0].bias.data = am.zeros(1, 3), am.zeros(1)
    ours.compile(am.optim.SGD(lr=0.05), "mse")
    arguments = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0,
                 "validation_data": (x[:7], y[:7])}  # fmt: skip
    makers = {theirs: keras.callbacks.SwapEMAWeights(swap_on_epoch=swap),
              ours: callbacks.SwapEMAWeights(0.8, swap_on_epoch=swap)}  # fmt: skip
    seen = {}
    for model, average in makers.items():
        history = model.fit(x, y, callbacks=[average], **arguments).history
        seen[model] = history["loss"], history["val_loss"]
    np.testing.assert_allclose(seen[ours], seen[theirs], rtol=1e-5)
    kernel, bias = theirs.get_weights()
    np.testing.assert_allclose(ours[0].weight.numpy(), kernel.T, rtol=1e-5)
    np.testing.assert_allclose(ours[0].bias.numpy(), bias, rtol=1e-5)
    with pytest.raises(ValueError, match=r"momentum is True.*or swap_on_epoch=True"):
        callbacks.SwapEMAWeights(True)
