"""How many elements there are, against what tf.data's `cardinality` says (TensorFlow 2.21.0)."""

import numpy as np
import pytest

import ambos as am
from ambos import nn
from ambos.core.errors import ArgumentError, ArgumentTypeError
from ambos.data import (
    INFINITE_CARDINALITY,
    UNKNOWN_CARDINALITY,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    StringLookup,
)

R = Dataset.range


def some(count=10):
    return R(count).filter(lambda x: x > 3)


def made():
    return Dataset.from_generator(lambda: iter([1]))


CASES = {
    "range": (lambda: R(10), 10),
    "batch": (lambda: R(10).batch(3), 4),
    "batch, the last dropped": (lambda: R(10).batch(3, drop_last=True), 3),
    "map": (lambda: R(10).map(lambda x: x), 10),
    "filter": (lambda: some(), -2),
    "repeat": (lambda: R(10).repeat(), -1),
    "repeat(3)": (lambda: R(10).repeat(3), 30),
    "repeat(0)": (lambda: R(10).repeat(0), 0),
    "repeat of nothing": (lambda: R(0).repeat(), 0),
    "filter, repeat": (lambda: some().repeat(), -1),
    "filter, repeat(2)": (lambda: some().repeat(2), -2),
    "repeat, batch": (lambda: R(10).repeat().batch(3), -1),
    "repeat, take": (lambda: R(10).repeat().take(7), 7),
    "filter, take": (lambda: some().take(2), -2),
    "take too many": (lambda: R(10).take(70), 10),
    "skip": (lambda: R(10).skip(3), 7),
    "skip all": (lambda: R(10).skip(30), 0),
    "repeat, skip": (lambda: R(10).repeat().skip(3), -1),
    "filter, skip": (lambda: some().skip(3), -2),
    "shard": (lambda: R(10).shard(3, 1), 3),
    "repeat, shard": (lambda: R(10).repeat().shard(3, 1), -1),
    "enumerate": (lambda: R(10).enumerate(), 10),
    "cache": (lambda: R(10).cache(), 10),
    "repeat, prefetch": (lambda: R(10).repeat().prefetch(2), -1),
    "shuffle": (lambda: R(10).shuffle(3), 10),
    "repeat, shuffle": (lambda: R(10).repeat().shuffle(3), -1),
    "unbatch": (lambda: R(10).batch(3).unbatch(), -2),
    "concatenate": (lambda: R(10) + R(3), 13),
    "concatenate without end": (lambda: R(10) + R(3).repeat(), -1),
    "concatenate, filter": (lambda: R(10) + some(3), -2),
    "concatenate both": (lambda: R(10).repeat() + some(3), -1),
    "generator": (lambda: made(), -2),
    "generator, repeat": (lambda: made().repeat(), -1),
    "generator, take": (lambda: made().take(3), -2),
    "flat_map": (lambda: R(10).flat_map(lambda x: R(3)), -2),
    "zip": (lambda: R(10).zip(R(4)), 4),
    "zip with repeat": (lambda: R(10).zip(R(4).repeat()), 10),
    "zip of repeats": (lambda: R(10).repeat().zip(R(4).repeat()), -1),
    "zip with filter": (lambda: R(10).zip(some(4)), -2),
    "window": (lambda: R(10).window(3), 4),
    "windows": (lambda: R(10).window(3, shift=2, drop_last=True), 4),
}


@pytest.mark.parametrize("name", CASES)
def test_cardinality_is_that_of_tf_data(name):
    make, expected = CASES[name]
    dataset = make()
    assert dataset.cardinality() == expected
    if expected >= 0:
        assert len(dataset) == expected == len(list(dataset))
        assert DataLoader(dataset, batch_size=None).cardinality() == expected if expected else True
    else:
        loader = DataLoader(dataset, batch_size=2)
        assert loader.cardinality() == expected
        for each in (dataset, loader):
            with pytest.raises(ArgumentTypeError, match=r"has no length: .*steps_per_epoch"):
                len(each)


def test_a_pipeline_is_shown_by_its_stages():
    rows = Dataset.from_tensor_slices(np.zeros(45))
    assert repr(rows) == "<Slices: 45 elements>"
    assert repr(rows.shuffle(9).map(abs).batch(32)) == "<Slices.shuffle.map.batch: 2 elements>"
    assert repr(rows.filter(bool)) == "<Slices.filter: as many as are read>"
    assert repr(rows.repeat()) == "<Slices.repeat: without end>"


def test_cardinality_of_ones_own():
    class Endless(IterableDataset):
        def cardinality(self):
            return INFINITE_CARDINALITY

        def __iter__(self):
            return iter(int, 1)

    assert Endless().map(lambda x: x).take(3).cardinality() == 3
    assert ChainDataset([R(3), Endless()]).cardinality() == INFINITE_CARDINALITY
    assert ChainDataset([R(3), some()]).cardinality() == UNKNOWN_CARDINALITY
    assert ConcatDataset([R(3), "ab"]).cardinality() == 5
    assert IterableDataset().cardinality() == UNKNOWN_CARDINALITY
    assert DataLoader(range(5), sampler=iter([1, 2])).cardinality() == UNKNOWN_CARDINALITY
    kept = some().cache()
    assert kept.cardinality() == UNKNOWN_CARDINALITY
    assert list(kept) == [4, 5, 6, 7, 8, 9]
    assert len(kept) == 6


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (R(9).filter(bool).batch(2).map(str), "map: has no length: only reading tells how many "
                                              r"elements filter gives; count them by sum\(1 for"),
        (R(9).repeat().batch(2), r"batch: .* repeat goes on without end; need repeat\(n\), take"),
        (R(9).zip(made()), "zip: .* from_generator gives; give from_generator its length="),
        (R(9).interleave(lambda x: [x]), "elements interleave gives"),
        (ChainDataset([R(9), some()]), "ChainDataset: .* filter gives"),
    ],
)  # fmt: skip
def test_what_makes_the_length_unknown_is_named(dataset, message):
    with pytest.raises(TypeError, match=message):
        len(dataset)


def test_data_without_end_need_steps_and_the_bar_knows_them(capsys):
    x = np.arange(8, dtype=np.float32)[:, None]
    endless = Dataset.from_tensor_slices((x, x)).repeat().batch(4)
    model = am.Model(nn.Linear(1, 1))
    model.compile("sgd", "mse")
    for data in (endless, DataLoader(endless, batch_size=None)):
        with pytest.raises(ArgumentError, match="fit: x goes on without end; need steps_per_epoch"):
            model.fit(data, verbose=0)
        with pytest.raises(ArgumentError, match="evaluate: x goes on without end; need steps,"):
            model.evaluate(data, verbose=0)
    with pytest.raises(ArgumentError, match="need validation_steps"):
        model.fit(x, x, validation_data=endless, verbose=0)
    with pytest.raises(ArgumentError, match="go on without end; need steps"):
        StringLookup().adapt(Dataset.from_tensor_slices(["a"]).repeat())

    class Evens:  # a sampler that does not tell how many
        def __iter__(self):
            return iter(range(0, 8, 2))

    model.fit(DataLoader((x, x), batch_size=2, sampler=Evens()), verbose=0)
    model.fit(endless.take(3), verbose=1)
    assert "1/3" in capsys.readouterr().out
