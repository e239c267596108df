"""Integers, weights in columns and outputs without a loss, as Keras 3 (JAX) takes them."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import ambos as am
import ambos.nn.functional as F
from ambos import nn, optim
from ambos.core.errors import ArgumentError, IndexingError

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(12, 3)).astype(np.float32)
Y = RANDOM.normal(size=(12, 2)).astype(np.float32)
LABELS = RANDOM.integers(0, 2, 12)
W = RANDOM.uniform(size=12).astype(np.float32)
KERNEL = RANDOM.normal(size=(3, 2)).astype(np.float32)
PLAIN = {"batch_size": 5, "epochs": 2, "shuffle": False, "verbose": 0}
CROSS = {"from_logits": True}
LOSSES = {
    "cross_entropy": lambda: keras.losses.SparseCategoricalCrossentropy(**CROSS),
    "bce_with_logits": lambda: keras.losses.BinaryCrossentropy(**CROSS),
    "mse": lambda: "mse",
}


def ours(loss, out=2, **more):
    model = am.Sequential([nn.Linear(3, out)])
    model[0].weight.data = am.tensor(KERNEL[:, :out].T.copy())
    model[0].bias.data = am.zeros(out)
    model.compile(optim.SGD(lr=0.01), loss, **more)
    return model


def theirs(loss, out=2, **more):
    model = keras.Sequential([keras.Input(X.shape[1:]), keras.layers.Dense(out)])
    model.set_weights([KERNEL[:, :out], np.zeros(out, np.float32)])
    model.compile(keras.optimizers.SGD(0.01), LOSSES[loss](), **more)
    return model


def agree(found, wanted):
    assert set(found.history) == set(wanted.history)
    for name, values in wanted.history.items():
        np.testing.assert_allclose(found.history[name], values, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float64"])
def test_inputs_of_any_dtype(dtype):
    x = RANDOM.integers(0, 9, (12, 3)).astype(dtype)
    found, wanted = ours("cross_entropy"), theirs("cross_entropy")
    agree(found.fit(x, LABELS, **PLAIN), wanted.fit(x, LABELS, **PLAIN))
    scores = wanted.predict(x, verbose=0)
    np.testing.assert_allclose(found.predict(x), scores, rtol=1e-4, atol=1e-5)
    for other in (x.astype(np.float32), am.tensor(x)):
        np.testing.assert_array_equal(found.predict(other), found.predict(x))
    measured = wanted.evaluate(x, LABELS, verbose=0)
    assert found.evaluate(x, LABELS)["loss"] == pytest.approx(measured, rel=1e-4)
    assert found.test_on_batch(x, LABELS) == pytest.approx(measured, rel=1e-4)


def test_loops_take_integers_too(capsys):
    x = RANDOM.integers(0, 200, (12, 3), np.uint8)
    fitted = ours("cross_entropy")
    fitted.fit(x, LABELS.astype(float), **PLAIN)
    stepped, written = ours("cross_entropy"), ours("cross_entropy")
    arguments = {name: value for name, value in PLAIN.items() if name != "verbose"}
    for step in am.loop(stepped, x, LABELS.astype(float), **arguments):
        step.backward()
        step.update()
    exec(fitted.loop_source(), {"model": written, "x": x, "y": LABELS.astype(float)})
    for model in (stepped, written):
        np.testing.assert_array_equal(model[0].weight.numpy(), fitted[0].weight.numpy())
    assert "epoch 2" in capsys.readouterr().out


LAYERS = {
    "convolution": (lambda: [nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(27, 2)], (6, 2, 4, 4)),
    "norm": (lambda: [nn.BatchNorm1d(5), nn.Linear(5, 2)], (6, 5)),
    "average": (lambda: [nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 2)], (6, 2, 4, 4)),
    "series": (lambda: [nn.LSTM(3, 4, batch_first=True)], (6, 5, 3)),
    "names": (lambda: [nn.Embedding(50, 3), nn.Flatten(), nn.Linear(12, 2)], (6, 4)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_take_integers_for_numbers_unless_they_are_names(kind):
    make, shape = LAYERS[kind]
    x = RANDOM.integers(0, 50, shape)
    model = am.Sequential(make())
    found = model.predict(x)
    if kind == "names":
        with pytest.raises(TypeError, match="need integers"):
            model.predict(x.astype(np.float32))
        return
    wanted = model.predict(x.astype(np.float32))
    for one, other in zip(am.tree.leaves(found), am.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(TypeError, match="int64"):  # a call of one's own is PyTorch's
        model(am.tensor(x))


def test_integers_that_would_be_rounded_are_refused():
    """Keras rounds them in silence: 16777217 is 16777216 in float32."""
    large = np.full((12, 3), 1 << 24)
    model = ours("cross_entropy")
    model.predict(large)
    large[7, 1] += 1
    with pytest.raises(ArgumentError, match=r"out of range.*up to 16777216.*astype\('float32'\)"):
        model.predict(large)
    batches = [(large[:5], LABELS[:5]), (large[5:], LABELS[5:])]
    for data in ((batches,), (large, LABELS)):
        before = ours("cross_entropy")
        with pytest.raises(ArgumentError, match=r"integers up to 16777216.*batch 1 of epoch 0"):
            before.fit(*data, shuffle=False, verbose=0, **({} if len(data) == 1 else
                                                          {"batch_size": 5}))  # fmt: skip
    model.predict(large.astype(np.float64))


@pytest.mark.parametrize(
    ("dtype", "column"), [("int32", False), ("bool", True), ("float32", True), ("float64", False)]
)
def test_labels_of_any_dtype(dtype, column):
    y = (LABELS[:, None] if column else LABELS).astype(dtype)
    for loss, out in (("cross_entropy", 2), ("bce_with_logits", 1), ("mse", 1)):
        found, wanted = ours(loss, out), theirs(loss, out)
        agree(found.fit(X, y, **PLAIN), wanted.fit(X, y, **PLAIN))
    scored = ours("cross_entropy", metrics=["accuracy"]).fit(X, y, **PLAIN)
    plain = ours("cross_entropy", metrics=["accuracy"]).fit(X, LABELS, **PLAIN)
    assert scored.history == plain.history


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("column", [False, True])
def test_labels_that_are_none(jit, column):
    """Keras takes 0.5 for 0, and makes NaN of class 5 of two."""
    for wrong, error, message in (
        (0.5, ArgumentError, "a label is .*; need the number of a class, a whole one"),
        (5.0, IndexingError, "a target is .*; need 0 <= index < 2"),
    ):
        for dtype in (np.float32, *([] if wrong == 0.5 else [np.int64, np.int32])):
            y = LABELS.astype(dtype)
            y[7] = wrong
            y = y[:, None] if column else y
            for data in ((X, y), ([(X[:5], y[:5]), (X[5:10], y[5:10])],)):
                sizes = {"batch_size": 5, "shuffle": False} if len(data) == 2 else {}
                for kind in (am.Sequential, ByHand):
                    model = kind([nn.Linear(3, 2)])
                    model.compile("sgd", "cross_entropy", jit=jit)
                    with pytest.raises(error, match=f"{message}.*batch 1 of epoch 0"):
                        model.fit(*data, verbose=0, **sizes)


class ByHand(am.Sequential):
    """A step without `Step`."""

    def train_step(self, data):
        loss = self.compute_loss(*data[:2], self(data[0]), *data[2:])
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {"loss": loss}


class Pictures(am.Sequential):
    def train_step(self, data):
        x, y, weight = data
        loss = (F.cross_entropy(self(x), y, reduction="none").mean((1, 2)) * weight).mean()
        return {"loss": loss}


def test_class_weights_are_checked_in_a_step_of_ones_own():
    model = ByHand([nn.Linear(3, 2)])
    model.compile("sgd", "cross_entropy")
    with pytest.raises(ArgumentError, match="lists 3 weights and the model tells 2 classes"):
        model.fit(X, LABELS, class_weight=[1.0, 2.0, 3.0], verbose=0)
    maps = Pictures([nn.Conv2d(1, 2, 1)])
    maps.compile("sgd", "cross_entropy")
    with pytest.raises(ArgumentError, match="several classes in a row"):
        maps.fit(np.ones((4, 1, 3, 3)), np.ones((4, 3, 3), int), class_weight={1: 2.0}, verbose=0)


# Weights in a column


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_in_a_column_are_of_rows(loss):
    out = 1 if loss == "bce_with_logits" else 2
    y = Y if loss == "mse" else LABELS
    metrics = {"mse": "mae"}.get(loss, "accuracy")
    wanted = theirs(loss, out, weighted_metrics=[metrics] if loss == "mse" else [])
    expected = wanted.fit(X, y, sample_weight=W[:, None], **PLAIN)
    for weight in (W, W[:, None]):
        found = ours(loss, out, weighted_metrics=[metrics] if loss == "mse" else [])
        agree(found.fit(X, y, sample_weight=weight, **PLAIN), expected)


def test_weights_of_classes_and_of_samples_in_a_column_multiply(capsys):
    """As in scikit-learn; Keras refuses both at once."""
    both = {"class_weight": {0: 0.5, 1: 3.0}, "validation_split": 0.25}
    with pytest.raises(ValueError, match=r"cannot .class_weight. and .sample_weight. at the same"):
        theirs("cross_entropy").fit(X, LABELS, sample_weight=W, **PLAIN, **both)
    rows = {"sample_weight": np.array([1.0, 2.0, 3.0, 4.0])}
    line, kinds = np.array([[0.0], [1.0], [2.0], [1.5]]), np.array([0, 1, 0, 1])
    each = LogisticRegression(class_weight={0: 0.5, 1: 3.0}).fit(line, kinds, **rows)
    product = {"sample_weight": np.where(kinds == 1, 3.0, 0.5) * rows["sample_weight"]}
    same = LogisticRegression().fit(line, kinds, **product)
    np.testing.assert_allclose(each.coef_, same.coef_, rtol=1e-5)
    product = np.where(LABELS == 1, 3.0, 0.5) * W
    for loss, out in (("cross_entropy", 2), ("bce_with_logits", 1)):
        wanted, found, written = (ours(loss, out) for _ in range(3))
        wanted.fit(X[:9], LABELS[:9], sample_weight=product[:9], **PLAIN)
        found.fit(X, LABELS, sample_weight=W[:, None], **PLAIN, **both)
        exec(found.loop_source(), {"model": written, "x": X, "y": LABELS,
                                   "sample_weight": W[:, None]})  # fmt: skip
        kept = found.history.history["val_loss"][-1]
        assert f"held out: loss {kept:.4f}" in capsys.readouterr().out
        for model in (found, written):
            weight = model[0].weight.numpy()
            np.testing.assert_allclose(weight, wanted[0].weight.numpy(), rtol=1e-5)


def test_weights_of_steps():
    series, goals = RANDOM.normal(size=(4, 5, 3)), RANDOM.normal(size=(4, 5, 2))
    weight = RANDOM.uniform(size=(4, 5))
    wanted = keras.Sequential([keras.Input((5, 3)), keras.layers.Dense(2)])
    wanted.set_weights([KERNEL, np.zeros(2, np.float32)])
    wanted.compile(keras.optimizers.SGD(0.01), "mse")
    for shape in ((4, 5), (4, 5, 1), (4, 1)):
        given = weight[:, :1] if shape == (4, 1) else weight.reshape(shape)
        expected = wanted.evaluate(series, goals, sample_weight=given, verbose=0)
        model = ours("mse")
        assert model.evaluate(series, goals, sample_weight=given)["loss"] == pytest.approx(
            expected, rel=1e-4
        )


# Outputs without a loss, or without targets


class Heads(am.Model):
    def __init__(self, named):
        super().__init__()
        self.a, self.b, self.named = nn.Linear(3, 2), nn.Linear(3, 2), named

    def forward(self, x):
        found = {"a": self.a(x), "b": self.b(x)}
        return found if self.named else list(found.values())


def heads(named):
    inputs = keras.Input((3,))
    outputs = {name: keras.layers.Dense(2, name=name)(inputs) for name in "ab"}
    return keras.Model(inputs, outputs if named else list(outputs.values()))


SPECS = [  # of the loss and of the metrics, by name and by position
    ({"a": "mse"}, None, ["mse", None], None),
    ({"a": "mse", "b": None}, {"b": ["mae"]}, ["mse", None], [[], ["mae"]]),
    ({"a": "mse", "b": "mae"}, {"a": ["mae"]}, ["mse", "mae"], [["mae"], []]),
]


@pytest.mark.parametrize("spec", SPECS)
def test_keys_of_outputs_are_those_of_keras(spec):
    by_name, measured, by_place, listed = spec
    for named, loss, metrics in ((True, by_name, measured), (False, by_place, listed)):
        y = {"a": Y, "b": Y} if named else [Y, Y]
        wanted, found = heads(named), Heads(named)
        found.output_names = ("a", "b")
        for model in (wanted, found):
            model.compile("sgd", loss, metrics=metrics)
        keys = wanted.fit(X, y, verbose=0).history.keys()
        assert found.fit(X, y, verbose=0).history.keys() == keys


def test_an_output_without_a_loss_needs_no_targets():
    for named, y, loss in ((True, {"a": Y}, {"a": "mse"}), (False, [Y, None], ["mse", None])):
        found = Heads(named)
        wanted = heads(named)
        found.a.weight.data = am.tensor(KERNEL.T.copy())
        found.a.bias.data = am.zeros(2)
        wanted.get_layer("a").set_weights([KERNEL, np.zeros(2, np.float32)])
        found.compile(optim.SGD(lr=0.01), loss)
        wanted.compile(keras.optimizers.SGD(0.01), loss)
        agree(found.fit(X, y, **PLAIN), wanted.fit(X, y, **PLAIN))
        batch = (X, {"a": Y} if named else (Y, None))
        assert found.fit([batch], verbose=0).history.keys() == {"loss"}
        found.compile("sgd", "mse")
        with pytest.raises(ArgumentError, match=r"no target for output '(b|output_2)'"):
            found.fit(X, y, verbose=0)
