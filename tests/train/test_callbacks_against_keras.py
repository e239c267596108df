"""The same numbers into Keras's callbacks and into ours: rates, epochs, lines and file names."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest

from ambos import callbacks

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")

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
