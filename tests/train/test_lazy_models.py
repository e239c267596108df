"""Callbacks with models whose layers learn their sizes from the first batch."""

import numpy as np
import pytest

import ambos as am
from ambos import callbacks, nn

X = np.random.RandomState(0).randn(48, 6).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def lazy():
    am.manual_seed(0)
    model = am.Sequential([nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(2)])
    model.compile("adam", "cross_entropy", ["accuracy"])
    return model


MADE = {
    "batch size": lambda folder: callbacks.BatchSizeFinder(max_size=16),
    "rate": lambda folder: callbacks.LRFinder(num_steps=8),
    "backup": callbacks.BackupAndRestore,
    "checkpoint": lambda folder: callbacks.ModelCheckpoint(folder / "model", save_best_only=True),
    "board": callbacks.TensorBoard,
    "average": lambda folder: callbacks.EMA(),
    "best": lambda folder: callbacks.EarlyStopping(patience=1, restore_best_weights=True),
    "norms": lambda folder: callbacks.GradientNorms(),
}


@pytest.mark.parametrize("name", MADE)
def test_a_callback_takes_layers_without_sizes(name, tmp_path):
    model = lazy()
    called = MADE[name](tmp_path)
    model.fit(X, Y, epochs=3, batch_size=16, validation_split=0.25, verbose=0, callbacks=[called])
    assert np.isfinite(model.predict(X)).all()
    assert model[0].weight.shape == (8, 6)


def test_a_search_for_a_rate_leaves_initial_weights():
    model, seen = lazy(), []
    look = callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(
            {name: value.numpy().copy() for name, value in model.state_dict().items()}
        )
    )
    finder = callbacks.LRFinder(1e-3, 1.0, num_steps=6)
    model.fit(X, Y, batch_size=16, epochs=4, verbose=0, callbacks=[finder, look])
    assert np.abs(seen[-1]["0.weight"] - seen[0]["0.weight"]).max() > 0.01
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), seen[0][name])
