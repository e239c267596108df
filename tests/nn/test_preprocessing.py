"""Layers before the first that learns, against Keras's of the same name."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError, ShapeError

keras = pytest.importorskip("keras")
STREAM = np.random.RandomState(0)
IMAGES = STREAM.rand(3, 2, 6, 9).astype(np.float32)


def last(images):
    """With the channels last, as Keras's layers take images."""
    return images.transpose(0, 2, 3, 1)


@pytest.mark.parametrize("axis", [-1, (1, 2), None, 0])
def test_normalization_is_kerass(axis):
    x = (STREAM.randn(40, 3, 5) * 4 + 7).astype(np.float32)
    x[:, :, 2] = 1.5  # without spread
    theirs, ours = keras.layers.Normalization(axis=axis), nn.Normalization(axis=axis)
    theirs.adapt(x)
    batches = am.data.Dataset.from_tensor_slices((x, x[:, 0, 0])).batch(16)
    ours.adapt(x if axis == 0 else batches)
    rows = x if axis == 0 else x[:4] + 1
    np.testing.assert_allclose(ours(am.tensor(rows)).numpy(), theirs(rows), rtol=1e-3, atol=1e-4)
    mean, variance = ours.mean.numpy(), ours.variance.numpy()
    back = nn.Normalization(axis=axis, mean=mean, variance=variance, invert=True)
    moved = back(ours(am.tensor(x if axis == 0 else x[:4]))).numpy()
    np.testing.assert_allclose(moved, x if axis == 0 else x[:4], atol=1e-4)


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


def test_rescaling_is_kerass():
    pixels = STREAM.randint(0, 256, (2, 3, 4)).astype(np.uint8)
    theirs = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    ours = nn.Rescaling(1 / 127.5, offset=-1)(am.tensor(pixels))
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-6)


@pytest.mark.parametrize(
    ("factor", "fill", "ours_fill"),
    [(0.25, "reflect", {}), (0.1, "reflect", {}), (-0.07, "nearest", {}),
     (0.33, "constant", {"fill_value": 0.5})],
)  # fmt: skip
def test_turned_images_are_kerass(factor, fill, ours_fill):
    both = (factor, factor)  # an angle that is not left to chance
    theirs = keras.layers.RandomRotation(both, fill_mode=fill, **ours_fill)
    ours = nn.RandomRotation(both, fill_mode=fill, **ours_fill)
    found = ours(am.tensor(IMAGES)).numpy()
    expected = np.asarray(theirs(last(IMAGES), training=True)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert ours.eval()(am.tensor(IMAGES)).tolist() == IMAGES.tolist()


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
        (lambda: nn.Normalization(mean=1.0), "need both"),
        (lambda: nn.Normalization().adapt(np.zeros((0, 3))), "no data"),
    ):
        with pytest.raises(ArgumentError, match=message):
            call()
    with pytest.raises(ShapeError, match="need \\(N, C, H, W\\)"):
        nn.RandomRotation(0.1)(am.zeros(2, 3))
    known = nn.Normalization(mean=[1.0, 2.0], variance=[1.0, 1.0])
    with pytest.raises(ShapeError, match="mean and variance are"):
        known(am.zeros(4, 3))
    with pytest.raises(ShapeError, match="after means"):
        nn.Normalization().adapt(iter([np.zeros((2, 3)), np.zeros((2, 4))]))
