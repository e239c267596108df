"""Bad data: the error names the argument, the batch and the fix, and nothing learnt is lost."""

import numpy as np
import pytest

import ambos as am
from ambos import nn, optim

X = np.random.RandomState(0).randn(24, 3).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def network():
    am.manual_seed(0)
    model = am.Sequential([nn.Linear(3, 2)])
    model.compile(optim.SGD(lr=0.1), "cross_entropy")
    return model


def spoiled(place, value):
    found = X.copy()
    found[place] = value
    return found


def batches(*bad, good=2):
    """An epoch of good batches and then, in the second epoch, a bad one among them."""
    parts = [(X[:8], Y[:8])] * good
    yield from parts
    yield parts[0]
    for one in bad:
        if isinstance(one, Exception):
            raise one
        yield one
    yield from parts


STREAMS = {
    "ragged": (([*X[:7].tolist(), [1.0]], Y[:8]), r"x.*batch 1 of epoch 1"),
    "nan": ((spoiled((5, 0), np.nan)[:8], Y[:8]), r"NaN or infinity in 1 of 8.*row 5.*batch 1"),
    "labels": ((X[:8], Y[:8] + 5), r"batch 1 of epoch 1"),
    "rows": ((X[:8], Y[:5]), r"batch 1 of epoch 1"),
    "features": ((X[:8, :2], Y[:8]), r"got 2 features.*batch 1 of epoch 1"),
    "single": (X[:8], r"need pairs \(x, y\).*batch 1 of epoch 1"),
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams(case):
    bad, message = STREAMS[case]
    model, twin = network(), network()
    with pytest.raises((ValueError, IndexError, TypeError), match=message):
        model.fit(batches(bad), steps_per_epoch=2, epochs=2, verbose=0)
    assert model.history.epoch == [0]
    twin.fit(batches(), steps_per_epoch=2, epochs=1, verbose=0)
    twin.fit([(X[:8], Y[:8])], verbose=0)
    np.testing.assert_array_equal(model[0].weight.numpy(), twin[0].weight.numpy())
    assert model.training
    model.fit(X, Y, verbose=0)


def test_a_generator_that_raises_or_ends_early():
    model = network()
    with pytest.raises(OSError, match="gone") as caught:
        model.fit(batches(OSError("gone")), steps_per_epoch=2, epochs=2, verbose=0)
    assert "in batch 1 of epoch 1" in caught.value.__notes__[0]
    assert model.history.epoch == [0]
    with pytest.raises(ValueError, match="ended after batch 2 of epoch 0; need 7 batches"):
        model.fit(iter([(X[:8], Y[:8])] * 3), steps_per_epoch=7, verbose=0)


@pytest.mark.parametrize(
    ("x", "y", "more", "message"),
    [
        (X, Y[:20], {}, "x and y have 24 and 20 rows"),
        (X, Y, {"sample_weight": np.ones(3)}, "24 and 24 and 3 rows"),
        (X[:0], Y[:0], {}, "no rows"),
        ([], [], {}, "no rows"),
        (
            spoiled((17, 1), np.inf),
            Y,
            {},
            r"x has NaN or infinity in 1 of 24 rows, first in row 17",
        ),
        (X, Y, {"validation_data": (spoiled((3, 1), np.nan), Y)}, r"validation_data\[0\] has NaN"),
        (X, Y, {"sample_weight": spoiled((2, 0), np.nan)[:, 0]}, "sample_weight has NaN"),
        ([[1.0, 2.0, 3.0], [1.0]], [0, 1], {}, "x.*one shape"),
        (X, Y, {"class_weight": {0: -1.0}}, "class_weight is"),
        (X, Y, {"class_weight": "balanced"}, "class_weight is"),
        (X, Y, {"accumulate": 0}, "accumulate is 0"),
        (X, Y, {"clip_norm": -1.0}, "clip_norm is -1.0"),
    ],
)
def test_arrays(x, y, more, message):
    model = network()
    before = model[0].weight.numpy()
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(x, y, verbose=0, **more)
    np.testing.assert_array_equal(model[0].weight.numpy(), before)


def test_a_model_may_mean_to_see_nan_and_large_numbers_are_none():
    class Fills(am.Sequential):
        takes_nan = True

        def forward(self, x):
            return super().forward(x.nan_to_num())

    model = Fills([nn.Linear(3, 2)])
    model.compile("sgd", "cross_entropy")
    history = model.fit(spoiled((5, 0), np.nan), Y, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    network().fit(X * 1e30, Y, epochs=1, verbose=0)


def test_labels_out_of_range_change_nothing_and_name_the_batch():
    model = network()
    y = Y.copy()
    y[20] = 2
    with pytest.raises(IndexError, match=r"batch 2 of epoch 0"):
        model.fit(X, y, batch_size=8, shuffle=False, verbose=0)
    twin = network()
    twin.fit(X[:16], Y[:16], batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model[0].weight.numpy(), twin[0].weight.numpy())
