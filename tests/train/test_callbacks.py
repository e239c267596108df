"""The base of callbacks: which hooks are called when, what a mistake is answered with."""

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.train.callbacks.base import HOOKS


def trained(*callbacks, **options):
    model = am.Sequential([nn.Linear(2, 1)])
    model.compile("sgd", "mse")
    x, y = np.ones((6, 2), np.float32), np.ones((6, 1), np.float32)
    fitting = {"batch_size": 3, "epochs": 2, "verbose": 0, **options}
    return model, model.fit(x, y, callbacks=list(callbacks), **fitting)


def test_hooks_are_called_in_kerass_order():
    seen = []

    class Every(am.Callback):
        pass

    for hook in HOOKS:
        if hook not in ("on_batch_begin", "on_batch_end"):
            setattr(Every, hook, lambda self, *args, hook=hook: seen.append((hook, *args[:-1])))
    every = Every()
    x = np.ones((2, 2), np.float32)
    model, _ = trained(every, epochs=1, validation_data=(x, x[:, :1]))
    batch = lambda kind, n: [(f"on_{kind}_batch_begin", n), (f"on_{kind}_batch_end", n)]
    assert seen == [
        ("on_train_begin",), ("on_epoch_begin", 0), *batch("train", 0), *batch("train", 1),
        ("on_test_begin",), *batch("test", 0), ("on_test_end",),
        ("on_epoch_end", 0), ("on_train_end",),
    ]  # fmt: skip
    assert every.model is model
    assert every.params == {"epochs": 1, "steps": 2, "verbose": 0, "validation_freq": 1}


def test_older_names_of_batch_hooks_and_numbers_that_are_read():
    seen = []

    class Old(am.Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append((batch, logs["loss"]))

    _, history = trained(Old())
    assert [batch for batch, _ in seen] == [0, 1, 0, 1]
    assert [seen[1][1], seen[3][1]] == history.history["loss"]


def test_learning_rates_are_said_as_people_write_them(capsys):
    plateau = am.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=9.0, verbose=1)
    model = am.Sequential([nn.Linear(2, 1)])
    model.compile(am.optim.SGD(model.parameters(), lr=0.003), "mse")
    rows = np.ones((6, 2), np.float32)
    model.fit(rows, rows[:, :1], epochs=2, verbose=0, callbacks=[plateau])
    schedule = am.callbacks.LearningRateScheduler(lambda epoch: 0.1 * 3, verbose=1)
    model.fit(rows, rows[:, :1], verbose=0, callbacks=[schedule])
    assert capsys.readouterr().out == (
        "Epoch 2: learning rate reduced to 0.0003.\nEpoch 1: learning rate set to 0.3.\n"
    )


def test_what_is_added_to_an_epochs_logs_is_recorded():
    class Add(am.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["rate"] = 0.5 / (epoch + 1)

    assert trained(Add())[1].history["rate"] == [0.5, 0.25]


def hook_named(name, *args):
    scope = {}
    exec(f"def {name}({', '.join(('self', *args))}): pass", scope)
    return type("Mine", (am.Callback,), {name: scope[name]})


def with_hook(name):
    callback = am.Callback()
    trained(callback)  # its class is known to be right from then on
    setattr(callback, name, lambda epoch: None)
    return callback


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (lambda: hook_named("on_epoch_ends", "epoch")(), "Did you mean 'on_epoch_end'"),
        (lambda: with_hook("on_epoch_ends"), "Did you mean 'on_epoch_end'"),
        (lambda: with_hook("on_epoch_end"), r"need def on_epoch_end\(self, epoch, logs"),
        (
            lambda: hook_named("on_epoch_end", "epoch")(),
            r"need def on_epoch_end\(self, epoch, logs",
        ),
        (lambda: am.EarlyStopping, r"need an object: EarlyStopping\(\)"),
        (lambda: "early_stopping", "a callback is str"),
    ],
)
def test_callbacks_that_could_not_work_are_refused(callback, message):
    with pytest.raises((ValueError, TypeError), match=message):
        trained(callback())


@pytest.mark.parametrize(("hook", "note"), [
    ("on_epoch_end", "in Fails.on_epoch_end (epoch 1, counted from 0)"),
    ("on_train_batch_end", "in Fails.on_train_batch_end (epoch 1, batch 0, counted from 0)"),
])  # fmt: skip
def test_an_error_in_a_hook_says_where_and_nothing_is_lost(hook, note):
    models = []

    class Fails(am.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.now = epoch

    def fails(self, number, logs=None):
        if self.now == 1:
            models.append(self.model)
            raise OSError("disk full")

    setattr(Fails, hook, fails)
    with pytest.raises(OSError, match="disk full") as caught:
        trained(Fails())
    assert note in caught.value.__notes__[0]
    (model,) = models
    assert model.history.epoch == ([0] if hook == "on_train_batch_end" else [0, 1])
    assert model.history.history["loss"]
    assert model.training
