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
    def numbers(model):
        return {name: value.numpy().copy() for name, value in model.state_dict().items()}

    def searched(*more):
        model = lazy()
        finder = callbacks.LRFinder(1e-3, 1.0, num_steps=6)
        model.fit(X, Y, batch_size=16, epochs=4, verbose=0, callbacks=[finder, *more])
        return numbers(model)

    seen = []
    look = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(look.model[0].weight.numpy().copy())
    )
    found, again = searched(look), searched()
    for name, value in found.items():
        np.testing.assert_array_equal(value, again[name])
    bound = 6**-0.5  # of PyTorch's initial weights of six inputs
    assert np.abs(found["0.weight"]).max() <= bound
    assert np.abs(found["0.weight"] - seen[-1]).max() > 0.01
    np.testing.assert_array_equal(found["1.running_mean"], np.zeros(8))
    np.testing.assert_array_equal(found["1.num_batches_tracked"], 0)


class Aux(am.Model):
    """A layer that only training uses."""

    def __init__(self):
        super().__init__()
        self.main, self.aux = nn.Linear(6, 2), nn.LazyLinear(2)

    def forward(self, x):
        return self.main(x) + self.aux(x) if self.training else self.main(x)


def test_layers_that_only_training_uses():
    model = Aux()
    model.compile(am.optim.SGD(lr=0.5), "cross_entropy")
    before = model.main.weight.numpy().copy()
    finder = callbacks.LRFinder(max_lr=10.0, num_steps=8)
    model.fit(X, Y, batch_size=16, epochs=4, verbose=0, callbacks=[finder])
    np.testing.assert_array_equal(model.main.weight.numpy(), before)
    assert np.abs(model.aux.weight.numpy()).max() <= 6**-0.5
    assert model.optimizer.lr == 0.5
    other = Aux()
    other.compile("sgd", "cross_entropy")
    with pytest.raises(am.errors.ArgumentError, match=r"aux\.weight.*have no sizes yet"):
        other.fit(X, Y, verbose=0, callbacks=[callbacks.BatchSizeFinder()])


def test_an_error_before_the_first_step_is_the_one_that_is_told():
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(am.errors.ArgumentError, match="row 3"):
        lazy().fit(bad, Y, shuffle=False, verbose=0, callbacks=[callbacks.LRFinder()])


def test_losses_of_a_short_last_batch():
    model = am.Sequential([nn.Linear(6, 2)])
    model.compile("sgd", "cross_entropy")
    finder = callbacks.LRFinder(1e-12, 1e-11, num_steps=4, beta=0.0)  # rates that change nothing
    model.fit(X, Y, batch_size=20, epochs=2, shuffle=False, verbose=0, callbacks=[finder])
    wanted = [model.test_on_batch(X[part], Y[part]) for part in (slice(40, 48), slice(0, 20))]
    np.testing.assert_allclose(finder.losses[2:], wanted, rtol=1e-5)
