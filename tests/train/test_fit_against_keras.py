"""What `fit` means, against Keras 3 on JAX: the same weights and data, the same Histories."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import ambos as am
from ambos import nn, optim

keras = pytest.importorskip("keras")
# Keras hands NumPy its variables in the way of NumPy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

STREAM = np.random.RandomState(0)
X = STREAM.randn(50, 4).astype(np.float32)
Y = STREAM.randint(0, 3, 50)
W = STREAM.rand(50).astype(np.float32)
LAYERS = [(4, 6), (6, 3)]
WEIGHTS = [(STREAM.randn(*size).astype(np.float32), STREAM.randn(size[1]).astype(np.float32))
           for size in LAYERS]  # fmt: skip


def logits():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def ours(metrics=("accuracy",), **options):
    model = am.Sequential([nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)])
    for place, (kernel, bias) in zip((0, 2), WEIGHTS, strict=True):
        model[place].weight.data = am.tensor(kernel.T.copy())
        model[place].bias.data = am.tensor(bias)
    model.compile(optim.SGD(lr=0.1), "cross_entropy", list(metrics), **options)
    return model


def theirs(metrics=("accuracy",), **options):
    model = keras.Sequential([
        keras.Input((4,)), keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(3),
    ])  # fmt: skip
    model.set_weights([array for pair in WEIGHTS for array in pair])
    model.compile(keras.optimizers.SGD(0.1), logits(), metrics=list(metrics), **options)
    return model


def agree(found, wanted):
    assert set(found.history) == set(wanted.history)
    for name, values in wanted.history.items():
        np.testing.assert_allclose(found.history[name], values, rtol=2e-5, err_msg=name)
    assert found.epoch == wanted.epoch


PLAIN = {"epochs": 3, "batch_size": 16, "shuffle": False, "verbose": 0}
CASES = {
    "classes": {"class_weight": {0: 0.2, 2: 4.0}, "validation_split": 0.3, "initial_epoch": 1},
    "samples": {
        "sample_weight": W, "validation_data": (X[:9], Y[:9], W[:9]), "validation_freq": [1, 3],
    },
}  # fmt: skip
COLUMN = {"classes": Y, "samples": Y[:, None]}  # labels, as Keras takes both


@pytest.mark.parametrize("case", CASES)
def test_histories(case):
    arguments = {**PLAIN, **CASES[case]}
    options, other = {}, {}
    if case == "samples":
        options["weighted_metrics"] = [am.metrics.Accuracy(name="acc")]
        other["weighted_metrics"] = [keras.metrics.SparseCategoricalAccuracy(name="acc")]
    found, wanted = ours(**options), theirs(**other)
    labels = COLUMN[case]
    agree(found.fit(X, labels, **arguments), wanted.fit(X, labels, **arguments))
    for place, layer in ((0, 0), (2, 1)):
        kernel, bias = wanted.layers[layer].get_weights()
        np.testing.assert_allclose(found[place].weight.numpy(), kernel.T, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[place].bias.numpy(), bias, rtol=1e-4, atol=1e-6)
    assert found.history.params.items() >= wanted.history.params.items()
    quiet = {"sample_weight": np.zeros(50), "verbose": 0}
    if case == "samples":
        measured = wanted.evaluate(X, labels, return_dict=True, **quiet)
        assert found.evaluate(X, labels, **quiet) == pytest.approx(measured, rel=2e-5)


def test_numbers_in_a_column_and_numbers_alone_are_the_same():
    """A layer of one unit gives (N, 1) and tables have (N,): the data sets have as well."""
    x, y = am.data.diabetes()
    x, y = np.asarray(x, np.float32)[:50], np.asarray(y, np.float32)[:50] / 100
    x = (x - x.mean(0)) / x.std(0)
    assert y.shape == (50,)
    wanted = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1)])
    wanted.set_weights([np.full((10, 1), 0.1, np.float32), np.zeros(1, np.float32)])
    found = am.Sequential([nn.Linear(10, 1)])
    found[0].weight.data, found[0].bias.data = am.full((1, 10), 0.1), am.zeros(1)
    wanted.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    found.compile(optim.SGD(lr=0.1), "mse", metrics=["mae"])
    arguments = {**PLAIN, "sample_weight": W}
    agree(found.fit(x, y, **arguments), wanted.fit(x, y, **arguments))
    assert found.evaluate(x, y[:, None]) == pytest.approx(found.evaluate(x, y))
    squares = lambda output, target: (output - target) ** 2  # broadcast, this would be (N, N)
    found.compile(optim.SGD(lr=0.0), squares)
    assert found.evaluate(x, y)["loss"] == pytest.approx(((found.predict(x)[:, 0] - y) ** 2).mean())
    flat = am.Model(nn.Sequential(found[0], nn.Flatten(0)))
    flat.compile("sgd", "mse", ["r2"])
    assert flat.evaluate(x, y[:, None]) == pytest.approx(flat.evaluate(x, y))


def test_batches_with_weights_from_a_generator_and_steps():
    def source():
        while True:
            for start in range(0, 50, 16):
                rows = slice(start, start + 16)
                yield X[rows], Y[rows], W[rows]

    arguments = {"epochs": 2, "steps_per_epoch": 4, "verbose": 0}
    found, wanted = ours(), theirs()
    agree(found.fit(source(), **arguments), wanted.fit(source(), shuffle=False, **arguments))
    scores = found.evaluate(X, Y, batch_size=16, sample_weight=W)
    expected = wanted.evaluate(X, Y, batch_size=16, sample_weight=W, verbose=0, return_dict=True)
    assert scores == pytest.approx(expected, rel=1e-5)


def test_several_inputs_and_outputs():
    shape = {"a": (2,), "b": (2,)}
    first = keras.Input(shape["a"], name="a"), keras.Input(shape["b"], name="b")
    joined = keras.layers.Concatenate()(first)
    kind = keras.layers.Dense(3, name="kind")(joined)
    size = keras.layers.Dense(1, name="size")(joined)
    wanted = keras.Model(list(first), {"kind": kind, "size": size})
    inputs = am.Input((2,), name="a"), am.Input((2,), name="b")
    both = am.concatenate(list(inputs), 1)
    heads = nn.Linear(4, 3), nn.Linear(4, 1)
    found = am.Model(list(inputs), {"kind": heads[0](both), "size": heads[1](both)})
    for name, head in zip(("kind", "size"), heads, strict=True):
        kernel, bias = wanted.get_layer(name).get_weights()
        head.weight.data, head.bias.data = am.tensor(kernel.T.copy()), am.tensor(bias)
    weights = {"kind": 1.0, "size": 0.25}
    wanted.compile(
        keras.optimizers.SGD(0.05), {"kind": logits(), "size": "mse"}, loss_weights=weights,
        metrics={"kind": ["accuracy"], "size": ["mae"]},
    )  # fmt: skip
    found.compile(
        optim.SGD(lr=0.05), {"kind": "cross_entropy", "size": "mse"}, loss_weights=weights,
        metrics={"kind": ["accuracy"], "size": ["mae"]},
    )  # fmt: skip
    x = {"a": X[:, :2], "b": X[:, 2:]}
    y = {"kind": Y, "size": X[:, :1]}
    agree(found.fit(x, y, **PLAIN), wanted.fit(x, y, **PLAIN))
