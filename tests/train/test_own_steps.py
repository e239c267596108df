"""Models with a `train_step` of their own: data without targets, checkpoints."""

import numpy as np
import pytest

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.core.errors import ArgumentError
from ambos.data import DataLoader, Dataset

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(10, 3)).astype(np.float32)
Y = RANDOM.normal(size=(10, 1)).astype(np.float32)
PLAIN = {"batch_size": 4, "shuffle": False, "verbose": 0}


class Encoder(am.Sequential):
    """Data without targets; notes what a step was given."""

    def train_step(self, data):
        self.given.append(kind(data))
        x = data[0] if isinstance(data, tuple) else data
        loss = F.mse_loss(self(x), x)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss}

    def test_step(self, data):
        self.given.append(kind(data))
        x = data[0] if isinstance(data, tuple) else data
        return {"loss": F.mse_loss(self(x), x)}


def kind(data):
    return tuple(map(kind, data)) if isinstance(data, tuple) else type(data).__name__


def encoder():
    am.manual_seed(0)
    model = Encoder([nn.Linear(3, 3)])
    model.__dict__["given"] = []
    model.compile(optim.SGD(lr=0.1))
    return model


def in_parts(wrap=lambda x: x):
    return [wrap(X[first : first + 4]) for first in range(0, 10, 4)]


def generated():
    yield from in_parts()


SOURCES = {
    "array": (lambda: X, "Tensor"),
    "batched": (lambda: Dataset.from_tensor_slices(X).batch(4), "Tensor"),
    "examples": (lambda: Dataset.from_tensor_slices(X), "Tensor"),
    "loader": (lambda: DataLoader(X, batch_size=4), "Tensor"),
    "generator": (generated, "Tensor"),
    "tuples": (lambda: in_parts(lambda x: (x,)), ("Tensor",)),
    "batched tuples": (lambda: Dataset.from_tensor_slices((X,)).batch(4), ("Tensor",)),
    "loader of tuples": (lambda: DataLoader((X,), batch_size=4), ("Tensor",)),
}


@pytest.mark.parametrize("source", SOURCES)
def test_data_without_targets_from_anywhere(source):
    """Keras gives `x` for `fit(x)` too, and `(x,)` for batches that are tuples of one."""
    make, wanted = SOURCES[source]
    model, usual = encoder(), encoder()
    more = {"batch_size": 4} if source in ("array", "examples") else {}
    loss = model.fit(make(), shuffle=False, verbose=0, **more).history["loss"]
    assert set(model.given) == {wanted}
    assert loss == usual.fit(X, **PLAIN).history["loss"]
    np.testing.assert_array_equal(model[0].weight.numpy(), usual[0].weight.numpy())
    assert model.evaluate(make(), **more) == pytest.approx(usual.evaluate(X, batch_size=4))
    assert set(model.given) == {wanted}


@pytest.mark.parametrize(
    "data", [X, (X,), DataLoader(X, batch_size=4)], ids=["array", "tuple", "loader"]
)
def test_validation_data_without_targets(data):
    model, usual = encoder(), encoder()
    found = model.fit(X, validation_data=data, **PLAIN).history["val_loss"]
    usual.fit(X, **PLAIN)
    assert found == pytest.approx([usual.evaluate(X)["loss"]])
    assert set(model.given) == {"Tensor"}


def test_the_usual_step_takes_what_a_step_was_given():
    class Super(am.Model):
        def forward(self, a, b):
            return a * self.w + b

        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(am.ones(3))

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return (y_pred - x[0]).square().mean()

        def train_step(self, data):
            assert kind(data) == (("Tensor", "Tensor"),)  # as Keras packs several inputs
            return super().train_step(data)

    model = Super()
    model.compile("sgd")
    assert model.fit((X, X), **PLAIN).history["loss"][0] < float((X**2).mean())


def test_targets_are_needed_by_the_usual_step_and_said_to_be():
    model = am.Sequential([nn.Linear(3, 1)])
    model.compile("sgd", "mse")
    for source in (generated(), in_parts(lambda x: (x,)), DataLoader(X, batch_size=4)):
        with pytest.raises(ArgumentError, match=r"batch 0 of x is .*; need pairs \(x, y\)"):
            model.fit(source, verbose=0)
    with pytest.raises(ArgumentError, match=r"batch 0 of x is .* of 4; need pairs"):
        encoder().fit([(X, X, X, X)] * 2, verbose=0)


class Usual(am.Sequential):
    """PyTorch's order, which leaves gradients that were used up."""

    def train_step(self, data):
        x, y = data
        loss = F.mse_loss(self(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss}


class Two(am.Model):
    """Two parts in turn, each with an optimizer: the other one's gradients are left over."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(3, 3), nn.Linear(3, 1)

    def forward(self, x):
        return self.other(self.one(x))

    def compile(self):
        super().compile()
        self.rules = nn.Module()
        self.rules.one = optim.Adam(self.one.parameters(), lr=0.05)
        self.rules.other = optim.Adam(self.other.parameters(), lr=0.05)

    def train_step(self, data):
        x, y = data
        logs = {}
        for name, seen in (("other", self.one(x).detach()), ("one", self.one(x))):
            rule = getattr(self.rules, name)
            logs[name] = F.mse_loss(self.other(seen), y)
            rule.zero_grad()
            logs[name].backward()
            rule.step()
        return logs


def usual():
    model = Usual([nn.Linear(3, 2), nn.Dropout(0.5), nn.Linear(2, 1)])
    model.compile(optim.Adam(lr=0.05))
    return model


def two():
    model = Two()
    model.compile()
    return model


@pytest.mark.parametrize("make", [usual, two])
def test_gradients_that_were_used_up_are_not_written_down(make, tmp_path):
    def trained(epochs, **more):
        am.manual_seed(0)
        model = make()
        return model, model.fit(X, Y, epochs=epochs, seed=1, verbose=0, batch_size=4, **more)

    whole, _ = trained(4)
    trained(2, resume=tmp_path / "run")
    resumed, history = trained(4, resume=tmp_path / "run")
    assert history.epoch[-1] == 3
    for name, wanted in whole.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[name].numpy(), wanted.numpy(), name)

    class Backup(am.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.state = self.model.run.state_dict()

    trained(1, callbacks=[Backup()])
    trained(2, callbacks=[am.callbacks.BackupAndRestore(tmp_path / "backup")])


@pytest.mark.parametrize("source", sorted({*SOURCES} - {"generator"}))
def test_the_printed_loop_gives_the_step_the_same(source):
    make, _ = SOURCES[source]
    model, printed = encoder(), encoder()
    model.fit(make(), shuffle=False, verbose=0, epochs=2)
    exec(model.loop_source(), {"model": printed, "x": make(), "print": lambda line: None})
    assert set(printed.given) == set(model.given)
    np.testing.assert_array_equal(model[0].weight.numpy(), printed[0].weight.numpy())
