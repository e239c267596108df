"""Epochs of `steps_per_epoch` batches go on where the last one stopped, as Keras's do."""

import os
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest
import torch

import ambos as am
from ambos import nn, optim
from ambos.core.errors import ArgumentError
from ambos.data import DataLoader, Dataset

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROWS = 5
X = np.arange(ROWS, dtype=np.float32)[:, None]
Y = np.sqrt(X)  # with weights of zero, that stay so, the loss of a row is its number
SHORT = "ran out of batches"


class Seen:
    """How many batches each epoch had."""

    def on_epoch_begin(self, epoch, logs=None):
        self.counts = [*getattr(self, "counts", []), 0]

    def on_train_batch_end(self, batch, logs=None):
        self.counts[-1] += 1


class Ours(Seen, am.callbacks.Callback):
    pass


class Theirs(Seen, keras.callbacks.Callback):
    pass


class OfTorch(torch.utils.data.Dataset):
    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        return torch.tensor(X[index]), torch.tensor(Y[index])


class Uncounted:
    """Batches as often as they are asked for, nobody knows how many."""

    def __iter__(self):
        return ((X[n : n + 1], Y[n : n + 1]) for n in range(ROWS))


class Longer:
    """Says that it has four batches, and has more, as iterable datasets may."""

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return 4

    def __iter__(self):
        return iter(self.batches)


def generator(count):
    return ((X[n % ROWS][None], Y[n % ROWS][None]) for n in range(count))


def of_torch():
    return torch.utils.data.DataLoader(OfTorch(), batch_size=1)


ARRAYS = {"x": X, "y": Y, "batch_size": 1}
ENDING = {
    "arrays": lambda: ARRAYS,
    "loader": lambda: {"x": DataLoader((X, Y), batch_size=1)},
    "of torch": lambda: {"x": of_torch()},
    "dataset": lambda: {"x": Dataset.from_tensor_slices((X, Y)).batch(1)},
    "iterable": lambda: {"x": Uncounted()},
}


def seen(model, callback, arguments, **more):
    """Batches and losses of each epoch, and how often it was said that data had run out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(**arguments, **more, shuffle=False, verbose=0, callbacks=[callback])
    said = [str(each.message) for each in caught]
    losses = [round(loss, 4) for loss in history.history["loss"]]
    return callback.counts, losses, sum("ran out of" in each for each in said)


def ours(**arguments):
    model = am.Sequential([nn.Linear(1, 1, bias=False)])
    model[0].weight.data = am.zeros(1, 1)
    model.compile(optim.SGD(lr=0.0), "mse")
    return seen(model, Ours(), **arguments)


def theirs(**arguments):
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return seen(model, Theirs(), **arguments)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7])
def test_epochs_have_the_batches_that_keras_gives_them(steps):
    more = {"epochs": 4, "steps_per_epoch": steps}
    wanted = theirs(arguments=ARRAYS, **more)
    assert theirs(arguments={"x": of_torch()}, **more) == wanted  # it makes no difference there
    for kind, make in ENDING.items():
        assert ours(arguments=make(), **more) == wanted, kind


def test_a_first_epoch_that_is_not_the_first_begins_with_the_first_batch():
    more = {"epochs": 4, "initial_epoch": 1, "steps_per_epoch": 2}
    assert ours(arguments=ARRAYS, **more) == theirs(arguments=ARRAYS, **more)


def test_a_generator_goes_on_and_has_to():
    more = {"epochs": 2, "steps_per_epoch": 4}
    found, wanted = (run(arguments={"x": generator(8)}, **more) for run in (ours, theirs))
    assert found == wanted
    with pytest.raises(ArgumentError, match="x ended after batch 2 of epoch 1; need 4 batches"):
        ours(arguments={"x": generator(7)}, **more)
    with pytest.raises(ArgumentError, match="x ended after epoch 0; need 4 batches in every epoch"):
        ours(arguments={"x": generator(4)}, **more)
    with pytest.raises(ArgumentError, match="x has no batches left; a generator can be read once"):
        ours(arguments={"x": generator(0)}, **more)


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_a_source_that_goes_on_past_its_length_is_not_read_to_its_end(steps):
    more = {"epochs": 3, "steps_per_epoch": steps}
    source = Longer(generator(3 * steps + 1))  # and one, at most, where the pass might be over
    assert ours(arguments={"x": source}, **more) == theirs(
        arguments={"x": generator(3 * steps)}, **more
    )


def test_an_epoch_is_not_lost_where_nobody_knew_that_the_pass_was_over():
    """Keras gives the third epoch of an iterable of four batches none, and the loss of the one
    before."""
    four = type("Four", (), {"__iter__": lambda self: iter(list(Uncounted())[:4])})
    found = ours(arguments={"x": four()}, epochs=3, steps_per_epoch=2)
    assert found == ([2, 2, 2], [0.5, 2.5, 0.5], 0)


def test_every_validation_has_the_same_batches():
    validated = {"validation_data": (X, Y), "validation_steps": 2, "validation_batch_size": 1}
    kept = am.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: found.append(logs))
    found = []
    model = am.Sequential([nn.Linear(1, 1)])
    model.compile(optim.SGD(lr=0.0), "mse")
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[kept], **validated)
    assert len({logs["val_loss"] for logs in found}) == 1
    assert found[0]["val_loss"] == pytest.approx(model.evaluate(X[:2], Y[:2])["loss"])


def test_who_has_run_out_is_said():
    model = am.Sequential([nn.Linear(1, 1)])
    model.compile("sgd", "mse")
    of = {"batch_size": 2, "steps": 9}
    for act, told in (
        (lambda: model.evaluate(X, Y, **of), "evaluate: x ran out of batches after 3 of 9: it has"),
        (lambda: model.predict(X, **of), "predict: x ran out of batches after 3 of 9: it has 3 in"),
        (lambda: model.fit(X, Y, validation_split=0.4, validation_steps=2, verbose=0),
         "fit: validation_split ran out of batches after 1 of 2: it has 1 in all"),
    ):  # fmt: skip
        with pytest.warns(UserWarning, match=told) as caught:
            act()
        assert "epoch" not in str(caught[0].message)
    batches = ((X[:1], Y[:1]) for _ in range(4))
    with pytest.raises(ArgumentError, match="evaluate: x ended after 4 batches; need 5: a source"):
        model.evaluate(batches, steps=5)


# The same bits: where it stopped, in a loop of one's own, in the printed loop

RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(size=(22, 3)).astype(np.float32), RANDOM.normal(size=(22, 1))
PAIRS = [(A[n : n + 3], B[n : n + 3]) for n in range(0, 22, 3)]  # 8 batches
SOURCES = {
    "arrays": lambda: {"x": A, "y": B, "batch_size": 3, "seed": 4},
    "loader": lambda: {"x": DataLoader((A, B), batch_size=3, shuffle=True, seed=4)},
    "stages": lambda: {
        "x": Dataset.from_tensor_slices((A, B)).shuffle(9, seed=2).batch(3).prefetch(1)
    },
    "list": lambda: {"x": PAIRS},
    "uncounted": lambda: {"x": type("Each", (), {"__iter__": lambda self: iter(PAIRS)})()},
    "longer": lambda: {"x": Longer([PAIRS[n % 8] for n in range(1000)])},
    "generator": lambda: {"x": (PAIRS[n % 8] for n in range(1000))},
}


def network():
    am.manual_seed(0)
    model = am.Sequential([nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.25), nn.Linear(4, 1)])
    model.compile(optim.AdamW(model.parameters(), lr=0.05), "mse")
    return model


def trained(kind, callbacks=(), **more):
    model = network()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=f".*{SHORT}")
        history = model.fit(**SOURCES[kind](), epochs=5, verbose=0, callbacks=callbacks, **more)
    return [p.numpy() for p in model.parameters()], history.history["loss"]


class Keep(am.callbacks.Callback):
    """The state after each batch and each epoch, of which the last epoch's is in none."""

    def __init__(self):
        self.states = []

    def on_train_batch_end(self, batch, logs=None):
        self.states.append(self.model.run.state_dict())

    def on_epoch_end(self, epoch, logs=None):
        if epoch < 4:
            self.on_train_batch_end(0)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("kind", SOURCES)
def test_a_resumed_training_has_the_same_bits(kind, accumulate):
    more = {"steps_per_epoch": 3, "accumulate": accumulate}
    keep = Keep()
    weights, losses = trained(kind, [keep], **more)
    for state in keep.states[:: 1 if kind == "loader" else 3] + keep.states[8:11]:
        found, numbers = trained(kind, [Keep()], resume=state, **more)
        assert numbers == losses
        for one, other in zip(found, weights, strict=True):
            np.testing.assert_array_equal(one, other)


def stepped(steps):
    for step in steps:
        step.backward()
        step.update()


@pytest.mark.parametrize("kind", ["arrays", "loader", "uncounted"])
def test_loops_have_the_same_bits(kind, capsys):
    more = {"steps_per_epoch": 3, "accumulate": 2}
    weights, _ = trained(kind, **more)
    model = network()
    with pytest.warns(UserWarning, match=rf"x {SHORT} after 2 of 3: .* 8 in all; epoch 2 is"):
        stepped(am.loop(model, **SOURCES[kind](), epochs=5, **more))
    models = [model]
    if kind == "arrays":
        models.append(network())
        text = model.loop_source(epochs=5, batch_size=3, seed=4, **more)
        exec(text, {"model": models[1], "x": A, "y": B})
        assert "epoch 5: loss" in capsys.readouterr().out
    for each in models:
        for one, other in zip(each.parameters(), weights, strict=True):
            np.testing.assert_array_equal(one.numpy(), other)
