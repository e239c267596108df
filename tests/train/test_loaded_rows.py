"""Loaders of rows of arrays, which `fit` copies itself: nobody can tell, but for the time."""

import re

import numpy as np
import pytest
import torch

import ambos as am
from ambos.core.errors import ArgumentError, ShapeError
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


@pytest.mark.parametrize("kind", [DataLoader, Plain])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_numbers_that_the_model_would_take_for_infinite(kind, dtype):
    large = X.astype(np.float64)
    large[40, 1] = 3.5e38 if dtype != "float16" else 65520
    model = am.Sequential([am.nn.Linear(4, 2)]).to(getattr(am, dtype))
    model.compile("sgd", "cross_entropy")
    last = "3.4e+38" if dtype != "float16" else "6.55e+04"
    with pytest.raises(ArgumentError, match=rf"first in row \d+; .*none beyond {re.escape(last)}"):
        model.fit(kind((large, Y), 16), verbose=0)
    large[40, 1] = 1.0
    model.fit(kind((large, Y), 16), verbose=0)


def test_a_loader_with_nothing_left():
    def spent():
        loader = DataLoader((X, Y), 16)
        batches = iter(loader)
        for _ in range(4):
            next(batches)
        loader.load_state_dict(loader.state_dict())
        return loader

    for call in (network().fit, network().evaluate):
        with pytest.raises(ArgumentError, match="x has no batches; need at least one"):
            call(spent(), verbose=0)
    rows = TensorDataset(X, Y)

    class Nothing(RandomSampler):
        def order(self, epoch):
            return np.zeros(0, np.int64)

    with pytest.raises(ArgumentError, match="x has no batches"):
        network().fit(DataLoader(rows, 16, sampler=Nothing(rows)), verbose=0)


@pytest.mark.parametrize("kind", [DataLoader, Plain])
def test_gradients_of_a_loader_that_gives_fewer_batches_than_it_says(kind):
    loader = kind((X, Y), 16)
    next(iter(loader))
    loader.load_state_dict(loader.state_dict())
    batches = [(X[at : at + 16], Y[at : at + 16]) for at in (16, 32, 48)]
    found, wanted = network(), network()
    found.fit(loader, accumulate=2, verbose=0)
    wanted.fit(batches, accumulate=2, verbose=0)
    assert found.run.updates == wanted.run.updates == 2
    same(found, wanted)


@pytest.mark.filterwarnings("ignore:fit. x ran out of batches")  # short epochs
@pytest.mark.parametrize("kind", [DataLoader, Plain])
@pytest.mark.parametrize("at", range(1, 9))
def test_going_on_where_others_read_the_loader_meanwhile(kind, at):
    class Reads(am.callbacks.Callback):
        state = None

        def on_train_batch_end(self, batch, logs=None):
            if self.model.run.updates == 2:
                list(loader)
            if self.model.run.updates == at and self.state is None:
                self.state = self.model.run.state_dict()

    model, reads = network(), Reads()
    loader = kind((X, Y), 16, shuffle=True, seed=0)
    how = {"epochs": 4, "steps_per_epoch": 3, "validation_data": loader, "verbose": 0}
    model.fit(loader, **how, callbacks=[reads])
    again = network()
    loader = kind((X, Y), 16, shuffle=True, seed=5)
    how["validation_data"] = loader
    again.fit(loader, **how, resume=reads.state, callbacks=[Reads()])
    same(again, model)


def test_what_a_loader_is_made_of_is_settled():
    loader = DataLoader((X, Y), 16)
    for name in ("dataset", "batch_size", "shuffle", "sampler", "drop_last", "num_workers"):
        with pytest.raises(ArgumentError, match=f"{name} is settled when a loader is made"):
            setattr(loader, name, getattr(loader, name))
    rows = TensorDataset(X, Y)
    with pytest.raises(ShapeError, match="52 and 40 rows"):
        rows.arrays = (X, Y[:40])
    for wrong in (X, None, {"x": X}):
        with pytest.raises(ArgumentError, match="need a tuple of some columns"):
            rows.arrays = wrong
    with pytest.raises(ArgumentError, match="need a tuple of 2 columns"):
        TensorDataset(x=X, y=Y).arrays = (X,)
    rows.arrays = (X[:40], Y[:40])
    assert len(DataLoader(rows, 16)) == 3


def test_an_order_of_a_subclass_comes_first():
    class Backwards(RandomSampler):
        def __iter__(self):
            return iter(range(len(self.data_source) - 1, -1, -1))

    rows = TensorDataset(X, Y)
    for kind in (DataLoader, torch.utils.data.DataLoader):
        found = [np.asarray(x) for x, _ in kind(rows, 16, sampler=Backwards(rows))]
        np.testing.assert_array_equal(np.concatenate(found), X[::-1])


def test_datasets_are_told_the_epoch():
    rows = TensorDataset(X, Y)
    network().fit(DataLoader(rows, 16), epochs=3, verbose=0)
    assert (rows.epoch, rows.next_epoch) == (2, 2)
