"""Layers before the first that learns, against Keras's of the same name.

`keras_preprocessing.npz` was written by Keras 3.15.1 with TensorFlow 2.21.0: what RandomRotation
(of one angle, without chance), Normalization (adapted to `rows`) and Rescaling give.
"""

from pathlib import Path

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError, ShapeError

STREAM = np.random.RandomState(0)
RECORDED = dict(np.load(Path(__file__).with_name("keras_preprocessing.npz")))
IMAGES, ROWS = RECORDED["images"], RECORDED["rows"]

HOLES = np.where(np.arange(18).reshape(6, 3) % 3 > 0, np.nan, 1.0)
HOLES[1, 1] = 0


@pytest.mark.parametrize(
    ("name", "axis"), [("last", -1), ("two", (1, 2)), ("none", None), ("first", 0)]
)
def test_normalization_is_kerass(name, axis):
    ours = nn.Normalization(axis=axis)
    pairs = am.data.Dataset.from_tensor_slices((ROWS, ROWS[:, 0, 0]))
    ours.adapt(ROWS if axis == 0 else pairs.batch(5))
    rows = ROWS if axis == 0 else ROWS + 1
    found = ours(am.tensor(rows)).numpy()
    np.testing.assert_allclose(found, RECORDED[f"normalized {name}"], rtol=1e-3, atol=1e-4)
    back = nn.Normalization(axis, ours.mean.numpy(), ours.variance.numpy(), invert=True)
    np.testing.assert_allclose(back(am.tensor(found)).numpy(), rows, atol=1e-3)


def test_normalization_in_a_model_that_is_kept(tmp_path):
    x = STREAM.randn(64, 3).astype(np.float32) * [1, 10, 100]
    normalize = nn.Normalization()
    model = am.Sequential([normalize, nn.Linear(3, 1)])
    with pytest.raises(ArgumentError, match="need adapt"):
        model(am.tensor(x))
    normalize.adapt(x.astype(np.float64))
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], epochs=2, verbose=0)
    again = am.Model.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    other = am.Sequential([nn.Normalization(), nn.Linear(3, 1)])
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other.predict(x), model.predict(x))
    assert normalize.mean.requires_grad is False


def drawn(layers):
    given = made = am.Input((3,))
    for layer in layers:
        made = layer(made)
    return am.Model(given, made)


KINDS = {
    "functional": drawn,
    "functional of a Sequential": lambda layers: drawn([nn.Sequential(*layers)]),
    "functional of a functional": lambda layers: drawn([drawn(layers)]),
    "Sequential of a functional": lambda layers: am.Sequential([drawn(layers)]),
    "wrapped": lambda layers: am.Model(nn.Sequential(drawn(layers))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_normalization_in_a_functional_model_that_is_kept(kind, tmp_path):
    x = (STREAM.randn(16, 3) * [1, 10, 100]).astype(np.float32)
    layers = [nn.Normalization(), nn.LazyLinear(2), nn.LazyBatchNorm1d(), nn.Linear(2, 1)]
    model = KINDS[kind](layers)  # before anything is known, as Keras takes it
    with pytest.raises(ArgumentError, match="need adapt"):
        model(am.tensor(x))
    layers[0].adapt(x)
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], epochs=2, verbose=0)
    again = am.Model.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_rescaling_is_kerass():
    found = nn.Rescaling(1 / 127.5, offset=-1)(am.tensor(RECORDED["pixels"]))
    np.testing.assert_allclose(found.numpy(), RECORDED["rescaled"], rtol=1e-6)


@pytest.mark.parametrize(
    ("factor", "fill"),
    [(0.25, "reflect"), (0.1, "reflect"), (-0.07, "nearest"), (0.33, "constant")],
)
def test_turned_images_are_kerass(factor, fill):
    layer = nn.RandomRotation((factor, factor), fill_mode=fill, fill_value=0.5)
    found = layer(am.tensor(IMAGES)).numpy()  # by an angle that is not left to chance
    np.testing.assert_allclose(found, RECORDED[f"turned {factor} {fill}"], atol=1e-4)
    assert layer.eval()(am.tensor(IMAGES)).tolist() == IMAGES.tolist()


def test_each_image_has_chances_of_its_own():
    am.manual_seed(0)
    images = am.tensor(np.broadcast_to(IMAGES[:1], (200, 2, 6, 9)).copy())
    for mode, axes in (("horizontal", [(3,)]), ("vertical", [(2,)]),
                       ("horizontal_and_vertical", [(2,), (3,), (2, 3)])):  # fmt: skip
        layer = nn.RandomFlip(mode)
        found = layer(images).numpy()
        known = [IMAGES[0], *(np.flip(IMAGES[:1], axis)[0] for axis in axes)]
        counts = [int((found == each).all((1, 2, 3)).sum()) for each in known]
        assert sum(counts) == 200
        assert min(counts) > 100 / len(known)
        assert layer.eval()(images) is images
    turned = nn.RandomRotation(0.1)(images).numpy()
    assert len({each.tobytes() for each in turned}) == 200


def test_settings_that_do_not_fit():
    for call, message in (
        (lambda: nn.RandomFlip("horizontl"), "Did you mean 'horizontal'"),
        (lambda: nn.RandomRotation(2.0), "part of a turn"),
        (lambda: nn.RandomRotation((0.2, 0.1)), "the lesser first"),
        (lambda: nn.RandomRotation(0.1, fill_mode="wrap"), "need one of reflect"),
        (lambda: nn.RandomRotation(0.1, interpolation="cubic"), "interpolation"),
        (lambda: nn.RandomRotation([0.1]), "or two, the lesser first"),
        (lambda: nn.Normalization(mean=1.0), "need both"),
        (lambda: nn.Normalization(mean=0.0, variance=[1.0, -1.0]), "need variances from 0 on"),
        (lambda: nn.Normalization().adapt([["a"]]), "adapt: .*need numbers"),
        (lambda: nn.Normalization().adapt(np.zeros((0, 3))), "no data"),
        (lambda: nn.Normalization().adapt([[1.0, 2.0], [np.nan, 1.0]]), "nan in column 0, row 1;"),
        (
            lambda: nn.Normalization().adapt(HOLES),
            "nan in column 1 and 1 more column, rows 0, 2, 3, 4 and 1 more; need finite",
        ),
        (
            lambda: nn.Normalization().adapt(iter([np.ones((3, 2)), np.array([[1.0, -np.inf]])])),
            "-inf in column 1, row 3",
        ),
        (lambda: nn.Normalization(1).adapt(np.full((2, 2, 1, 1), np.nan)), "nan in rows 0, 1;"),
        (lambda: nn.Normalization(None).adapt([1.0, np.nan]), "nan in row 1;"),
    ):
        with pytest.raises(ArgumentError, match=message):
            call()
    with pytest.raises(ShapeError, match="need \\(N, C, H, W\\)"):
        nn.RandomRotation(0.1)(am.zeros(2, 3))
    with pytest.raises(ShapeError, match="mean is \\(2,\\) and variance \\(3,\\)"):
        nn.Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0, 3.0])
    assert nn.RandomRotation([0.1, 0.2]).bounds == (0.1, 0.2)
    one = nn.Normalization(mean=[1.0, 2.0], variance=4.0)  # of all, as Keras takes it
    np.testing.assert_allclose(one(am.tensor([[3.0, 6.0]])).numpy(), [[1.0, 2.0]])
    known = nn.Normalization(mean=[1.0, 2.0], variance=[1.0, 1.0])
    with pytest.raises(ShapeError, match="mean and variance are"):
        known(am.zeros(4, 3))
    with pytest.raises(ShapeError, match="after means"):
        nn.Normalization().adapt(iter([np.zeros((2, 3)), np.zeros((2, 4))]))
