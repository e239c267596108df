"""Loaders of rows of arrays, which `fit` copies itself: nobody can tell, but for the time."""

import numpy as np
import pytest

import ambos as am
from ambos.core.errors import ArgumentError
from ambos.data import DataLoader, RandomSampler, TensorDataset
from ambos.train.batches import Stream
from tests.train.test_fit_arguments import W, X, Y, network, same


class Plain(DataLoader):
    """One that is read, as any iterable is."""


def states(source, epochs, starts=()):
    """Each batch with where the loader says to stand, in the epochs from their `starts` on."""
    found = []
    for epoch in range(epochs):
        start = dict(starts).get(epoch, 0)
        for batch in source.batches(epoch, start):
            copies = [part.numpy().copy() for part in batch]
            found.append((copies, [part.dtype for part in batch], source.source.state_dict()))
        found.append(source.source.state_dict())
    return found


SETTINGS = {
    "in order": {"batch_size": 16},
    "shuffled": {"batch_size": 16, "shuffle": True, "seed": 3},
    "no short batch": {"batch_size": 16, "drop_last": True, "shuffle": True, "seed": 4},
    "one batch": {"batch_size": 100},
    "drawn": {"batch_size": 7, "sampler": "drawn"},
}
PARTS = {
    "pairs": (X, Y),
    "weights": (X, Y, W),
    "other dtypes": (X.astype(np.float64), Y.astype(np.uint8), W.astype(np.float16)),
    "matrices": (X.reshape(52, 2, 2), X),
}


@pytest.mark.filterwarnings("ignore:fit. x ran out of batches")  # short epochs
@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("how", SETTINGS)
@pytest.mark.parametrize("what", PARTS)
def test_batches_and_positions_are_those_of_a_loop(how, what, limit):
    def source(kind):
        dataset, settings = TensorDataset(*PARTS[what]), dict(SETTINGS[how])
        if "sampler" in settings:
            settings["sampler"] = RandomSampler(dataset, True, 30, seed=1)
        loader = kind(dataset, **settings)
        return Stream(loader, am.float32, "fit", limit)

    ours, theirs = source(DataLoader), source(Plain)
    assert ours._has_rows()
    assert not theirs._has_rows()
    for starts in ((), ((1, 1),)):
        found, wanted = states(ours, 3, starts), states(theirs, 3, starts)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_equal(one, other)
        ours.rewind()
        theirs.rewind()


def test_going_on_in_the_middle():
    whole = network()
    whole.fit(DataLoader((X, Y), 16, shuffle=True, seed=0), epochs=3, verbose=0)

    class Stops(am.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.run.updates == 6:
                self.state = self.model.run.state_dict()
                self.model.stop_training = True

    first, stops = network(), Stops()
    first.fit(DataLoader((X, Y), 16, shuffle=True, seed=0), epochs=3, verbose=0, callbacks=[stops])
    second = network()
    second.fit(DataLoader((X, Y), 16, shuffle=True, seed=9), epochs=3, verbose=0,
               resume=stops.state)  # fmt: skip
    same(second, whole)


def test_a_batch_that_is_kept_stays_as_it_is():
    kept = list(Stream(DataLoader((X, Y), 8), am.float32, "fit").batches(0))
    np.testing.assert_array_equal(np.concatenate([x.numpy() for x, _ in kept]), X)
    assert len({x._array().address for x, _ in kept}) == len(kept)


def test_refusals():
    spoiled = X.copy()
    spoiled[40] = np.nan
    model = network()
    with pytest.raises(ArgumentError, match=r"x has NaN.*row 40;.*\(batch 2 of x, epoch 0\)"):
        model.fit(DataLoader((spoiled, Y), 16), verbose=0)
    assert model.run.updates == 2
    with pytest.raises(ArgumentError, match="x has no batches"):
        model.fit(DataLoader((X, Y), 100, drop_last=True), verbose=0)
    with pytest.raises(ArgumentError, match="batch 0 of x is dict; need pairs"):
        model.fit(DataLoader({"x": X, "y": Y}, 16), verbose=0)
    with pytest.raises(ArgumentError, match="batch 0 of x is Tensor; need pairs"):
        model.fit(DataLoader(X, 16), verbose=0)
    with pytest.raises(ArgumentError, match="batches already; need no batch_size"):
        model.fit(DataLoader((X, Y), 16), batch_size=8, verbose=0)


def test_a_model_that_takes_nan_gets_it():
    class Filling(am.Sequential):
        takes_nan = True

        def forward(self, x):
            return super().forward(am.nan_to_num(x))

    spoiled = X.copy()
    spoiled[40] = np.nan
    models = []
    for kind in (DataLoader, Plain):
        am.manual_seed(0)
        models.append(Filling([am.nn.Linear(4, 2)]))
        models[-1].compile("sgd", "cross_entropy")
        models[-1].fit(kind((spoiled, Y), 16), verbose=0)
    same(*models)
