"""Losses by Keras's names, and functions in its order, against Keras 3 on JAX."""

import os
import pickle

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError
from ambos.train.names import LOSSES, find_loss
from ambos.train.order import output_first

keras = pytest.importorskip("keras")

STREAM = np.random.RandomState(0)
OUTPUT = (3 * STREAM.randn(8, 5)).astype(np.float32)
TARGET = STREAM.randn(8, 5).astype(np.float32)
SIGNS = np.where(TARGET > 0, 1, -1).astype(np.float32)


def asymmetric(y_true, y_pred):
    return ((y_true - y_pred) / (abs(y_true) + 1)).mean(-1)


def same_the_other_way(output, target):
    return asymmetric(target, output)


@pytest.mark.parametrize("name", [
    "mse", "mean_squared_error", "mae", "mean_absolute_error", "huber", "mape", "msle",
    "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "log_cosh",
    "hinge", "squared_hinge",
])  # fmt: skip
@pytest.mark.parametrize("zero", [-1, 0])
def test_a_name_means_what_it_means_in_keras(name, zero):
    target = np.where(SIGNS > 0, 1, zero).astype(np.float32) if "hinge" in name else TARGET
    expected = keras.losses.get(name)(target, OUTPUT)
    found = LOSSES[name](am.tensor(OUTPUT), am.tensor(target), reduction="none").mean(-1)
    np.testing.assert_allclose(found.numpy(), np.asarray(expected), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["mape", "msle", "log_cosh", "hinge", "squared_hinge"])
def test_gradients_are_kerases(name):
    jax = pytest.importorskip("jax")
    target = SIGNS if "hinge" in name else TARGET
    expected = jax.grad(lambda y: keras.losses.get(name)(target, y).mean())(OUTPUT)
    x = am.tensor(OUTPUT, requires_grad=True)
    find_loss(name)(x, am.tensor(target)).backward()
    np.testing.assert_allclose(x.grad.numpy(), np.asarray(expected), rtol=1e-5, atol=1e-7)


def trained(loss, metrics):
    am.manual_seed(0)
    model = am.Sequential([nn.Linear(5, 5)])
    model.compile("sgd", loss, metrics)
    model.fit(OUTPUT, TARGET, epochs=2, batch_size=4, verbose=0, sample_weight=np.arange(8.0))
    return model


def test_functions_of_truth_and_prediction_get_them_in_this_order():
    swapped = trained(asymmetric, [asymmetric])
    plain = trained(same_the_other_way, [same_the_other_way])
    np.testing.assert_array_equal(swapped[0].weight.numpy(), plain[0].weight.numpy())
    assert swapped.history.history["loss"] == plain.history.history["loss"]
    told, other = swapped.history.history["asymmetric"], plain.history.history
    assert told == other["same_the_other_way"]
    assert pickle.loads(pickle.dumps(swapped)).compute_loss is not None


class Module(nn.Module):
    def forward(self, y_true, y_pred):
        return asymmetric(y_true, y_pred)


class Callable:
    def __call__(self, actual, y_hat):
        return asymmetric(actual, y_hat)


def by_the_second_name(y, y_hat):
    return asymmetric(y, y_hat)


@pytest.mark.parametrize("given", [Module, Module(), Callable, Callable(), by_the_second_name])
def test_classes_modules_and_other_names(given):
    plain = trained(same_the_other_way, [same_the_other_way]).history.history
    found = trained(given, [given]).history.history
    assert found["loss"] == plain["loss"]
    name = getattr(given, "__name__", type(given).__name__)
    assert found[name] == plain["same_the_other_way"]


def test_settings_go_through():
    @output_first
    def loss(labels, logits, reduction="mean"):
        away = labels - 2 * logits
        return away if reduction == "none" else away.mean()

    assert loss(3, 5, reduction="none") == -1
    assert output_first(same_the_other_way) is same_the_other_way
    assert output_first(print) is print


@pytest.mark.parametrize("name", ["bce", "binary_crossentropy", "categorical_crossentropy"])
def test_names_of_losses_on_probabilities_are_refused(name):
    with pytest.raises(ArgumentError, match="takes probabilities; ambos's take logits"):
        find_loss(name)
